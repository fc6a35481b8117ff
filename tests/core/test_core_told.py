"""Streamed turns among those of `RunTurns`: the edge's path (STREAM-02, STREAM-03, STREAM-06)."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from core_running import Serve, Stream, request, until

from greenroom.core.agent import as_agent
from greenroom.core.feed import WINDOW
from greenroom.core.limits import Limits
from greenroom.core.rpc import turn_runner
from greenroom.sdk import Agent, Reply, Turn, World, tool
from greenroom.v1 import agent_pb2

PIECE = "x" * 1000


@tool
async def count(world: World) -> int:
    """Counts up."""
    world["counter"]["n"] += 1
    return int(world["counter"]["n"])


class Speaker:
    """Does what its user says, word by word; "wait" is for the gate, "flood" says more than anybody reads."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.said = 0
        self.ended: list[str] = []
        self.agent = Agent("speaker", tools=[count], world={"counter": {"n": 0}})
        self.agent.reply(self._reply)

    async def _reply(self, turn: Turn) -> AsyncIterator[Any]:
        try:
            for word in turn.text.split():
                match word:
                    case "wait":
                        await self.gate.wait()
                    case "count":
                        await turn.call(count)
                    case "fail":
                        raise RuntimeError("boom")
                    case "flood":
                        for _ in range(400):
                            yield PIECE
                            self.said += 1
                    case _:
                        yield word
        except BaseException as error:
            self.ended.append(type(error).__name__)
            raise
        self.ended.append("done")
        yield Reply("", confidence=0.5)


@pytest.fixture
def speaker() -> Speaker:
    return Speaker()


def shown(stream: Stream, sequence: int) -> list[str]:
    return [str(event.WhichOneof("event")) for event in stream.told.get(sequence, ())]


def progress(sequence: int, characters: int) -> agent_pb2.RunTurnsRequest:
    return agent_pb2.RunTurnsRequest(read=[agent_pb2.TurnProgress(sequence=sequence, characters=characters)])


async def test_streamed_and_other_turns_share_a_stream(serve: Serve, speaker: Speaker) -> None:
    core = await serve(speaker.agent)
    stream = Stream(core)
    await stream.send({1: request("One count wait two", sid="a")}, stream=True)
    await stream.says(1, "One")
    await stream.send({2: request("hello", sid="b")})
    assert (await stream.reply(2)).text == "hello"
    assert 2 not in stream.told
    speaker.gate.set()
    reply = await stream.reply(1)
    assert (reply.text, reply.confidence, stream.text(1)) == ("Onetwo", 0.5, "Onetwo")
    assert shown(stream, 1) == ["started", "text_delta", "tool_call", "text_delta"]
    started, _, call, _ = stream.told[1]
    assert (started.started.completion_id, started.started.session_id) == (reply.completion_id, "a")
    assert [call.tool_call] == list(reply.tool_calls)
    stream.call.cancel()


async def test_the_first_word_is_told_although_nothing_waits_before_it(serve: Serve, speaker: Speaker) -> None:
    """In a session that is known nothing is read from the store: the turn runs to its gate within the tick it came in."""
    core = await serve(speaker.agent)
    stream = Stream(core)
    await stream.send({1: request("hi")}, stream=True)
    await stream.reply(1)
    await stream.send({2: request("word wait")}, stream=True)
    await stream.says(2, "word")
    stream.call.cancel()


async def test_what_is_told_in_one_tick_shares_a_message(serve: Serve, speaker: Speaker) -> None:
    core = await serve(speaker.agent)
    stream = Stream(core)
    await stream.send({n: request("wait a b c", sid=f"s{n}") for n in range(50)}, stream=True)
    await until(lambda: core.core.turns.capacity.running == 50)
    speaker.gate.set()
    for n in range(50):
        assert (await stream.reply(n)).text == stream.text(n) == "abc"
    assert len(stream.messages) < 50
    stream.call.cancel()


