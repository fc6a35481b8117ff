"""`RunTurns`: many turns over one stream, each answered as it completes (GRPC-01, design/performance.md)."""

import asyncio
import threading

import grpc
import pytest
from core_running import PATIENCE, Failure, Serve, Stream, request, until

from greenroom.core.limits import Limits
from greenroom.sdk import Agent, Turn, World, tool
from greenroom.v1 import agent_pb2, turn_pb2


@tool
async def grow(world: World, size: int) -> str:
    """Makes a record of some size, and returns as much."""
    world["big"]["it"] = "x" * size
    return "y" * size


def obedient() -> tuple[Agent, asyncio.Event]:
    """Does what its user says: "wait", "fail", "size N", "grow N M"; else repeats it."""
    agent, gate = Agent("obedient", tools=[grow], world={"big": {}}), asyncio.Event()

    @agent.reply
    async def reply(turn: Turn) -> str:
        match turn.text.split():
            case ["wait"]:
                await gate.wait()
            case ["fail"]:
                raise RuntimeError("boom")
            case ["size", size]:
                return "z" * int(size)
            case ["wide", size]:
                return "\U0001f600" * int(size)
            case ["grow", times, size]:
                for _ in range(int(times)):
                    await turn.call(grow, size=int(size))
            case ["remember", size]:
                turn.state["it"] = "x" * int(size)
        return turn.text

    return agent, gate


async def test_of_two_turns_in_one_message_the_second_answers_while_the_first_still_runs(serve: Serve) -> None:
    agent, gate = obedient()
    core = await serve(agent)
    stream = Stream(core)
    await stream.send({1: request("wait", sid="a"), 2: request("hello", sid="b")})
    assert (await stream.reply(2)).text == "hello"
    await stream.send({3: request("more", sid="b")})
    assert (await stream.reply(3)).number == 2
    gate.set()
    assert (await stream.reply(1)).text == "wait"
    stream.call.cancel()


async def test_turns_that_arrive_together_are_answered_in_lists(serve: Serve) -> None:
    core = await serve(obedient()[0])
    stream = Stream(core)
    await stream.send({n: request(str(n), sid=f"s{n}") for n in range(100)})
    for n in range(100):
        assert (await stream.reply(n)).text == str(n)
    assert len(stream.messages) < 60
    stream.call.cancel()


async def test_each_turn_has_its_own_deadline(serve: Serve) -> None:
    agent, gate = obedient()
    core = await serve(agent)
    stream = Stream(core)
    await stream.send({1: request("wait", sid="a", timeout_ms=30), 2: request("wait", sid="b")})
    failure = await stream.failure(1)
    assert (failure.code, failure.reason) == (grpc.StatusCode.DEADLINE_EXCEEDED, "TURN_TIMEOUT")
    gate.set()
    assert (await stream.reply(2)).text == "wait"
    stream.call.cancel()


async def test_a_turn_waits_for_its_session_and_for_a_place_within_its_deadline_altogether(serve: Serve) -> None:
    agent, gate = obedient()
    core = await serve(agent, limits=Limits(max_in_flight=1))
    stream = Stream(core)
    await stream.send({1: request("wait", sid="a"), 2: request("hello", sid="b", timeout_ms=30)})
    assert (await stream.failure(2)).reason == "OVERLOADED"
    await stream.send({3: request("hello", sid="a", timeout_ms=30)})
    assert (await stream.failure(3)).reason == "SESSION_BUSY"
    gate.set()
    await stream.reply(1)
    stream.call.cancel()


async def test_a_turn_that_is_cancelled_stops_is_answered_so_and_leaves_nothing(serve: Serve) -> None:
    agent, _ = obedient()
    core = await serve(agent)
    stream = Stream(core)
    await stream.send({1: request("one"), 2: request("wait"), 3: request("three")})
    await stream.reply(1)
    await until(lambda: core.core.turns.capacity.running == 1)
    await stream.send(cancel=[2, 99])
    failure = await stream.failure(2)
    assert (failure.code, failure.reason, failure.retryable) == (grpc.StatusCode.CANCELLED, "TURN_CANCELLED", False)
    assert (await stream.reply(3)).number == 2
    assert [turn.reply.text for turn in (await core.turns()).turns] == ["one", "three"]
    stream.call.cancel()


async def test_closing_the_request_side_lets_the_turns_finish(serve: Serve) -> None:
    agent, gate = obedient()
    core = await serve(agent)
    stream = Stream(core)
    await stream.send({1: request("wait", sid="a"), 2: request("hello", sid="b")})
    await stream.call.done_writing()
    await stream.reply(2)
    gate.set()
    assert (await stream.reply(1)).text == "wait"
    await stream.ends()


async def test_a_stream_that_is_closed_with_nothing_on_it_ends(serve: Serve) -> None:
    core = await serve(obedient()[0])
    stream = Stream(core)
    await stream.call.done_writing()
    await stream.ends()


