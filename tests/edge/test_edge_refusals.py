"""Retries, and what the edge has refused (CHAT-15)."""

import asyncio
import time
from pathlib import Path
from typing import Any

import httpx2
import pytest
from edge_running import KEYS, in_process, options, until
from fake_core import FakeCore, reply_to
from test_edge_errors import check_shape
from test_edge_turn_stream import hurried

from greenroom.edge import Allowance, CoreOptions, HttpOptions, refusals
from greenroom.edge.exchange import Exchange
from greenroom.edge.identifiers import retry_count
from greenroom.edge.refusals import Refusals
from greenroom.v1 import agent_pb2, turn_pb2

PATH = "/v1/chat/completions"
YES: dict[str, Any] = {"messages": [{"role": "user", "content": "yes"}], "session_id": "s"}


class Moody:
    """A limiter that refuses when told to."""

    refusing = False

    async def take(self, key: str) -> Allowance:
        return Allowance(1, 0, 1.0, 0.5 if self.refusing else None)


def retry(count: int, **more: str) -> dict[str, str]:
    return {"x-stainless-retry-count": str(count), **more}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("0", 0),
        ("1", 1),
        ("17", 17),
        ("9999", 9999),
        ("10000", 0),
        ("-1", 0),
        ("+1", 0),
        ("1.0", 0),
        ("1_0", 0),
        ("x", 0),
        ("", 0),
        ("²", 0),
    ],
)
async def test_the_core_is_told_how_often_a_request_was_sent_before(
    client: httpx2.AsyncClient, core: FakeCore, given: str, told: int, stream: bool
) -> None:
    headers = {b"x-stainless-retry-count": given.encode(), b"idempotency-key": b"k1"}
    response = await client.post(PATH, json={**YES, "stream": stream}, headers=headers)
    assert response.status_code == 200
    turn = core.turns[-1]
    assert (turn.retry_count, turn.refused_at_us, turn.idempotency_key) == (told, 0, "k1")


@pytest.mark.parametrize("stream", [False, True])
async def test_a_refused_message_says_since_when_it_is_tried(core: FakeCore, stream: bool) -> None:
    limiter, body = Moody(), {**YES, "stream": stream}
    async with in_process(options(core.target), limiter=limiter) as client:

        async def send(count: int) -> int:
            """What the core is told; -1 when the request did not get there."""
            before = len(core.turns)
            response = await client.post(PATH, json=body, headers=retry(count))
            if len(core.turns) == before:
                assert check_shape(response)["code"] == "rate_limit_exceeded"
                return -1
            assert (response.status_code, core.turns[-1].retry_count) == (200, count)
            return core.turns[-1].refused_at_us

        assert await send(0) == 0  # the first "yes"
        began = time.time()
        limiter.refusing = True
        assert await send(0) == -1  # the second
        ended = time.time()
        assert await send(1) == -1
        limiter.refusing = False
        refused_at = await send(2)
        assert began <= refused_at / 1_000_000 <= ended
        assert await send(3) == refused_at  # its reply was lost
        assert await send(0) == 0  # the third: a message of its own
        assert await send(1) == 0
        limiter.refusing = True
        assert await send(1) == -1
        limiter.refusing = False
        assert await send(2) == 0  # its first attempt was not refused
        limiter.refusing = True
        assert await send(0) == -1
        again = time.time()
        assert await send(0) == -1  # sent anew, so a message of its own
        limiter.refusing = False
        assert await send(1) / 1_000_000 >= again


async def test_another_key_session_or_text_was_not_refused(core: FakeCore) -> None:
    limiter = Moody()
    given = options(core.target, http=HttpOptions(rate_limit=None, session_headers=("X-Chat",)))
    unnamed = {"messages": YES["messages"]}

    async with in_process(given, KEYS.get, limiter) as client:

        async def refused_at(body: Any, **headers: str) -> int:
            await client.post(PATH, json=body, headers=retry(1, **{"x-api-key": "sk-all", **headers}))
            return core.turns[-1].refused_at_us

        limiter.refusing = True
        for headers in ({}, {"x-chat": "a"}, {"x-session-id": "b"}):
            await client.post(PATH, json=unnamed, headers={"x-api-key": "sk-all", **headers})
        limiter.refusing = False
        assert core.turns == []
        assert await refused_at(unnamed)
        assert await refused_at(unnamed, **{"x-chat": "a"}) > await refused_at(unnamed)
        assert await refused_at(unnamed, **{"x-session-id": "b"})
        assert not await refused_at(unnamed, **{"x-chat": "c"})
        assert not await refused_at(unnamed, **{"x-session-id": "a"})
        assert not await refused_at(unnamed, **{"x-api-key": "sk-chat"})
        assert not await refused_at(YES)


