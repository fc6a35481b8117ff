"""The stream of turns to the core: coalescing, order, breaks, deadlines (performance.md, CHAT-15, CHAT-18)."""

import asyncio
import gc
import json
from pathlib import Path

import grpc
import httpx2
import pytest
from edge_running import in_process, options, served, until
from fake_core import FakeCore, failure, reply_to
from test_edge_errors import check_shape

from greenroom.edge import CoreOptions, client
from greenroom.edge.telling import Telling
from greenroom.v1 import agent_pb2, turn_pb2

PATH = "/v1/chat/completions"


def turn(text: str, session: str = "s") -> dict[str, object]:
    return {"messages": [{"role": "user", "content": text}], "session_id": session}


async def test_the_second_turn_of_a_list_may_answer_first(client: httpx2.AsyncClient, core: FakeCore) -> None:
    gate = asyncio.Event()

    async def script(one: agent_pb2.RunTurnRequest) -> turn_pb2.Reply:
        if one.session_id == "slow":
            await gate.wait()
        return reply_to(one)

    core.script = script
    slow = asyncio.create_task(client.post(PATH, json=turn("a", "slow")))
    assert (await client.post(PATH, json=turn("b", "quick"))).status_code == 200
    assert not slow.done()
    gate.set()
    assert (await slow).json()["session_id"] == "slow"


async def test_what_arrives_in_one_tick_leaves_as_one_list(client: httpx2.AsyncClient, core: FakeCore) -> None:
    await client.post(PATH, json=turn("warm up"))
    core.lists.clear()
    answers = await asyncio.gather(*(client.post(PATH, json=turn("x", f"s{n}")) for n in range(50)))
    assert [answer.json()["session_id"] for answer in answers] == [f"s{n}" for n in range(50)]
    assert sum(core.lists) == 50
    assert len(core.lists) < 25


async def test_a_list_is_sent_at_256_kib_and_a_larger_turn_goes_alone(
    client: httpx2.AsyncClient, core: FakeCore
) -> None:
    await client.post(PATH, json=turn("warm up"))
    core.lists.clear()
    large = "x" * 300_000
    answers = await asyncio.gather(*(client.post(PATH, json=turn(large, f"s{n}")) for n in range(12)))
    assert {answer.status_code for answer in answers} == {200}
    assert core.lists == [1] * 12


async def test_a_turn_whose_stream_broke_is_sent_again_as_the_same_attempt(
    client: httpx2.AsyncClient, core: FakeCore
) -> None:
    gate = asyncio.Event()
    runs = 0

    async def script(one: agent_pb2.RunTurnRequest) -> turn_pb2.Reply:
        nonlocal runs
        if one.session_id == "first":
            runs += 1
            if runs == 1:
                await gate.wait()
        return reply_to(one)

    core.script = script
    waiting = asyncio.create_task(client.post(PATH, json=turn("a", "first")))
    await until(lambda: runs == 1)
    core.break_after = 1
    other = await client.post(PATH, json=turn("b", "second"))
    assert other.status_code == 200
    assert (await waiting).status_code == 200
    first = [one for one in core.turns if one.session_id == "first"]
    assert len(first) == 2
    assert first[0].attempt_id == first[1].attempt_id
    assert [one.resent for one in first] == [False, True]
    assert [one.timeout_ms > 0 for one in first] == [False, True]
    assert first[1].held_us > first[0].held_us  # which may have waited for the first stream


@pytest.mark.parametrize("stream", [False, True])
async def test_callers_wait_while_the_core_restarts(tmp_path: Path, stream: bool) -> None:
    address = f"unix:{tmp_path}/core.sock"
    first = FakeCore()
    await first.start(address)
    asked = asyncio.Event()

    async def never(_: agent_pb2.RunTurnRequest) -> turn_pb2.Reply:
        asked.set()
        await asyncio.Event().wait()
        raise AssertionError

    first.script = never
    async with in_process(options(address)) as client:
        waiting = asyncio.create_task(client.post(PATH, json={**turn("a"), "stream": stream}))
        async with asyncio.timeout(20):
            await asked.wait()
            await first.stop()
            later = asyncio.create_task(client.post(PATH, json=turn("b", "later")))
            reading = asyncio.create_task(client.get("/users/u1"))
            second = FakeCore()
            await second.start(address)
            assert (await waiting).status_code == 200
            assert (await later).status_code == 200
            assert (await reading).status_code == 404
        resent = {one.session_id: one.resent for one in second.turns}
        assert resent["s"]
        [early] = first.turns
        assert all(one.held_us > early.held_us for one in second.turns)  # the core is told how old they are
        assert {one.attempt_id for one in first.turns} <= {one.attempt_id for one in second.turns}
    await second.stop()


async def test_an_edge_may_start_before_its_core(tmp_path: Path) -> None:
    address = f"unix:{tmp_path}/core.sock"
    async with in_process(options(address)) as client, asyncio.timeout(20):
        waiting = asyncio.create_task(client.post(PATH, json=turn("a")))
        core = FakeCore()
        await core.start(address)
        assert (await waiting).status_code == 200
    await core.stop()