async def test_a_large_reply_goes_alone(serve: Serve) -> None:
    core = await serve(obedient()[0])
    stream = Stream(core)
    large = 300_000
    await stream.send({n: request(f"size {large if n % 5 == 0 else 10}", sid=f"s{n}") for n in range(20)})
    for n in range(20):
        await stream.reply(n)
    for message in stream.messages:
        sizes = [len(outcome.reply.text) for outcome in message.outcomes]
        assert large not in sizes or len(sizes) == 1
        assert message.ByteSize() < large + 10_000
    stream.call.cancel()


async def failing(stream: Stream, sequence: int, turn: agent_pb2.RunTurnRequest) -> Failure:
    await stream.send({sequence: turn})
    return await stream.failure(sequence)


async def test_an_outcome_that_is_an_error_says_all_that_a_call_would(serve: Serve) -> None:
    core = await serve(obedient()[0])
    stream = Stream(core)
    bad = await failing(stream, 1, request("x", metadata_json="[]"))
    assert (bad.code, bad.reason, bad.fields) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "BAD_REQUEST",
        {"metadata": "metadata: a JSON object is needed"},
    )
    agents = await failing(stream, 2, request("fail"))
    assert (agents.code, agents.reason, agents.message, agents.retryable) == (
        grpc.StatusCode.INTERNAL,
        "AGENT_FAILED",
        "Internal server error",
        True,
    )
    draining = asyncio.ensure_future(core.server.drain(PATIENCE))
    await until(lambda: core.server._runner.draining)  # type: ignore[union-attr]
    refused = await failing(stream, 3, request("x"))
    assert (refused.code, refused.reason, refused.retry_after) == (grpc.StatusCode.UNAVAILABLE, "DRAINING", 1.0)
    assert await draining
    stream.call.cancel()


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (f"size {4 * 1024 * 1024}", "reply"),
        (f"wide {1024 * 1024 + 1}", "reply"),
        ("grow 5 1000000", "reply"),
        ("grow 1 1048576", "result"),
        (f"remember {4 * 1024 * 1024}", "state"),
    ],
)
async def test_what_would_not_pass_the_stream_fails_its_own_turn_alone(serve: Serve, text: str, named: str) -> None:
    agent, gate = obedient()
    core = await serve(agent)
    stream = Stream(core)
    await stream.send({1: request("wait", sid="a"), 2: request(text, sid="b")})
    failure = await stream.failure(2)
    assert (failure.code, failure.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "LIMIT_EXCEEDED")
    assert named in failure.message
    gate.set()
    assert (await stream.reply(1)).text == "wait"
    stream.call.cancel()


async def test_large_changes_stay_out_of_replies_and_listings_and_are_read_with_the_world(serve: Serve) -> None:
    core = await serve(obedient()[0])
    answer = await core.say("grow 3 1000000")
    assert [(len(call.changes), len(call.result_json)) for call in answer.tool_calls] == [(0, 1_000_002)] * 3
    small = await core.say("grow 1 10")
    assert [len(call.changes) for call in small.tool_calls] == [0]  # a million before
    tiny = await core.say("grow 1 20")
    assert [len(call.changes) for call in tiny.tool_calls] == [1]
    turns = (await core.turns()).turns
    assert [len(turn.changes) for turn in turns] == [0]


async def test_evidence_that_is_too_large_to_send_does_not_hide_the_rest(serve: Serve) -> None:
    core = await serve(obedient()[0])
    await core.say("hello")
    await core.refuses("grow 6 1000000")
    await core.refuses("fail")
    listed = await core.turns()
    assert [(failed.reason, len(failed.tool_calls)) for failed in listed.failed] == [
        ("LIMIT_EXCEEDED", 0),
        ("AGENT_FAILED", 0),
    ]
    assert listed.ByteSize() < 4_000_000


async def test_a_streamed_turn_is_its_text_then_its_completed_reply(serve: Serve) -> None:
    core = await serve(obedient()[0])
    events = [
        event
        async for event in core.agents.StreamTurn(
            agent_pb2.StreamTurnRequest(turn=request("hello there")), timeout=PATIENCE
        )
    ]
    assert "".join(event.text_delta for event in events[:-1]) == "hello there"
    assert events[-1].completed.text == "hello there"
    assert events[-1].completed.history == turn_pb2.HISTORY_NEW
    with pytest.raises(grpc.aio.AioRpcError) as error:
        async for _ in core.agents.StreamTurn(agent_pb2.StreamTurnRequest(turn=request("fail")), timeout=PATIENCE):
            pass
    assert error.value.code() is grpc.StatusCode.INTERNAL


async def test_many_plain_functions_that_wait_for_plain_tools_do_not_starve_each_other(serve: Serve) -> None:
    everyone = threading.Barrier(100)

    @tool
    def inner(text: str) -> str:
        """Repeats."""
        return text

    @tool
    def outer(turn: Turn, text: str) -> str:
        """Repeats through another tool."""
        return str(turn.call_sync(inner, text=text))

    agent = Agent("plain", tools=[inner, outer])

    @agent.reply
    def reply(turn: Turn) -> str:
        everyone.wait(PATIENCE)
        return str(turn.call_sync(outer, text=turn.text))

    core = await serve(agent)
    stream = Stream(core)
    await stream.send({n: request(str(n), sid=f"s{n}") for n in range(100)})
    for n in range(100):
        assert (await stream.reply(n)).text == str(n)
    stream.call.cancel()
