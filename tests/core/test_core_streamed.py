"""`StreamTurn`: a reply told while it is made (STREAM-02, STREAM-03, STREAM-06)."""

import asyncio
import threading
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from core_running import PATIENCE, Failure, Running, Serve, failure_of, request, until

from greenroom.core.agent import as_agent
from greenroom.core.limits import Limits
from greenroom.core.ports import StaleSession
from greenroom.core.rpc import turn_runner
from greenroom.sdk import Agent, Reply, ToolError, ToolFailed, Turn, World, tool
from greenroom.v1 import agent_pb2, turn_pb2

PIECES = 20_000
Gates = dict[str, asyncio.Event]


@tool
async def slowly(gates: str) -> str:
    """Waits for its gate."""
    await OPEN[gates].wait()
    return gates


@tool
async def count(world: World) -> int:
    """Counts up."""
    world["counter"]["n"] += 1
    return int(world["counter"]["n"])


@tool
def fail() -> None:
    """Fails."""
    raise ToolError("unlucky", "No.")


OPEN: Gates = {}


@pytest.fixture(autouse=True)
def gates() -> Gates:
    OPEN.clear()
    OPEN.update({name: asyncio.Event() for name in ("a", "b", "end")})
    return OPEN


class Read:
    """A streamed turn, and what has been read of it."""

    def __init__(self, core: Running, *texts: str, sid: str = "s1", **fields: Any) -> None:
        self.call = core.agents.StreamTurn(
            agent_pb2.StreamTurnRequest(turn=request(*texts, sid=sid, **fields)), timeout=PATIENCE
        )
        self.events: list[agent_pb2.StreamTurnResponse] = []

    async def next(self) -> agent_pb2.StreamTurnResponse:
        event = await self.call.read()
        assert isinstance(event, agent_pb2.StreamTurnResponse), "the stream ended"
        self.events.append(event)
        return event

    async def text(self) -> str:
        """The next piece of text; whatever comes before it is read."""
        while (event := await self.next()).WhichOneof("event") != "text_delta":
            assert event.WhichOneof("event") != "completed"
        return event.text_delta

    async def fails(self) -> Failure:
        """How it fails that must, whatever comes before."""
        try:
            while True:
                await self.next()
        except grpc.aio.AioRpcError as error:
            return failure_of(error)

    async def rest(self) -> turn_pb2.Reply:
        """The reply, after it has been checked that the events say the same."""
        while self.kinds[-1:] != ["completed"]:
            await self.next()
        assert await self.call.read() is grpc.aio.EOF
        reply, started = self.events[-1].completed, self.events[0].started
        assert self.kinds[0] == "started"
        assert set(self.kinds[1:-1]) <= {"text_delta", "tool_call"}
        assert "".join(event.text_delta for event in self.events) == reply.text
        assert [event.tool_call for event in self.events if event.HasField("tool_call")] == list(reply.tool_calls)
        assert (started.session_id, started.chat_id) == (reply.session_id, reply.chat_id)
        assert (started.completion_id, started.agent) == (reply.completion_id, reply.agent)
        assert started.replayed == reply.replayed
        return reply

    @property
    def kinds(self) -> list[str]:
        return [str(event.WhichOneof("event")) for event in self.events]


def with_generator(gates: Gates) -> Agent:
    async def reply(turn: Turn) -> AsyncIterator[Any]:
        yield "One "
        await gates["a"].wait()
        yield "two "
        await gates["b"].wait()
        yield Reply("three", confidence=0.5)

    return as_agent(reply, "streaming")


async def test_text_arrives_while_the_agent_goes_on(serve: Serve, gates: Gates) -> None:
    core = await serve(with_generator(gates))
    stream = Read(core, "hi")
    assert await stream.text() == "One "
    gates["a"].set()
    assert await stream.text() == "two "
    gates["b"].set()
    reply = await stream.rest()
    assert (reply.text, reply.confidence, reply.number) == ("One two three", 0.5, 1)
    assert [turn.reply.text for turn in (await core.turns()).turns] == ["One two three"]


async def test_an_agent_says_something_before_it_calls_its_tools(serve: Serve, gates: Gates) -> None:
    agent = Agent("saying", tools=[slowly])

    @agent.reply
    async def reply(turn: Turn) -> str:
        turn.say("One moment… ")
        return str(await turn.call(slowly, gates="a"))

    core = await serve(agent)
    stream = Read(core, "hi")
    assert await stream.text() == "One moment… "
    gates["a"].set()
    assert (await stream.rest()).text == "One moment… a"
    assert stream.kinds == ["started", "text_delta", "tool_call", "text_delta", "completed"]


