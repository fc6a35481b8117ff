from pathlib import Path
from typing import Any

import pytest

from greenroom.cli.settings import Settings
from greenroom.cli.sources import WrongSetting, load, source_of, unknown_variables


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder without a file of settings, and an environment without them."""
    monkeypatch.chdir(tmp_path)
    for name in ("PORT", *unknown_variables(), *(f"GREENROOM_{name.upper()}" for name in Settings.model_fields)):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def test_flag_beats_environment_beats_file_beats_default(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (load({}).port, source_of("port", {})) == (8000, "default")
    (nowhere / "greenroom.toml").write_text("port = 1001")
    assert (load({}).port, source_of("port", {})) == (1001, "greenroom.toml")
    monkeypatch.setenv("PORT", "1002")
    assert (load({}).port, source_of("port", {})) == (1002, "PORT")
    monkeypatch.setenv("GREENROOM_PORT", "1003")
    assert (load({}).port, source_of("port", {})) == (1003, "GREENROOM_PORT")
    assert (load({"port": "1004"}).port, source_of("port", {"port": "1004"})) == (1004, "--port")


def test_a_table_in_the_file_is_the_first_part_of_its_settings_names(nowhere: Path) -> None:
    (nowhere / "greenroom.toml").write_text(
        '[log]\nlevel = "warning"\nredact = ["card"]\n[users]\nexisting = "conflict"\n'
    )
    settings = load({})
    assert (settings.log_level, settings.log_redact, settings.users_existing) == ("warning", ("card",), "conflict")


def test_an_empty_variable_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GREENROOM_PORT", "")
    monkeypatch.setenv("PORT", "")
    assert load({}).port == 8000


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("turn_timeout", "90", 90.0),
        ("turn_timeout", "1.5m", 90.0),
        ("drain_timeout", "250ms", 0.25),
        ("retain", "30d", 30 * 86400.0),
        ("max_body", "64KiB", 65536),
        ("max_body", "1048576", 1048576),
        ("session_headers", "X-A, X-B", ("X-A", "X-B")),
        ("agent", "support", ("support",)),
        ("agent", "support, my_agent:agent", ("support", "my_agent:agent")),
        ("rate_limit", "off", "off"),
        ("rate_limit", "600/minute", "600/minute"),
        ("log_bodies", "true", True),
    ],
)
def test_values_are_read_as_people_write_them(
    name: str, text: str, value: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"GREENROOM_{name.upper()}", text)
    assert getattr(load({}), name) == value


@pytest.mark.parametrize(
    ("name", "text", "right"),
    [
        ("port", "http", "valid integer"),
        ("port", "65536", "less than or equal to 65535"),
        ("turn_timeout", "soon", "for instance 90s"),
        ("turn_timeout", "0", "greater than 0"),
        ("max_body", "big", "for instance 1MiB"),
        ("rate_limit", "200", "for instance 200/second, or off"),
        ("log_format", "xml", "'json' or 'console'"),
        ("tls_cert", "/no/such/file", "cannot read /no/such/file"),
        ("max_in_flight", "0", "greater than or equal to 1"),
        ("agents_strict", "perhaps", "valid boolean"),
    ],
)
@pytest.mark.parametrize("source", ["flag", "environment", "file"])
def test_a_wrong_value_is_named_with_its_source_and_what_would_be_right(
    name: str, text: str, right: str, source: str, nowhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags = {}
    if source == "flag":
        flags = {name: text}
        shown = f"--{name.replace('_', '-')}"
    elif source == "environment":
        shown = f"GREENROOM_{name.upper()}"
        monkeypatch.setenv(shown, text)
    else:
        shown = "greenroom.toml"
        (nowhere / shown).write_text(f'{name} = "{text}"')
    with pytest.raises(WrongSetting) as caught:
        load(flags)
    assert str(caught.value).startswith(f"{name} (from {shown}): ")
    assert right in str(caught.value)
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize(("agents", "right"), [("a:x,b:y,a:x", "a:x is named twice"), (",", "at least one is needed")])
def test_agents_are_one_or_several_each_once(agents: str, right: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GREENROOM_AGENT", agents)
    with pytest.raises(WrongSetting, match=right):
        load({})


def test_a_wrong_secret_is_named_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GREENROOM_API_KEYS", "a:chatt:SECRET-KEY")
    with pytest.raises(WrongSetting) as caught:
        load({})
    assert str(caught.value).startswith("api_keys (from GREENROOM_API_KEYS): entry 1 (a): no scope is called 'chatt'")
    assert "SECRET" not in str(caught.value)


def test_a_name_that_is_no_setting_is_told_with_the_nearest(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (nowhere / "greenroom.toml").write_text("prot = 1")
    with pytest.raises(WrongSetting, match=r"greenroom\.toml: there is no setting prot; did you mean port\?"):
        load({})
    monkeypatch.setenv("GREENROOM_PROT", "1")
    assert unknown_variables() == ["GREENROOM_PROT is no setting; did you mean GREENROOM_PORT?"]


def test_a_broken_file_is_told(nowhere: Path) -> None:
    (nowhere / "greenroom.toml").write_text("port = ")
    with pytest.raises(WrongSetting, match=r"greenroom\.toml is not valid TOML"):
        load({})


def test_certificates_come_with_their_keys(nowhere: Path) -> None:
    (nowhere / "cert.pem").touch()
    with pytest.raises(WrongSetting, match="tls_cert and tls_key are given together or not at all"):
        load({"tls_cert": "cert.pem"})


def test_a_child_process_gets_every_value_and_asks_nobody_else(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    document = load({"port": "0", "retain": "1d", "session_headers": "X-A"}).document()
    (nowhere / "greenroom.toml").write_text("port = 99\nprot = 1")
    monkeypatch.setenv("GREENROOM_RETAIN", "2d")
    again = Settings(**document)
    assert (again.port, again.retain, again.session_headers) == (0, 86400.0, ("X-A",))
    assert again.document() == document
