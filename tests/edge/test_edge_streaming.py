"""Server-sent events (STREAM-01, 04, 05, 07) and the tool loop (CHAT-19)."""

import asyncio
import json
from typing import Any

import grpc
import httpx2
import openai
import pytest
from edge_running import KEYS, in_process, options, published, served
from fake_core import FakeCore, failure, published_call, reply_to
from test_edge_errors import check_shape

from greenroom.edge import HttpOptions
from greenroom.v1 import agent_pb2, turn_pb2

PATH = "/v1/chat/completions"
TURN: dict[str, Any] = {"messages": [{"role": "user", "content": "where is #12345?"}], "session_id": "s1"}


def events(response: httpx2.Response) -> list[Any]:
    """The chunks; checks the framing."""
    assert response.headers["content-type"].startswith("text/event-stream")
    *blocks, end = response.text.split("\n\n")
    assert end == ""
    assert all(block.startswith("data: ") for block in blocks)
    return [block[6:] if block == "data: [DONE]" else json.loads(block[6:]) for block in blocks]


def joined(chunks: list[Any]) -> dict[str, Any]:
    """The chunks as the message they add up to."""
    message: dict[str, Any] = {"content": ""}
    for chunk in chunks:
        for choice in chunk["choices"]:
            delta = choice["delta"]
            message |= {"role": delta["role"]} if "role" in delta else {}
            message["content"] += delta.get("content", "")
            for call in delta.get("tool_calls", ()):
                calls = message.setdefault("tool_calls", [])
                assert call.pop("index") == len(calls)
                calls.append(call)
    return message


async def test_a_stream_says_what_the_same_request_says_without(client: httpx2.AsyncClient, core: FakeCore) -> None:
    core.deltas = ("I found ", "your order!")
    whole = (await client.post(PATH, json=TURN)).json()
    *chunks, done = events(await client.post(PATH, json={**TURN, "stream": True}))
    assert done == "[DONE]"
    assert joined(chunks) == whole["choices"][0]["message"]
    for key in ("created", "model", "session_id", "chat_id"):
        assert {chunk[key] for chunk in chunks} == {whole[key]}
    assert len({chunk["id"] for chunk in chunks}) == 1
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
    assert chunks[-1]["choices"] == [{"index": 0, "delta": {}, "finish_reason": "stop"}]
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)
    assert chunks[-1]["metadata"] == whole["metadata"]
    assert chunks[-1]["evaluation_metadata"] == whole["evaluation_metadata"]
    assert not any("usage" in chunk for chunk in chunks)
    assert not any("metadata" in chunk for chunk in chunks[:-1])


async def test_usage_is_one_more_chunk_when_asked_for(client: httpx2.AsyncClient) -> None:
    response = await client.post(PATH, json={**TURN, "stream": True, "stream_options": {"include_usage": True}})
    *chunks, usage, _ = events(response)
    assert usage["choices"] == []
    assert usage["usage"] == {"prompt_tokens": 9, "completion_tokens": 21, "total_tokens": 30}
    assert (usage["session_id"], usage["chat_id"]) == ("s1", "chat_456def")
    assert not any("usage" in chunk for chunk in chunks)


async def test_a_failure_before_the_first_event_is_an_http_error(client: httpx2.AsyncClient, core: FakeCore) -> None:
    async def fail(_: object) -> object:
        return failure(grpc.StatusCode.RESOURCE_EXHAUSTED, "SESSION_BUSY", retry=1)

    core.script = fail  # type: ignore[assignment]
    response = await client.post(PATH, json={**TURN, "stream": True})
    assert response.status_code == 429
    assert check_shape(response)["code"] == "session_busy"


async def test_a_failure_after_the_first_event_is_an_event(client: httpx2.AsyncClient, core: FakeCore) -> None:
    async def fail(_: object) -> object:
        return failure(grpc.StatusCode.INTERNAL, "SERVER_ERROR", "secret")

    core.deltas, core.script = ("Let me ", "see"), fail  # type: ignore[assignment]
    response = await client.post(PATH, json={**TURN, "stream": True})
    assert response.status_code == 200
    *told, last = events(response)
    assert joined(told) == {"role": "assistant", "content": "Let me see"}
    assert last["error"]["code"] == "server_error"
    assert "secret" not in response.text


