"""What a chat body may and may not contain (CHAT-01..04, ERR-02)."""

import json
from typing import Any

import httpx2
import pytest
from edge_running import in_process, options
from fake_core import FakeCore
from test_edge_errors import check_shape

from greenroom.edge import HttpOptions

PATH = "/v1/chat/completions"
USER = {"role": "user", "content": "hi"}
CALL = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}", "result": {"a": [1.0]}}}
M = '"messages":[{"role":"user","content":"hi"}]'


async def post(client: httpx2.AsyncClient, body: bytes | str) -> httpx2.Response:
    content = body if isinstance(body, bytes) else body.encode()
    return await client.post(PATH, content=content, headers={"content-type": "application/json"})


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"", None),
        (b"{", None),
        (b"[]", None),
        (b"null", None),
        (b"{}", "messages"),
        (b'{"messages":null}', "messages"),
        (b'{"messages":[]}', "messages"),
        (b'{"messages":{}}', "messages"),
        (b'{"messages":["hi"]}', "messages[0]"),
        (b'{"messages":[{"content":"hi"}]}', "messages[0]"),
        (b'{"messages":[{"role":"function","content":"hi"}]}', "messages[0].role"),
        (b'{"messages":[{"role":"user"}]}', "messages[0].content"),
        (b'{"messages":[{"role":"user","content":null}]}', "messages[0].content"),
        (b'{"messages":[{"role":"user","content":5}]}', "messages[0].content"),
        (b'{"messages":[{"role":"user","content":[]}]}', "messages[0].content"),
        (b'{"messages":[{"role":"user","content":[{"type":"text"}]}]}', "messages[0].content[0].text"),
        (b'{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{}}]}]}', "messages[0].content[0]"),
        (b'{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}]}', "messages"),
        (b'{"messages":[{"role":"user","content":"a"},{"role":"system","content":"b"}]}', "messages"),
        (b'{"messages":[{"role":"assistant","tool_calls":5},{"role":"user","content":"a"}]}', "messages[0].tool_calls"),
        (
            b'{"messages":[{"role":"assistant","tool_calls":[{"id":1}]},{"role":"user","content":"a"}]}',
            "messages[0].tool_calls[0].id",
        ),
        (f'{{{M},"n":2}}', "n"),
        (f'{{{M},"n":0}}', "n"),
        (f'{{{M},"stream":"yes"}}', "stream"),
        (f'{{{M},"session_id":"a/b"}}', "session_id"),
        (f'{{{M},"session_id":"a\\u0000b"}}', "session_id"),
        (f'{{{M},"sessionId":"a?b"}}', "sessionId"),
        (f'{{{M},"session_id":5}}', "session_id"),
        (f'{{{M},"user_id":"{"x" * 129}"}}', "user_id"),
        (f'{{{M},"user":"a#b"}}', "user"),
        (f'{{{M},"user_id":"a%b"}}', "user_id"),
        (f'{{{M},"user_id":"a\\nb"}}', "user_id"),
        (f'{{{M},"metadata":[]}}', "metadata"),
        (f'{{{M},"metadata":"x"}}', "metadata"),
        (f'{{{M},"metadata":{{"a":"{"x" * 65536}"}}}}', "metadata"),
        (f'{{{M},"metadata":{{"a":1e999}}}}', "metadata"),
        (f'{{{M},"temperature":1e999}}', "temperature"),
        (f'{{{M},"metadata":{{"a":NaN}}}}', None),
        (f'{{{M},"x":Infinity}}', None),
        (f'{{{M},"x":-Infinity}}', None),
        (f'{{{M},"x":"\\ud800"}}', None),
        (f'{{{M},"x":"\\udc00 \\ud800\\udc00"}}', None),
        (f'{{{M},"x":"\\ud800\\u0041"}}', None),
        (f'{{{M},"x":"\\ud83d\\\\ude00"}}', None),
        (f'{{{M},"metadata":{{"\\uDFFF":1}}}}', None),
        (f'{{{M},"x":'.encode() + b'"\xff"}', None),
        (f'{{{M},"x":'.encode() + b'"\xed\xa0\x80"}', None),
        (f'{{{M},"x":{"[" * 100}{"]" * 100}}}', None),
        (f'{{{M},"x":{"[" * 5000}{"]" * 5000}}}', None),
        (f'{{{M},"x":{"[" * 200_000}', None),
        (f"{{{M}}} x", None),
        (b"\xef\xbb\xbf{}", None),
    ],
)
async def test_what_is_wrong_is_400_and_named(client: httpx2.AsyncClient, body: bytes | str, param: str | None) -> None:
    response = await post(client, body)
    assert response.status_code == 400, response.text
    error = check_shape(response)
    assert (error["type"], error["code"]) == ("invalid_request_error", "bad_request")
    assert error.get("param") == param


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"user_id": None, "session_id": None, "metadata": None, "stream": None, "n": None, "user": None},
        {"user_id": "", "session_id": "", "sessionId": "", "user": ""},
        {"model": "gpt-4o", "temperature": 0.2, "stream_options": None, "tools": [], "store": True, "n": 1},
        {"metadata": {}, "anything": {"at": ["all"]}},
    ],
)
async def test_null_empty_and_unknown_are_accepted(
    client: httpx2.AsyncClient, core: FakeCore, more: dict[str, Any]
) -> None:
    response = await client.post(PATH, json={"messages": [USER], **more})
    assert response.status_code == 200, response.text
    turn = core.turns[-1]
    assert (turn.session_id, turn.user_id) == ("", "")
    assert turn.options_json == ('{"model":"gpt-4o","temperature":0.2,"tools":[]}' if "model" in more else "")
    assert turn.agent == more.get("model", "")