def hurried(target: str, monkeypatch: pytest.MonkeyPatch) -> CoreOptions:
    monkeypatch.setattr(client, "SLACK", 0.3)
    monkeypatch.setattr(client, "UNARY_TIMEOUT", 0.7)
    return CoreOptions(target=target, turn_timeout=0.3, session_wait=0.1)


async def test_a_core_that_is_not_there_is_503(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    address = f"unix:{tmp_path}/nobody.sock"
    async with in_process(options(address, core=hurried(address, monkeypatch))) as client:
        for response in await asyncio.gather(
            client.post(PATH, json=turn("a")),
            client.post(PATH, json={**turn("a"), "stream": True}),
            client.get("/users/u1"),
        ):
            assert response.status_code == 503
            assert check_shape(response)["type"] == "overloaded_error"


async def test_a_turn_that_was_given_up_never_reaches_a_core_that_comes_late(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = f"unix:{tmp_path}/core.sock"
    late = FakeCore()
    async with in_process(options(address, core=hurried(address, monkeypatch))) as client:
        assert (await client.post(PATH, json=turn("a", "given up"))).status_code == 503
        await late.start(address)

        async def answered() -> bool:
            return (await client.post(PATH, json=turn("a", "wanted"))).status_code == 200

        await until(answered)
    assert {one.session_id for one in late.turns} == {"wanted"}
    await late.stop()


async def test_a_core_that_does_not_answer_is_504_and_told_to_stop(
    core: FakeCore, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(_: agent_pb2.RunTurnRequest) -> turn_pb2.Reply:
        await asyncio.Event().wait()
        raise AssertionError

    core.script = never
    async with in_process(options(core.target, core=hurried(core.target, monkeypatch))) as client:

        async def connected() -> bool:
            return (await client.get("/health")).status_code == 200

        await until(connected)
        response = await client.post(PATH, json=turn("a"))
        assert response.status_code == 504
        assert check_shape(response)["type"] == "timeout_error"
        await until(lambda: core.cancelled == [1])
        streamed = await client.post(PATH, json={**turn("a"), "stream": True})
        assert streamed.status_code == 504


async def test_a_core_that_refuses_this_edge_is_503_at_once(core: FakeCore) -> None:
    async def refuse(requests: object, context: grpc.aio.ServicerContext[object, object]) -> None:
        await context.abort(grpc.StatusCode.UNAUTHENTICATED, "who are you?")

    core.RunTurns = refuse  # type: ignore[method-assign, assignment]
    await core.stop()
    target = await core.start()
    async with in_process(options(target)) as client, asyncio.timeout(10):
        assert (await client.post(PATH, json=turn("a"))).status_code == 503


async def test_the_edge_holds_a_bounded_number_of_turns(core: FakeCore) -> None:
    gate = asyncio.Event()

    async def script(one: agent_pb2.RunTurnRequest) -> turn_pb2.Reply:
        await gate.wait()
        return reply_to(one)

    core.script = script
    async with in_process(options(core.target, core=CoreOptions(target=core.target, max_pending=2))) as client:
        held = [asyncio.create_task(client.post(PATH, json=turn("a", f"s{n}"))) for n in range(2)]
        await until(lambda: len(core.turns) == 2)
        assert (await client.post(PATH, json=turn("one too many"))).status_code == 503
        gate.set()
        assert [(await one).status_code for one in held] == [200, 200]


async def test_a_client_that_leaves_does_not_stop_its_turn(core: FakeCore) -> None:
    gate, finished = asyncio.Event(), asyncio.Event()

    async def script(one: agent_pb2.RunTurnRequest) -> turn_pb2.Reply:
        await gate.wait()
        finished.set()
        return reply_to(one)

    core.script = script
    async with served(options(core.target)) as url:
        async with httpx2.AsyncClient(base_url=url) as client:
            with pytest.raises(httpx2.TimeoutException):
                await client.post(PATH, json=turn("a"), timeout=0.2)
        gate.set()
        async with asyncio.timeout(10):
            await finished.wait()
    assert core.cancelled == []


async def test_an_edge_that_closes_ends_its_stream_in_good_order(core: FakeCore) -> None:
    async with in_process(options(core.target)) as client:
        await client.post(PATH, json=turn("x"))
        assert core.parted == 0
    assert core.parted == 1


async def test_a_refused_turn_leaves_the_others_alone(client: httpx2.AsyncClient, core: FakeCore) -> None:
    async def script(one: agent_pb2.RunTurnRequest) -> object:
        if one.session_id == "bad":
            return failure(grpc.StatusCode.INVALID_ARGUMENT, "BAD_REQUEST")
        return reply_to(one)

    core.script = script  # type: ignore[assignment]
    answers = await asyncio.gather(*(client.post(PATH, json=turn("a", name)) for name in ("a", "bad", "b")))
    assert [answer.status_code for answer in answers] == [200, 400, 200]


async def test_a_reply_that_is_being_told_when_the_stream_breaks_ends_there(
    client: httpx2.AsyncClient, core: FakeCore
) -> None:
    """It is not asked for again, since it might come out otherwise; the core hears that nobody has it."""

    async def never(_: agent_pb2.RunTurnRequest) -> turn_pb2.Reply:
        await asyncio.Event().wait()
        raise AssertionError

    core.script, core.deltas, core.break_after = never, ("so ", "far"), 3
    response = await client.post(PATH, json={**turn("a"), "stream": True})
    assert response.status_code == 200
    *told, last = [line for line in response.text.split("\n\n") if line]
    assert [json.loads(line[6:])["choices"][0]["delta"]["content"] for line in told] == ["", "so ", "far"]
    assert json.loads(last[6:])["error"]["type"] == "overloaded_error"
    await until(lambda: core.left == [core.turns[0].attempt_id])
    assert len(core.turns) == 1


async def test_one_of_which_nothing_was_told_is_asked_for_again(client: httpx2.AsyncClient, core: FakeCore) -> None:
    runs = 0

    async def script(one: agent_pb2.RunTurnRequest) -> turn_pb2.Reply:
        nonlocal runs
        runs += 1
        if runs == 1:
            await asyncio.Event().wait()
        return reply_to(one)

    core.script = script
    waiting = asyncio.create_task(client.post(PATH, json={**turn("a", "first"), "stream": True}))
    await until(lambda: runs == 1)
    core.break_after = 1
    assert (await client.post(PATH, json=turn("b", "second"))).status_code == 200
    assert (await waiting).text.endswith("data: [DONE]\n\n")
    first = [(one.attempt_id, one.resent) for one in core.turns if one.session_id == "first"]
    assert first == [(first[0][0], False), (first[0][0], True)]
    assert all(stream for one, stream in zip(core.turns, core.streamed, strict=True) if one.session_id == "first")


async def test_the_core_is_told_how_far_a_stream_is_out(client: httpx2.AsyncClient, core: FakeCore) -> None:
    """In steps; a short reply needs none."""
    await client.post(PATH, json={**turn("short"), "stream": True})
    assert core.read == []
    core.deltas = ("é" * 5000, "x" * 5000, "y" * 9000, "z" * 100)

    async def script(one: agent_pb2.RunTurnRequest) -> turn_pb2.Reply:
        await until(lambda: sum(characters for _, characters in core.read) == 19_000)
        return reply_to(one, text="".join(core.deltas))

    core.script = script
    response = await client.post(PATH, json={**turn("long"), "stream": True})
    assert response.text.endswith("data: [DONE]\n\n")
    assert len(core.read) <= 2


async def test_a_reader_that_does_not_read_is_not_said_to_have_read(core: FakeCore) -> None:
    core.deltas = ("x" * 30_000,) * 200

    async def never(_: agent_pb2.RunTurnRequest) -> turn_pb2.Reply:
        await asyncio.Event().wait()
        raise AssertionError

    core.script = never
    async with served(options(core.target)) as url:
        address = httpx2.URL(url)
        reader, writer = await asyncio.open_connection(address.host, address.port, limit=1024)
        body = json.dumps({**turn("a"), "stream": True}).encode()
        head = f"POST {PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        out = -1
        while out != sum(characters for _, characters in core.read):  # until it stands still
            out = sum(characters for _, characters in core.read)
            await asyncio.sleep(0.2)
        assert 0 < out < 200 * 30_000 - 100_000
        while sum(characters for _, characters in core.read) < 200 * 30_000:
            assert await reader.read(65536)
        writer.close()


async def test_streams_are_refused_too_when_there_is_no_room(core: FakeCore) -> None:
    gate = asyncio.Event()

    async def script(one: agent_pb2.RunTurnRequest) -> turn_pb2.Reply:
        await gate.wait()
        return reply_to(one)

    core.script = script
    given = options(core.target)
    async with in_process(options(core.target, core=type(given.core)(target=core.target, max_pending=1))) as client:
        waiting = asyncio.create_task(client.post(PATH, json={**turn("a"), "stream": True}))
        await until(lambda: len(core.turns) == 1)
        refused = await client.post(PATH, json={**turn("b"), "stream": True})
        assert (refused.status_code, check_shape(refused)["type"]) == (503, "overloaded_error")
        gate.set()
        assert (await waiting).text.endswith("data: [DONE]\n\n")


async def test_nothing_of_a_streamed_turn_waits_for_the_garbage_collector(
    client: httpx2.AsyncClient, core: FakeCore
) -> None:
    """It would keep the request and the reply for as long."""

    def left_over() -> list[Telling]:
        return [thing for thing in gc.get_objects() if type(thing) is Telling]

    gc.collect()
    gc.disable()
    try:
        for number in range(3):
            await client.post(PATH, json={**turn(f"hi {number}"), "stream": True})
        await until(lambda: not left_over())
    finally:
        gc.enable()