async def test_a_reader_that_leaves_stops_the_turn(core: FakeCore) -> None:
    async def never(_: agent_pb2.RunTurnRequest) -> turn_pb2.Reply:
        await asyncio.Event().wait()
        raise AssertionError

    core.script, core.deltas = never, ("hello",)
    async with served(options(core.target)) as url, httpx2.AsyncClient(base_url=url, timeout=10) as client:
        async with client.stream("POST", PATH, json={**TURN, "stream": True}) as response:
            assert response.status_code == 200
        async with asyncio.timeout(10):
            await core.stream_cancelled.wait()


async def test_the_official_client_reads_it(core: FakeCore) -> None:
    async with (
        served(options(core.target), KEYS.get) as url,
        openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="sk-all", max_retries=0) as sdk,
    ):
        whole = await sdk.chat.completions.create(
            model="support", messages=TURN["messages"], extra_body={"session_id": "s1"}
        )
        assert whole.model_extra is not None
        assert whole.model_extra["session_id"] == "s1"
        assert whole.choices[0].message.tool_calls is not None
        stream = await sdk.chat.completions.create(
            model="support",
            messages=TURN["messages"],
            stream=True,
            stream_options={"include_usage": True},
            extra_body={"session_id": "s1"},
        )
        chunks = [chunk async for chunk in stream]
        text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
        assert text == whole.choices[0].message.content
        assert chunks[-1].usage is not None
        assert chunks[-1].usage.total_tokens == 30
        assert [model.id async for model in sdk.models.list()] == ["support"]
        with pytest.raises(openai.BadRequestError) as raised:
            await sdk.chat.completions.create(model="support", messages=[])
        assert raised.value.code == "bad_request"


async def test_a_replayed_stream_says_so(client: httpx2.AsyncClient, core: FakeCore) -> None:
    body = {**TURN, "stream": True}
    first = await client.post(PATH, json=body, headers={"Idempotency-Key": "key-1"})
    assert core.turns[-1].idempotency_key == "key-1"
    assert "idempotency-replayed" not in first.headers
    stored = reply_to(core.turns[-1], replayed=True)

    async def replay(_: object) -> turn_pb2.Reply:
        return stored

    core.script = replay
    again = await client.post(PATH, json=body, headers={"Idempotency-Key": "key-1"})
    assert again.headers["idempotency-replayed"] == "true"
    assert again.content == first.content
    whole = await client.post(PATH, json=TURN)
    assert whole.headers["idempotency-replayed"] == "true"


async def test_a_scripted_call_says_by_which_rule(client: httpx2.AsyncClient, core: FakeCore) -> None:
    real, scripted = published_call(), published_call()
    scripted.id, scripted.scripted_by = "call_2", "payment_service_down: tools.get_order_status[0]"

    async def script(turn: agent_pb2.RunTurnRequest) -> turn_pb2.Reply:
        reply = reply_to(turn)
        del reply.tool_calls[:]
        reply.tool_calls.extend([real, scripted])
        return reply

    core.script = script
    [first] = published("chat-tools.response")["choices"][0]["message"]["tool_calls"]
    expected = [first, {**first, "id": "call_2", "scripted_by": scripted.scripted_by}]
    in_metadata = {"X-Tool-Trace": "metadata"}
    assert (await client.post(PATH, json=TURN)).json()["choices"][0]["message"]["tool_calls"] == expected
    traced = await client.post(PATH, json=TURN, headers=in_metadata)
    assert traced.json()["metadata"]["tool_trace"] == expected
    *chunks, _ = events(await client.post(PATH, json={**TURN, "stream": True}))
    assert joined(chunks)["tool_calls"] == expected
    *chunks, _ = events(await client.post(PATH, json={**TURN, "stream": True}, headers=in_metadata))
    assert chunks[-1]["metadata"]["tool_trace"] == expected


LOOP = {
    "session_id": "s1",
    "messages": [
        *TURN["messages"],
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "call_abc123", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": "call_abc123", "content": "{}"},
    ],
}


async def test_tool_messages_get_the_reply_without_its_calls(client: httpx2.AsyncClient, core: FakeCore) -> None:
    body = (await client.post(PATH, json=LOOP)).json()
    reply = reply_to(core.turns[-1])
    assert body["choices"][0]["message"] == {"role": "assistant", "content": reply.text}
    *chunks, done = events(await client.post(PATH, json={**LOOP, "stream": True}))
    assert done == "[DONE]"
    assert joined(chunks) == body["choices"][0]["message"]
    assert [(turn.messages[-1].role, turn.messages[-1].tool_call_id) for turn in core.turns] == [
        ("tool", "call_abc123"),
        ("tool", "call_abc123"),
    ]