@pytest.mark.parametrize("depth", [1, 50, 99])
async def test_nesting_up_to_a_hundred_is_fine(client: httpx2.AsyncClient, depth: int) -> None:
    assert (await post(client, f'{{{M},"x":{"[" * depth}{"]" * depth}}}')).status_code == 200


async def test_brackets_in_text_are_not_nesting(client: httpx2.AsyncClient) -> None:
    messages = [{"role": "user", "content": '[{"\\' * 300}] * 60
    assert (await client.post(PATH, json={"messages": messages})).status_code == 200


async def test_text_keeps_every_character(client: httpx2.AsyncClient, core: FakeCore) -> None:
    text = 'a\x00b \U0001f600 \u2028 é \\ud800 "quoted"'
    for body in (json.dumps({"messages": [{"role": "user", "content": text}]}), None):
        content = (
            body.encode()
            if body
            else json.dumps({"messages": [{"role": "user", "content": text}]}, ensure_ascii=False).encode()
        )
        assert (await post(client, content)).status_code == 200
        assert core.turns[-1].messages[0].content == text


async def test_metadata_passes_as_it_was_written(client: httpx2.AsyncClient, core: FakeCore) -> None:
    metadata = '{"z": 1.0, "a": 9007199254740993, "e": 1E2, "s": "\\u00e9\\ud83d\\ude00", "n": {"b": -0, "a": null}}'
    assert (await post(client, f'{{{M},"metadata": {metadata} }}')).status_code == 200
    assert core.turns[-1].metadata_json == metadata


async def test_parts_are_joined_and_calls_pass_through(client: httpx2.AsyncClient, core: FakeCore) -> None:
    messages = [
        {"role": "developer", "content": [{"type": "text", "text": "be kind"}]},
        {"role": "user", "content": [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}], "name": "Ann"},
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "content": "{}", "tool_call_id": "call_1"},
        {"role": "assistant", "content": "done", "tool_calls": [], "refusal": None},
        USER,
    ]
    assert (await client.post(PATH, json={"messages": messages})).status_code == 200
    sent = core.turns[-1].messages
    assert [one.content for one in sent] == ["be kind", "one\ntwo", "", "{}", "done", "hi"]
    assert [one.HasField("content") for one in sent] == [True, True, False, True, True, True]
    assert json.loads(sent[2].tool_calls_json) == [CALL]
    assert (sent[1].name, sent[3].tool_call_id, sent[4].tool_calls_json) == ("Ann", "call_1", "")