async def test_a_turn_that_is_not_read_holds_its_agent_back_and_nobody_else(serve: Serve, speaker: Speaker) -> None:
    core = await serve(speaker.agent, limits=Limits(reply_bytes=10_000_000))
    stream = Stream(core)
    await stream.send({1: request("flood", sid="a")}, stream=True)
    await stream.send({2: request("hello", sid="b")}, stream=True)
    assert (await stream.reply(2)).text == "hello"
    while len(stream.text(1)) <= WINDOW:
        await stream.read()
    held = speaker.said
    assert held == WINDOW // len(PIECE)
    await stream.send({3: request("hello", sid="b")})
    await stream.reply(3)
    assert speaker.said == held
    await stream.call.write(progress(99, 5))  # of no turn
    await stream.call.write(progress(1, 10 * len(PIECE)))
    while speaker.said < held + 10:
        await stream.read()
    assert speaker.said == held + 10
    await stream.call.write(progress(1, 2**31))
    while len(stream.text(1)) < 400 * len(PIECE):
        await stream.read()
        await stream.call.write(progress(1, WINDOW))
    assert (await stream.reply(1)).text == stream.text(1)
    stream.call.cancel()


async def test_a_failure_comes_after_what_was_told(serve: Serve, speaker: Speaker) -> None:
    core = await serve(speaker.agent)
    stream = Stream(core)
    await stream.send({1: request("so far count fail", sid="a"), 2: request("fail", sid="b")}, stream=True)
    assert (await stream.failure(1)).reason == "AGENT_FAILED"
    assert shown(stream, 1) == ["started", "text_delta", "text_delta", "tool_call"]
    assert (await stream.failure(2)).reason == "AGENT_FAILED"
    assert 2 not in stream.told
    assert (await core.refuses("fail", sid="a")).reason == "AGENT_FAILED"
    stream.call.cancel()


async def test_a_reply_that_was_stored_before_is_told_whole(serve: Serve, speaker: Speaker) -> None:
    core = await serve(speaker.agent)
    stream = Stream(core)
    for sequence in (1, 2):
        asked = request("One count two", idempotency_key="k", attempt_id=f"{sequence:032d}")
        await stream.send({sequence: asked}, stream=True)
        await stream.reply(sequence)
    assert shown(stream, 2) == ["started", "tool_call", "text_delta"]
    assert [stream.told[n][0].started.replayed for n in (1, 2)] == [False, True]
    assert stream.text(2) == "Onetwo"
    stream.call.cancel()


@pytest.fixture
def short_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turn_runner, "GRACE", 0.05)


@pytest.mark.usefixtures("short_grace")
@pytest.mark.parametrize("breaks", [False, True])
async def test_a_turn_whose_reader_left_is_stopped_unless_it_stays(
    serve: Serve, speaker: Speaker, breaks: bool
) -> None:
    """Its edge says so, or is gone itself."""
    core = await serve(speaker.agent)
    stream = Stream(core)
    leaves = request("leaves wait", sid="a", attempt_id="a" * 32)
    stays = request("stays wait", sid="b", attempt_id="b" * 32, idempotency_key="k")
    await stream.send({1: leaves, 2: stays}, stream=True)
    await stream.says(1, "leaves")
    await stream.says(2, "stays")
    if breaks:
        stream.call.cancel()
    else:
        await stream.call.write(agent_pb2.RunTurnsRequest(left=["a" * 32, "b" * 32]))
        assert (await stream.failure(1)).code == grpc.StatusCode.CANCELLED
    await until(lambda: speaker.ended == ["CancelledError"])
    speaker.gate.set()
    await until(lambda: speaker.ended == ["CancelledError", "done"])
    again = await core.say("stays wait", sid="b", attempt_id="c" * 32, idempotency_key="k")
    assert (again.text, again.replayed) == ("stays", True)
    assert (await core.say("leaves wait", sid="a", attempt_id="d" * 32)).number == 1
    stream.call.cancel()


async def test_a_reader_that_left_holds_nothing_back(serve: Serve, speaker: Speaker) -> None:
    core = await serve(speaker.agent, limits=Limits(reply_bytes=10_000_000))
    stream = Stream(core)
    turn = request("flood", attempt_id="a" * 32, idempotency_key="k")
    await stream.send({1: turn}, stream=True)
    while len(stream.text(1)) <= WINDOW:
        await stream.read()
    await stream.call.write(agent_pb2.RunTurnsRequest(left=["a" * 32]))
    await until(lambda: speaker.ended == ["done"])
    stream.call.cancel()