async def test_tool_messages_that_answer_nothing_are_400_streamed_or_not(
    client: httpx2.AsyncClient, core: FakeCore
) -> None:
    async def refuse(_: object) -> object:
        return failure(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT", field="messages[2].tool_call_id")

    core.script = refuse  # type: ignore[assignment]
    for stream in (False, True):
        refused = await client.post(PATH, json={**LOOP, "stream": stream})
        assert (refused.status_code, check_shape(refused)["param"]) == (400, "messages[2].tool_call_id")


async def test_the_trace_goes_where_the_request_the_key_or_the_setting_says(core: FakeCore) -> None:
    async def shown(client: httpx2.AsyncClient, key: str, wish: str | None, stream: bool) -> str:
        headers = {"authorization": f"Bearer {key}"} | ({"X-Tool-Trace": wish} if wish else {})
        response = await client.post(PATH, json={**TURN, "stream": stream}, headers=headers)
        if stream:
            *chunks, _ = events(response)
            message, metadata = joined(chunks), chunks[-1]["metadata"]
        else:
            message, metadata = response.json()["choices"][0]["message"], response.json()["metadata"]
        [calls] = [part[key] for part, key in ((message, "tool_calls"), (metadata, "tool_trace")) if key in part]
        assert calls[0]["function"]["name"] == "get_order_status"
        return "message" if "tool_calls" in message else "metadata"

    async with in_process(options(core.target), KEYS.get) as client:
        for stream in (False, True):
            assert await shown(client, "sk-all", None, stream) == "message"
            assert await shown(client, "sk-trace", None, stream) == "metadata"
            assert await shown(client, "sk-trace", "message", stream) == "message"
            assert await shown(client, "sk-all", "metadata", stream) == "metadata"
        bad = await client.post(PATH, json=TURN, headers={"X-Tool-Trace": "both", "x-api-key": "sk-all"})
        assert check_shape(bad)["param"] == "X-Tool-Trace"
    setting = options(core.target, http=HttpOptions(rate_limit=None, tool_trace="metadata"))
    async with in_process(setting, KEYS.get) as client:
        assert await shown(client, "sk-all", None, False) == "metadata"


async def test_a_comment_keeps_an_idle_stream_open(core: FakeCore) -> None:
    """From then on a failure is an event: the reply has begun."""
    gate = asyncio.Event()

    async def script(turn: agent_pb2.RunTurnRequest) -> turn_pb2.Reply:
        await gate.wait()
        return failure(grpc.StatusCode.INTERNAL, "SERVER_ERROR")  # type: ignore[return-value]

    core.script = script
    async with (
        served(options(core.target, http=HttpOptions(stream_ping=0.05))) as url,
        httpx2.AsyncClient(base_url=url, timeout=10) as client,
        client.stream("POST", PATH, json={**TURN, "stream": True}) as response,
    ):
        assert response.status_code == 200
        pings = 0
        lines = response.aiter_lines()
        async for line in lines:
            pings += line == ": ping"
            if pings == 3:
                break
        gate.set()
        rest = [line async for line in lines if line.startswith("data")]
    assert json.loads(rest[-1][6:])["error"]["code"] == "server_error"


async def test_whatever_keeps_a_stream_from_being_written_the_core_hears_that_nobody_reads(
    client: httpx2.AsyncClient, core: FakeCore
) -> None:
    """A server cancels what still writes when it has to end; a gateway of somebody else's may raise what it likes."""

    async def never(_: agent_pb2.RunTurnRequest) -> turn_pb2.Reply:
        await asyncio.Event().wait()
        raise AssertionError

    core.script, core.deltas = never, ("hello",)
    body = [{"type": "http.request", "body": json.dumps({**TURN, "stream": True}).encode(), "more_body": False}]

    async def receive() -> Any:
        if not body:
            await asyncio.Event().wait()
        return body.pop()

    async def send(message: Any) -> None:
        if message["type"] == "http.response.body":
            raise RuntimeError("no more")

    headers = [(b"host", b"localhost"), (b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": PATH, "raw_path": PATH.encode(), "query_string": b""}
    await client.app({**scope, "headers": headers, "client": ("127.0.0.1", 1)}, receive, send)  # type: ignore[attr-defined]
    async with asyncio.timeout(10):
        await core.stream_cancelled.wait()
    assert core.left == [core.turns[0].attempt_id]