async def test_only_chat_is_remembered(core: FakeCore, monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(*_: object) -> None:
        raise AssertionError("the body was read")

    monkeypatch.setattr(refusals, "read_small", never)
    limiter = Moody()
    limiter.refusing = True
    async with in_process(options(core.target), KEYS.get, limiter) as client:
        key = {"x-api-key": "sk-all"}
        assert (await client.post("/users", json={"user_id": "u"}, headers=key)).status_code == 429
        assert (await client.get(PATH, headers=key)).status_code == 429
        assert (await client.post(PATH, json=YES, headers=retry(1, **key))).status_code == 429
        assert (await client.post(PATH, json=YES)).status_code == 401


async def test_a_turn_too_many_for_the_edge_is_a_refusal(core: FakeCore) -> None:
    gate = asyncio.Event()

    async def script(one: agent_pb2.RunTurnRequest) -> turn_pb2.Reply:
        await gate.wait()
        return reply_to(one)

    core.script = script
    async with in_process(options(core.target, core=CoreOptions(target=core.target, max_pending=1))) as client:
        held = asyncio.create_task(client.post(PATH, json=YES))
        await until(lambda: len(core.turns) == 1)
        other = {**YES, "session_id": "other"}
        assert (await client.post(PATH, json=other)).status_code == 503
        gate.set()
        assert (await held).status_code == 200
        assert (await client.post(PATH, json=other, headers=retry(1))).status_code == 200
    assert [one.refused_at_us > 0 for one in core.turns] == [False, True]


@pytest.mark.parametrize("stream", [False, True])
async def test_what_no_core_could_be_given_is_a_refusal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stream: bool
) -> None:
    address = f"unix:{tmp_path}/core.sock"
    late, body = FakeCore(), {**YES, "stream": stream}
    async with in_process(options(address, core=hurried(address, monkeypatch))) as client:
        assert (await client.post(PATH, json=body)).status_code == 503
        await late.start(address)

        async def answered() -> bool:
            return (await client.post(PATH, json=body, headers=retry(1))).status_code == 200

        await until(answered)
    assert all(one.refused_at_us for one in late.turns)
    await late.stop()


@pytest.mark.parametrize("stream", [False, True])
async def test_what_a_core_was_given_is_no_refusal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stream: bool
) -> None:
    monkeypatch.setattr("greenroom.edge.turn_stream._TOLD_AGAIN", 0.001)
    address = f"unix:{tmp_path}/core.sock"
    first, second, body = FakeCore(), FakeCore(), {**YES, "stream": stream}
    asked = asyncio.Event()

    async def never(_: agent_pb2.RunTurnRequest) -> turn_pb2.Reply:
        asked.set()
        await asyncio.Event().wait()
        raise AssertionError

    first.script = never
    await first.start(address)
    async with in_process(options(address, core=hurried(address, monkeypatch))) as client:

        async def connected() -> bool:
            return (await client.get("/health")).status_code == 200

        await until(connected)
        given_up = asyncio.create_task(client.post(PATH, json=body))
        await asyncio.wait_for(asked.wait(), 10)
        await first.stop()
        assert (await given_up).status_code == 503
        await second.start(address)

        async def answered() -> bool:
            return (await client.post(PATH, json=body, headers=retry(1))).status_code == 200

        await until(answered)
        if not stream:  # if it was committed its reply is kept, for a client that sends no count
            await until(lambda: second.left == [first.turns[0].attempt_id])
    assert not any(one.refused_at_us for one in second.turns)
    await second.stop()


def exchange(size: int | None, **headers: str) -> Exchange:
    pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    if size is not None:
        pairs.append((b"content-length", b"%d" % size))
    return Exchange({"type": "http", "method": "POST", "path": PATH, "headers": pairs}, lambda: "req")


async def noted(memory: Refusals, body: bytes, **headers: str) -> None:
    """Refuses a request whose body comes in two pieces, without saying how long it is."""
    pieces = [
        {"type": "http.request", "body": body[:5], "more_body": True},
        {"type": "http.request", "body": body[5:], "more_body": False},
    ]

    async def receive() -> dict[str, Any]:
        return pieces.pop(0)

    await memory.note(exchange(None, **headers), receive)


async def test_refusals_are_forgotten_after_ten_minutes() -> None:
    now = 1000.0
    memory = Refusals(clock=lambda: now)
    await noted(memory, b"first")
    now += 300
    await noted(memory, b"second")
    now += 299
    assert memory.first(exchange(None), b"first", 1) == 1_000_000_000
    now += 2
    assert memory.first(exchange(None), b"first", 1) == 0
    assert memory.first(exchange(None), b"second", 1) == 1_300_000_000
    now += 600
    assert memory.first(exchange(None), b"second", 1) == 0
    assert memory._at == {}


async def test_a_bounded_number_of_refusals_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refusals, "MAX_REFUSALS", 3)
    memory = Refusals(clock=lambda: 1.0)
    for number in range(5):
        await noted(memory, b"body %d" % number)
    assert [bool(memory.first(exchange(None), b"body %d" % number, 1)) for number in range(5)] == [False] * 2 + [
        True
    ] * 3


async def test_a_large_body_is_not_read_to_be_refused() -> None:
    memory = Refusals(clock=lambda: 1.0)

    async def never() -> dict[str, Any]:
        raise AssertionError("read")

    await memory.note(exchange(64 * 1024 + 1), never)
    await noted(memory, b"x" * (64 * 1024 + 1))
    assert memory._at == {}
    await noted(memory, b"x" * 64 * 1024)
    assert memory.first(exchange(None), b"x" * 64 * 1024, 1)


async def test_a_client_that_leaves_while_it_is_refused_is_not_remembered() -> None:
    memory = Refusals()

    async def gone() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    await memory.note(exchange(10), gone)
    assert memory._at == {}


def test_a_count_that_is_not_there_is_none() -> None:
    assert retry_count(None) == 0