async def test_calls_are_told_in_the_order_in_which_they_began(serve: Serve, gates: Gates) -> None:
    agent = Agent("calling", tools=[slowly, fail])

    @agent.reply
    async def reply(turn: Turn) -> str:
        both = asyncio.gather(*(turn.call(slowly, gates=name) for name in ("a", "b")))
        await asyncio.sleep(0)
        with pytest.raises(ToolFailed):
            await turn.call(fail)
        turn.say("soon")
        await both
        return ""

    core = await serve(agent)
    stream = Read(core, "hi")
    gates["b"].set()
    assert await stream.text() == "soon"
    assert stream.kinds == ["started", "text_delta"]
    gates["a"].set()
    calls = (await stream.rest()).tool_calls
    assert [(call.name, call.ok) for call in calls] == [("slowly", True), ("slowly", True), ("fail", False)]


async def test_a_plain_function_says_from_its_thread(serve: Serve) -> None:
    heard = threading.Event()

    def reply(turn: Turn) -> str:
        turn.say("from a thread, ")
        assert heard.wait(PATIENCE)
        return "done"

    core = await serve(as_agent(reply, "plain"))
    stream = Read(core, "hi")
    assert await stream.text() == "from a thread, "
    heard.set()
    assert (await stream.rest()).text == "from a thread, done"


async def test_a_reply_that_was_stored_before_is_told_whole(serve: Serve, gates: Gates) -> None:
    core = await serve(with_generator(gates))
    gates["a"].set()
    gates["b"].set()
    first = await Read(core, "hi", attempt_id="a" * 32, idempotency_key="k").rest()
    again = Read(core, "hi", attempt_id="b" * 32, idempotency_key="k")
    reply = await again.rest()
    assert (reply.completion_id, reply.replayed) == (first.completion_id, True)
    assert again.kinds == ["started", "text_delta", "completed"]


async def test_a_failure_before_the_first_event_has_none(serve: Serve) -> None:
    async def reply(turn: Turn) -> str:
        raise RuntimeError("boom")

    stream = Read(await serve(as_agent(reply, "failing")), "hi")
    assert (await stream.fails()).reason == "AGENT_FAILED"
    assert stream.events == []


async def test_a_failure_after_the_first_event_ends_the_stream_and_leaves_the_session_as_it_was(serve: Serve) -> None:
    agent = Agent("failing", tools=[count], world={"counter": {"n": 0}})

    @agent.reply
    async def reply(turn: Turn) -> str:
        turn.say("Let me see")
        await turn.call(count)
        if turn.text == "fail":
            raise RuntimeError("boom")
        return "."

    core = await serve(agent)
    await Read(core, "first").rest()
    stream = Read(core, "fail")
    assert await stream.text() == "Let me see"
    failure = await stream.fails()
    assert failure.reason == "AGENT_FAILED"
    assert [turn.number for turn in (await core.turns()).turns] == [1]
    assert await core.world() == {"counter": {"n": 1}}


async def test_a_reply_without_end_is_stopped_at_its_bound(serve: Serve) -> None:
    async def reply(turn: Turn) -> AsyncIterator[str]:
        while True:
            yield "x" * 1000

    core = await serve(as_agent(reply, "endless"), limits=Limits(reply_bytes=50_000))
    stream = Read(core, "hi")
    failure = await stream.fails()
    assert failure.reason == "LIMIT_EXCEEDED"
    assert sum(len(event.text_delta) for event in stream.events) <= 50_000
    assert (await core.refuses("hi")).reason == "LIMIT_EXCEEDED"


async def test_a_slow_reader_holds_its_own_agent_back_and_nobody_else(serve: Serve) -> None:
    said = 0

    async def reply(turn: Turn) -> AsyncIterator[str]:
        nonlocal said
        if turn.text == "short":
            yield "short"
            return
        for _ in range(PIECES):
            said += 1
            yield "x" * 1000

    core = await serve(as_agent(reply, "talkative"), limits=Limits(reply_bytes=100_000_000))
    slow = Read(core, "long")
    await slow.text()
    before = -1
    while before != said:  # until it stands still
        before = said
        await asyncio.sleep(0.2)
        assert (await Read(core, "short", sid=f"other{said}").rest()).text == "short"
    assert said < PIECES / 2
    for _ in range(50):
        await slow.next()
    slow.call.cancel()


