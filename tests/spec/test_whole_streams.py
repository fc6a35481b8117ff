"""A reply that is told while it is made, as a client of HTTP meets it (STREAM-02, STREAM-03, STREAM-06, STREAM-07)."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from time import perf_counter
from typing import Any
from uuid import uuid4

import httpx2
import openai
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from whole_sandbox import CHAT, PATIENCE, Sandbox, add, body_of, sandbox, spoil, until

from greenroom.core.rpc import turn_runner
from greenroom.sdk import Agent, Reply, ToolFailed, Turn, tool

Step = list[Any]


@tool
async def get_order_status(order_id: str) -> str:
    """Says where an order stands."""
    return f"{order_id} is shipped"


class Speaker:
    """An agent that does the steps of its message, which is JSON."""

    def __init__(self) -> None:
        self.agent = Agent("speaker", tools=[add, spoil], world={"counters": {"n": 0}})
        self.agent.reply(self._reply)
        self.gate = asyncio.Event()
        self.said_at = 0.0
        self.said = 0
        self.ended: list[str] = []

    async def _reply(self, turn: Turn) -> AsyncIterator[Any]:
        try:
            for step in json.loads(turn.text):
                match step:
                    case ["say", text]:
                        self.said_at = perf_counter()
                        yield text
                    case ["add", number]:
                        await asyncio.gather(*(turn.call(add, by=n) for n in range(number)))
                    case ["spoil"]:
                        with pytest.raises(ToolFailed):
                            await turn.call(spoil)
                    case ["flood"]:
                        for _ in range(40_000):
                            self.said += 1
                            yield "x" * 1000
                    case ["wait"]:
                        await self.gate.wait()
                    case ["fail"]:
                        raise ValueError("sk-secret")
                    case ["reply", text, confidence, evaluation]:
                        yield Reply(text, confidence=confidence, evaluation=evaluation)
            self.ended.append("done")
        except BaseException as error:
            self.ended.append(type(error).__name__)
            raise


@pytest.fixture
def speaker() -> Speaker:
    return Speaker()


@pytest.fixture
async def whole(tmp_path: Path, speaker: Speaker) -> AsyncIterator[Sandbox]:
    async with sandbox(tmp_path, speaker.agent) as running:
        yield running


@asynccontextmanager
async def reading(whole: Sandbox, steps: list[Step], **fields: Any) -> AsyncIterator[AsyncIterator[Any]]:
    """The stream's events as they come: chunks, and at last "[DONE]"."""
    key = fields.pop("key", "")
    headers = {"idempotency-key": key} if key else {}
    body = {"session_id": "s1", **body_of(json.dumps(steps)), "stream": True, **fields}
    async with whole.http.stream("POST", CHAT, json=body, headers=headers) as response:
        assert response.status_code == 200, await response.aread()
        yield events_of(response)


async def events_of(response: httpx2.Response) -> AsyncIterator[Any]:
    async for line in response.aiter_lines():
        if line.startswith("data: "):
            yield line[6:] if line == "data: [DONE]" else json.loads(line[6:])
        else:
            assert line in {"", ": ping"}


def content_of(event: Any) -> str:
    return str(event["choices"][0]["delta"].get("content", "")) if event["choices"] else ""


async def next_text(events: AsyncIterator[Any]) -> str:
    async with asyncio.timeout(PATIENCE):
        while not (text := content_of(await anext(events))):
            pass
    return text


async def test_text_arrives_while_the_agent_writes_it(whole: Sandbox, speaker: Speaker) -> None:
    async with reading(whole, [["say", "One "], ["wait"], ["say", "two."]]) as events:
        assert await next_text(events) == "One "
        assert speaker.ended == []
        assert (await whole.read("/v1/sessions"))["sessions"] == []
        speaker.gate.set()
        rest = [event async for event in events]
    assert [content_of(event) for event in rest[:-2]] == ["two."]
    assert rest[-2]["choices"][0]["finish_reason"] == "stop"
    assert rest[-1] == "[DONE]"
    [turn] = (await whole.read("/v1/sessions/s1/turns"))["turns"]
    assert turn["reply"]["content"] == "One two."