async def test_our_own_reply_sent_back_is_accepted(client: httpx2.AsyncClient, core: FakeCore) -> None:
    first = (await client.post(PATH, json={"messages": [USER]})).json()
    own = first["choices"][0]["message"]
    response = await client.post(PATH, json={"messages": [USER, own, USER], "session_id": first["session_id"]})
    assert response.status_code == 200, response.text
    assert json.loads(core.turns[-1].messages[1].tool_calls_json) == own["tool_calls"]


async def test_an_agent_may_open(client: httpx2.AsyncClient) -> None:
    messages = [{"role": "system", "content": "greet"}, {"role": "developer", "content": "warmly"}]
    assert (await client.post(PATH, json={"messages": messages})).status_code == 200


async def test_the_session_is_named_in_one_of_four_ways(core: FakeCore) -> None:
    named = {"session_headers": ("X-OpenWebUI-Chat-Id",), "transcript_headers": ("X-Chat",)}
    given = options(core.target, http=HttpOptions(rate_limit=None, **named))
    headers = {"X-OpenWebUI-Chat-Id": "webui"}
    async with in_process(given) as client:
        for body, more, expected in [
            ({"session_id": "a", "sessionId": "b"}, {"X-Session-Id": "c"}, "a"),
            ({"sessionId": "b"}, {"X-Session-Id": "c"}, "b"),
            ({"session_id": ""}, {"X-Session-Id": "c"}, "c"),
            ({}, {"X-Session-Id": ""}, "webui"),
            ({}, {}, "webui"),
        ]:
            await client.post(PATH, json={"messages": [USER], **body}, headers={**headers, **more})
            assert (core.turns[-1].session_id, core.turns[-1].transcript) == (expected, False)
        for body, more, expected in [
            ({}, {"X-Chat": "chat"}, ("chat", True)),
            ({}, {"X-Chat": "chat", **headers}, ("webui", False)),
            ({"session_id": "a"}, {"X-Chat": "chat"}, ("a", False)),
            ({"session_id": "chat"}, {"X-Chat": "chat"}, ("chat", False)),
        ]:
            await client.post(PATH, json={"messages": [USER], **body}, headers=more)
            assert (core.turns[-1].session_id, core.turns[-1].transcript) == expected
        bad = await client.post(PATH, json={"messages": [USER]}, headers={"X-Session-Id": "a/b"})
        assert check_shape(bad)["param"] == "X-Session-Id"


async def test_openais_user_stands_in(client: httpx2.AsyncClient, core: FakeCore) -> None:
    await client.post(PATH, json={"messages": [USER], "user": "u2"})
    assert core.turns[-1].user_id == "u2"
    await client.post(PATH, json={"messages": [USER], "user": "not/an/id", "user_id": "u1"})
    assert core.turns[-1].user_id == "u1"


async def test_an_idempotency_key_reaches_the_core_and_a_replay_says_so(
    client: httpx2.AsyncClient, core: FakeCore
) -> None:
    response = await client.post(PATH, json={"messages": [USER]}, headers={"Idempotency-Key": "key-1"})
    assert core.turns[-1].idempotency_key == "key-1"
    assert "idempotency-replayed" not in response.headers
    stored = await core.script(core.turns[-1])

    async def replay(_: object) -> object:
        stored.replayed = True  # type: ignore[union-attr]
        return stored

    core.script = replay  # type: ignore[assignment]
    again = await client.post(PATH, json={"messages": [USER]}, headers={"Idempotency-Key": "key-1"})
    assert again.headers["idempotency-replayed"] == "true"
    assert again.content == response.content
    bad = await client.post(PATH, json={"messages": [USER]}, headers={"Idempotency-Key": "a b"})
    assert check_shape(bad)["param"] == "Idempotency-Key"
