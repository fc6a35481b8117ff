import hashlib

import pytest

from greenroom.cli.keys import KeyRing, Principal, WrongKey, clear_keys, hashed, mint, parse_keys, parse_tool_traces


def test_a_key_is_recognised_whether_it_stands_in_clear_or_hashed() -> None:
    ring = KeyRing(parse_keys(f"usertrace:chat:KEY-ONE-1,ops@team:chat+inspect:{hashed('KEY-TWO-2')}"))
    assert ring.authenticate("KEY-ONE-1") == Principal("usertrace", "", frozenset({"chat"}))
    assert ring.authenticate("KEY-TWO-2") == Principal("ops", "team", frozenset({"chat", "inspect"}))
    for wrong in ("", "KEY-ONE-2", "KEY-ONE-1 ", hashed("KEY-TWO-2"), "ключ", "\udcff"):
        assert ring.authenticate(wrong) is None


def test_only_hashes_are_held() -> None:
    ring = KeyRing(parse_keys("usertrace:chat:KEY-ONE-1"))
    assert "KEY-ONE-1" not in repr(vars(ring))
    assert hashlib.sha256(b"KEY-ONE-1").digest() in vars(ring)["_known"]


def test_a_minted_key_and_its_entry_belong_together() -> None:
    key = mint()
    ring = KeyRing(parse_keys(f"a:edge:{hashed(key)}"))
    found = ring.authenticate(key)
    assert found is not None
    assert found.scopes == {"edge"}
    assert mint() != key


def test_where_a_keys_replies_carry_tool_calls_is_its_own() -> None:
    entries = parse_keys("webui:chat:KEY-ONE-1,ops:chat:KEY-TWO-2")
    ring = KeyRing(entries, parse_tool_traces("webui:metadata"))
    webui, ops = ring.authenticate("KEY-ONE-1"), ring.authenticate("KEY-TWO-2")
    assert webui is not None
    assert webui.tool_trace == "metadata"
    assert ops is not None
    assert ops.tool_trace is None
    with pytest.raises(WrongKey, match="no key is called 'other'"):
        KeyRing(entries, {"other": "metadata"})


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("usertrace", "entry 1: must be NAME:SCOPES:KEY"),
        ("ok:chat:LONG-ENOUGH,bad name:chat:SECRET-KEY", "entry 2: the name"),
        ("a:chatt:SECRET-KEY", "entry 1 (a): no scope is called 'chatt'; there are chat, inspect, edge"),
        ("a:chat:short", "entry 1 (a): the key must be at least 8"),
        ("a:chat:sha256:SECRET-KEY", "entry 1 (a): sha256: must be followed by 64 hexadecimal digits"),
        ("a:chat:SECRET-KEY,a:chat:SECRET-KEZ", "entry 2: the name 'a' is given twice"),
        ("a:chat:SECRET-KEY,b:chat:SECRET-KEY", "entry 2 (b): has the same key as 'a'"),
        ("a@b/c:chat:SECRET-KEY", "entry 1 (a): the namespace must be"),
    ],
)
def test_a_wrong_entry_names_itself_and_not_the_key(setting: str, said: str) -> None:
    with pytest.raises(WrongKey) as caught:
        parse_keys(setting)
    assert said in str(caught.value)
    assert "SECRET-KE" not in str(caught.value)


def test_the_clear_keys_of_a_setting_are_known_for_redaction() -> None:
    assert clear_keys(f"a:chat:SECRET-KEY, b@n:chat:{hashed('OTHER-KEY')}") == ["SECRET-KEY"]