async def test_a_long_reply_goes_in_messages_of_bounded_size(serve: Serve) -> None:
    async def reply(turn: Turn) -> str:
        return "z" * 3_000_000

    core = await serve(as_agent(reply, "long"))
    stream = Stream(core)
    await stream.send({n: request("hi", sid=f"s{n}") for n in range(3)}, stream=True)
    for n in range(3):
        assert len((await stream.reply(n)).text) == len(stream.text(n)) == 3_000_000
    assert max(message.ByteSize() for message in stream.messages) < 3_100_000
    stream.call.cancel()


async def test_large_calls_that_end_together_pass_the_stream(serve: Serve) -> None:
    """Else one turn would break the stream of all turns, and break the next one when it is sent again."""

    @tool
    async def look() -> str:
        return "y" * 900_000

    agent = Agent("busy", tools=[look])

    @agent.reply
    async def reply(turn: Turn) -> str:
        await asyncio.gather(*(turn.call(look) for _ in range(12)))
        return "done"

    core = await serve(agent)
    stream = Stream(core)
    await stream.send({1: request("hi", sid="a")}, stream=True)
    while len(stream.told.get(1, ())) < 13:
        await stream.read()
    assert shown(stream, 1) == ["started", *["tool_call"] * 12]
    assert max(message.ByteSize() for message in stream.messages) < 1_000_000
    await stream.call.write(progress(1, 2**31))
    assert (await stream.failure(1)).reason == "LIMIT_EXCEEDED"
    stream.call.cancel()


async def test_what_is_said_faster_than_it_is_told_is_told_in_longer_pieces(serve: Serve) -> None:
    """Each piece costs the same, and all turns wait for it. Calls keep their place."""
    agent = Agent("hasty", tools=[count], world={"counter": {"n": 0}})

    @agent.reply
    async def reply(turn: Turn) -> str:
        for _ in range(50_000):
            turn.say("ä ")
        await turn.call(count)
        turn.say("counted")
        return "."

    core = await serve(agent)
    stream = Stream(core)
    await stream.send({1: request("hi")}, stream=True)
    while "tool_call" not in shown(stream, 1):
        await stream.read()
    await stream.call.write(progress(1, 2**31))
    reply_text = (await stream.reply(1)).text
    assert stream.text(1) == reply_text == "ä " * 50_000 + "counted."
    assert shown(stream, 1)[:3] == ["started", "text_delta", "tool_call"]
    stream.call.cancel()


@pytest.mark.parametrize("stream_it", [False, True])
async def test_a_turn_may_be_cancelled_in_the_list_that_brings_it(
    serve: Serve, speaker: Speaker, stream_it: bool
) -> None:
    core = await serve(speaker.agent)
    stream = Stream(core)
    item = agent_pb2.TurnItem(sequence=1, turn=request("wait"), stream=stream_it)
    await stream.call.write(agent_pb2.RunTurnsRequest(turns=[item], cancel=[1]))
    assert (await stream.failure(1)).code == grpc.StatusCode.CANCELLED
    await stream.call.done_writing()
    await stream.ends()


async def test_what_is_said_after_the_agent_has_answered_is_not_told(serve: Serve) -> None:
    """By a task that it left behind: the stored reply does not have it, and told text cannot be taken back."""
    left_behind: list[asyncio.Task[None]] = []
    over = asyncio.Event()

    async def chatter(turn: Turn) -> None:
        while not over.is_set():
            turn.say("late ")
            await asyncio.sleep(0)

    agent = Agent("hurried")

    @agent.reply
    async def reply(turn: Turn) -> str:
        turn.say("first ")
        left_behind.append(asyncio.create_task(chatter(turn)))
        return "done"

    core = await serve(agent)
    stream = Stream(core)
    await stream.send({1: request("hi")}, stream=True)
    text = (await stream.reply(1)).text
    assert text == stream.text(1) == "first done"
    over.set()
    await asyncio.gather(*left_behind)
    stream.call.cancel()
