"""docs/settings.md, the settings and the commands' flags say the same."""

import re
import subprocess
import sys

import pytest
from settings_table import BEGIN, END, PAGE, commands, table

from greenroom.cli.settings import Settings, flag_of, row_of, variables_of

FIXED = {
    "host": ("--host", "GREENROOM_HOST", "127.0.0.1"),
    "port": ("--port", "GREENROOM_PORT", 8000),
    "grpc_host": ("--grpc-host", "GREENROOM_GRPC_HOST", "127.0.0.1"),
    "grpc_port": ("--grpc-port", "GREENROOM_GRPC_PORT", 50051),
    "rate_limit": ("--rate-limit", "GREENROOM_RATE_LIMIT", "200/second"),
    "tls_cert": ("--tls-cert", "GREENROOM_TLS_CERT", None),
    "tls_key": ("--tls-key", "GREENROOM_TLS_KEY", None),
    "max_in_flight": ("--max-in-flight", "GREENROOM_MAX_IN_FLIGHT", 256),
    "turn_timeout": ("--turn-timeout", "GREENROOM_TURN_TIMEOUT", 60.0),
    "drain_timeout": ("--drain-timeout", "GREENROOM_DRAIN_TIMEOUT", 10.0),
    "log_format": ("--log-format", "GREENROOM_LOG_FORMAT", None),
}
"""Names that people script (the issue that fixed them is closed; they are not to change)."""


def documented() -> str:
    return PAGE.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0].strip()


def test_the_page_holds_every_setting_as_it_is() -> None:
    assert documented() == table(), "run: python tests/project/settings_table.py"


def test_the_page_names_no_setting_that_there_is_not() -> None:
    rows = [line.split(" | ") for line in documented().splitlines()[2:]]
    assert [row[0].strip("|` ") for row in rows] == list(Settings.model_fields)
    known = {variable for name in Settings.model_fields for variable in variables_of(name)}
    assert set(re.findall(r"GREENROOM_[A-Z_]+", PAGE.read_text(encoding="utf-8"))) <= known


@pytest.mark.parametrize("name", FIXED)
def test_names_that_people_script_stay(name: str) -> None:
    field = Settings.model_fields[name]
    assert (flag_of(name), variables_of(name)[0], field.default) == FIXED[name]


def test_the_database_and_the_keys_keep_their_names_too() -> None:
    assert (flag_of("database_url"), variables_of("database_url")) == ("--database", ("GREENROOM_DATABASE_URL",))
    assert Settings.model_fields["database_url"].default.get_secret_value() == "sqlite:///greenroom.db"
    assert variables_of("api_keys") == ("GREENROOM_API_KEYS",)
    assert variables_of("port") == ("GREENROOM_PORT", "PORT")


def test_no_secret_can_be_given_where_every_user_of_the_machine_sees_it() -> None:
    assert (flag_of("api_keys"), flag_of("core_key")) == ("", "")


@pytest.mark.parametrize("command", ["serve", "core", "edge"])
def test_a_commands_help_lists_its_flags_and_no_other(command: str) -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "greenroom.cli", command, "--help"],
        capture_output=True,
        text=True,
        check=True,
        env={"COLUMNS": "200"},
    ).stdout
    listed = set(re.findall(r"^  (--[a-z-]+)", shown, re.MULTILINE)) - {"--help", "--fresh", "--reload"}
    assert listed == {flag_of(name) for name in Settings.model_fields if command in commands(name) and flag_of(name)}


def test_every_setting_is_described_and_taken_by_somebody() -> None:
    for name, field in Settings.model_fields.items():
        assert field.description, name
        assert row_of(name).takes, name