@pytest.fixture
def short_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turn_runner, "GRACE", 0.05)


def waiting(gates: Gates, ended: list[str]) -> Agent:
    """Says something, and waits for the end; `ended` has how that came."""
    agent = Agent("waiting", tools=[count], world={"counter": {"n": 0}})

    @agent.reply
    async def reply(turn: Turn) -> str:
        n = await turn.call(count)
        turn.say(f"{n}: ")
        try:
            await gates["end"].wait()
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise
        ended.append("done")
        return "done"

    return agent


@pytest.mark.usefixtures("short_grace")
async def test_a_reader_that_leaves_stops_its_turn_a_little_later(serve: Serve, gates: Gates) -> None:
    ended: list[str] = []
    core = await serve(waiting(gates, ended))
    stream = Read(core, "hi", attempt_id="a" * 32)
    assert await stream.text() == "1: "
    stream.call.cancel()
    await until(lambda: ended == ["cancelled"])
    gates["end"].set()
    assert (await core.say("hi", attempt_id="b" * 32)).text == "1: done"


@pytest.mark.usefixtures("short_grace")
async def test_with_an_idempotency_key_a_turn_goes_on_without_its_reader(serve: Serve, gates: Gates) -> None:
    ended: list[str] = []
    core = await serve(waiting(gates, ended))
    stream = Read(core, "hi", attempt_id="a" * 32, idempotency_key="k")
    await stream.text()
    stream.call.cancel()
    await asyncio.sleep(0.2)
    gates["end"].set()
    await until(lambda: ended == ["done"])
    again = await core.say("hi", attempt_id="b" * 32, idempotency_key="k")
    assert (again.text, again.replayed, again.number) == ("1: done", True, 1)


@pytest.mark.parametrize("streamed", [True, False])
async def test_who_asks_again_in_time_keeps_the_turn_going(serve: Serve, gates: Gates, streamed: bool) -> None:
    ended: list[str] = []
    core = await serve(waiting(gates, ended))
    turn_runner.GRACE, grace = 0.3, turn_runner.GRACE
    try:
        stream = Read(core, "hi", attempt_id="a" * 32)
        await stream.text()
        stream.call.cancel()
        again = {"attempt_id": "b" * 32, "retry_count": 1}
        asking = asyncio.ensure_future(Read(core, "hi", **again).rest() if streamed else core.say("hi", **again))
        await asyncio.sleep(0.6)
        assert ended == []
        gates["end"].set()
        reply = await asking
    finally:
        turn_runner.GRACE = grace
    assert (reply.text, reply.number, ended) == ("1: done", 1, ["done"])
    assert await core.world() == {"counter": {"n": 1}}


async def test_a_turn_that_lost_its_place_runs_anew_only_while_nothing_of_it_was_told(serve: Serve) -> None:
    told, runs = asyncio.Event(), 0

    async def reply(turn: Turn) -> AsyncIterator[str]:
        nonlocal runs
        runs += 1
        if turn.text == "early":
            yield "told"
            await told.wait()
        yield f"run {runs}"

    core = await serve(as_agent(reply, "losing"))
    commit, lost = core.core.store.commit_turn, 0

    async def lose_once(commits: Any) -> None:
        nonlocal lost
        lost += 1
        if lost == 1:
            raise StaleSession
        await commit(commits)

    core.core.store.commit_turn = lose_once  # type: ignore[method-assign,assignment]
    stream = Read(core, "early")
    assert await stream.text() == "told"
    told.set()
    failure = await stream.fails()
    assert (failure.code, failure.reason, failure.retryable) == (grpc.StatusCode.ABORTED, "STREAM_BROKEN", True)
    lost = runs = 0
    assert (await core.say("late")).text == "run 2"


async def test_a_caller_that_does_not_wait_for_the_end_has_its_reply_all_the_same(serve: Serve, gates: Gates) -> None:
    """The same words again are a new message, not the same request."""
    gates["a"].set()
    gates["b"].set()
    core = await serve(with_generator(gates))
    for number in range(1, 6):
        stream = Read(core, "yes", attempt_id=f"{number:032d}")
        while stream.kinds[-1:] != ["completed"]:
            await stream.next()
        stream.call.cancel()
        await asyncio.sleep(0.01)
        assert stream.events[-1].completed.number == number