async def test_what_is_said_is_read_at_once(whole: Sandbox, speaker: Speaker) -> None:
    """5 ms is the aim at p99 (`make bench` measures it); here the least of a few shows that nothing waits for a timer."""
    took = []
    for number in range(20):
        async with reading(whole, [["say", "One "], ["wait"]], session_id=f"s{number}") as events:
            await next_text(events)
            took.append(perf_counter() - speaker.said_at)
    assert min(took) < 0.01


texts = st.text(max_size=6)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("say"), texts).map(list),
        st.tuples(st.just("add"), st.integers(1, 3)).map(list),
        st.just(["spoil"]),
    ),
    max_size=6,
)
replies = st.one_of(
    st.none(),
    st.tuples(
        st.just("reply"),
        texts,
        st.one_of(st.none(), st.floats(0, 1)),
        st.one_of(st.none(), st.dictionaries(st.text(max_size=3), st.integers(), max_size=2)),
    ).map(list),
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=steps, reply=replies, trace=st.sampled_from(["message", "metadata"]))
async def test_the_stream_and_the_reply_are_one_thing(
    whole: Sandbox, steps: list[Step], reply: Step | None, trace: str
) -> None:
    """As the official client folds it, with what it leaves alone taken from the chunks."""
    script = [*steps, *([reply] if reply else [])]
    session, key = f"s{uuid4().hex}", uuid4().hex
    headers = {"Idempotency-Key": key, "X-Tool-Trace": trace}
    request: dict[str, Any] = {
        "model": "speaker",
        "messages": [{"role": "user", "content": json.dumps(script)}],
        "extra_body": {"session_id": session},
        "extra_headers": headers,
    }
    async with openai.AsyncOpenAI(base_url=f"{whole.url}/v1", api_key="none", max_retries=0) as sdk:
        async with sdk.chat.completions.stream(**request, stream_options={"include_usage": True}) as stream:
            chunks = [event.chunk.to_dict(warnings=False) async for event in stream if event.type == "chunk"]
            folded = (await stream.get_final_completion()).to_dict(warnings=False)
        unary = (await sdk.chat.completions.create(**request)).to_dict(warnings=False)
    message, expected = folded["choices"][0]["message"], unary["choices"][0]["message"]
    assert (message.get("content") or "") == expected["content"]
    calls, expected_calls = message.get("tool_calls") or [], expected.get("tool_calls") or []
    assert [call.pop("index") for call in calls] == list(range(len(calls)))
    for call in calls:
        call["function"].pop("parsed_arguments", None)
    assert calls == expected_calls
    assert folded["usage"] == unary["usage"]
    assert folded["id"] == unary["id"]
    [last] = [chunk for chunk in chunks if chunk["choices"] and chunk["choices"][0]["finish_reason"]]
    for name in ("metadata", "evaluation_metadata", "session_id", "chat_id", "model"):
        assert last[name] == unary[name]
    assert {chunk["session_id"] for chunk in chunks} == {session}


@pytest.mark.parametrize("read", range(7))
async def test_a_reader_may_leave_after_any_event(
    whole: Sandbox, speaker: Speaker, monkeypatch: pytest.MonkeyPatch, read: int
) -> None:
    """The turn is stopped, and the session is as it was; the same request runs it once."""
    monkeypatch.setattr(turn_runner, "GRACE", 0.05)
    script = [["say", "a"], ["add", 2], ["say", "b"], ["say", "c"], ["wait"], ["say", "d"]]
    async with reading(whole, script) as events:
        for _ in range(min(read, 6)):  # the role, a, two calls, b and c
            await anext(events)
    await until(lambda: speaker.ended == ["CancelledError"])
    speaker.gate.set()
    again = await whole.chat(json.dumps(script), session_id="s1")
    assert again["choices"][0]["message"]["content"] == "abcd"
    assert (await whole.read("/v1/sessions/s1/world"))["world"] == {"counters": {"n": 1}}
    assert len((await whole.read("/v1/sessions/s1/turns"))["turns"]) == 1


async def test_a_reader_with_an_idempotency_key_may_leave_and_come_back(whole: Sandbox, speaker: Speaker) -> None:
    script = [["add", 2], ["say", "a"], ["wait"], ["say", "b"]]
    async with reading(whole, script, key="k") as events:
        assert await next_text(events) == "a"
    speaker.gate.set()
    await until(lambda: speaker.ended == ["done"])
    async with reading(whole, script, key="k") as events:
        told = [event async for event in events]
    assert "".join(content_of(event) for event in told[:-1]) == "ab"
    assert len((await whole.read("/v1/sessions/s1/turns"))["turns"]) == 1


async def test_a_failure_is_an_http_error_before_the_first_event_and_an_event_after_it(whole: Sandbox) -> None:
    early = await whole.http.post(CHAT, json={**body_of('[["fail"]]'), "stream": True})
    assert (early.status_code, early.json()["error"]["code"]) == (500, "server_error")
    async with reading(whole, [["say", "a"], ["add", 2], ["fail"]]) as events:
        told = [event async for event in events]
    assert told[-1]["error"]["code"] == early.json()["error"]["code"]
    assert "sk-secret" not in json.dumps(told)
    assert (await whole.http.get("/v1/sessions/s1")).status_code == 404


async def test_a_slow_reader_holds_its_own_turn_back_and_nobody_else(whole: Sandbox, speaker: Speaker) -> None:
    host, port = whole.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port), limit=1024)
    content = json.dumps({**body_of('[["flood"]]'), "stream": True}).encode()
    writer.write(
        f"POST {CHAT} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\n"
        f"content-length: {len(content)}\r\n\r\n".encode()
        + content
    )
    assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    before = -1
    while before != speaker.said:
        before = speaker.said
        await asyncio.sleep(0.3)
        assert (await whole.chat('[["say", "quick"]]'))["choices"][0]["message"]["content"] == "quick"
    assert speaker.said < 15_000  # most of it in the buffers of the two sockets
    writer.close()


async def test_a_drain_lets_streams_finish(whole: Sandbox, speaker: Speaker) -> None:
    async with reading(whole, [["say", "a"], ["wait"], ["say", "b"]]) as events:
        assert await next_text(events) == "a"
        draining = asyncio.ensure_future(whole.server.drain(PATIENCE))
        await asyncio.sleep(0.05)
        assert not draining.done()
        speaker.gate.set()
        told = [event async for event in events]
        await draining
    assert told[-1] == "[DONE]"


async def test_the_agent_of_the_page_streams_as_it_says(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "streaming.md").read_text()
    [code] = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)
    agent = Agent("page", tools=[get_order_status])
    agent.reply(names["reply"])
    async with sandbox(tmp_path, agent) as whole, reading(whole, []) as events:
        told = [content_of(event) async for event in events if event != "[DONE]"]
    assert [text for text in told if text] == ["One moment… ", "It ", "is ", "on ", "its ", "way."]


async def test_who_has_read_a_stream_to_its_end_may_say_the_same_again(whole: Sandbox) -> None:
    for number in range(1, 11):
        async with reading(whole, [["say", "a"], ["add", 1]]) as events:
            told = [event async for event in events]
        assert told[-2]["metadata"]["turn"] == number


async def test_what_is_stored_after_its_reader_has_left_is_kept_for_the_same_request(
    whole: Sandbox, speaker: Speaker
) -> None:
    script = [["add", 1], ["say", "a"], ["wait"]]
    async with reading(whole, script) as events:
        assert await next_text(events) == "a"
    await until(lambda: not any(flight.waiting for flight in whole.core.turns._repeats.flights.values()))
    speaker.gate.set()
    await until(lambda: speaker.ended == ["done"])
    again = await whole.post({**body_of(json.dumps(script)), "session_id": "s1"})
    assert again.headers["idempotency-replayed"] == "true"
    assert again.json()["metadata"]["turn"] == 1
    assert speaker.ended == ["done"]
