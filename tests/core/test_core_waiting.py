"""CHAT-16 and SEC-05: who runs, who waits, who is refused, and that nobody is forgotten."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
import pytest
from core_running import PATIENCE, Serve, request, until
from hypothesis import given
from hypothesis import strategies as st

from greenroom.core.errors import Overloaded, SessionBusy
from greenroom.core.limits import Limits
from greenroom.core.waiting import Capacity, SessionQueue
from greenroom.sdk import Agent, Turn


class Gate:
    """Holds turns in their agent until each is let go."""

    def __init__(self) -> None:
        self.inside: list[str] = []
        self._gates: dict[str, asyncio.Event] = {}
        self._open = False

    async def hold(self, text: str) -> None:
        self.inside.append(text)
        if not self._open:
            await self._gates.setdefault(text, asyncio.Event()).wait()

    def let_go(self, text: str) -> None:
        self._gates.setdefault(text, asyncio.Event()).set()

    def open(self) -> None:
        self._open = True
        for gate in self._gates.values():
            gate.set()


def held() -> tuple[Agent, Gate]:
    """An agent whose turns wait at a gate."""
    agent, gate = Agent("held"), Gate()

    @agent.reply
    async def reply(turn: Turn) -> str:
        await gate.hold(turn.text)
        return f"{turn.number}: {turn.text}"

    return agent, gate


async def test_turns_of_a_session_run_one_at_a_time_in_the_order_of_their_arrival(serve: Serve) -> None:
    agent, gate = held()
    core = await serve(agent)
    tasks = [asyncio.ensure_future(core.say("0"))]
    await until(lambda: gate.inside == ["0"])
    for n in range(1, 6):
        tasks.append(asyncio.ensure_future(core.say(str(n))))
        await until(lambda n=n: core.server._runner._running == n + 1)  # type: ignore[misc]
    for n in range(6):
        await until(lambda n=n: gate.inside == [str(m) for m in range(n + 1)])  # type: ignore[misc]
        gate.let_go(str(n))
    assert [(await task).text for task in tasks] == [f"{n + 1}: {n}" for n in range(6)]


async def test_eight_turns_wait_for_a_session_and_the_next_is_told_that_it_is_busy(serve: Serve) -> None:
    agent, gate = held()
    core = await serve(agent)
    tasks = [asyncio.ensure_future(core.say("first"))]
    await until(lambda: gate.inside == ["first"])
    tasks += [asyncio.ensure_future(core.say(str(n))) for n in range(8)]
    await until(lambda: core.server._runner._running == 9)  # type: ignore[union-attr]
    failure = await core.refuses("ninth")
    assert (failure.code, failure.reason, failure.retryable, failure.retry_after) == (
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "SESSION_BUSY",
        True,
        1.0,
    )
    other = asyncio.ensure_future(core.say("elsewhere", sid="s2"))
    gate.open()
    assert (await other).number == 1
    assert sorted([(await task).number for task in tasks]) == list(range(1, 10))


async def test_a_turn_that_waits_too_long_for_its_session_is_told_that_it_is_busy(serve: Serve) -> None:
    agent, gate = held()
    core = await serve(agent, limits=Limits(session_wait=0.02))
    first = asyncio.ensure_future(core.say("first"))
    await until(lambda: gate.inside == ["first"])
    assert (await core.refuses("second")).reason == "SESSION_BUSY"
    gate.open()
    assert (await first).number == 1
    assert (await core.say("third")).number == 2


async def test_a_waiting_turn_whose_caller_leaves_frees_its_place(serve: Serve) -> None:
    agent, gate = held()
    core = await serve(agent, limits=Limits(session_waiting=1))
    first = asyncio.ensure_future(core.say("first"))
    await until(lambda: gate.inside == ["first"])
    leaving = core.agents.RunTurn(request("leaving"), timeout=PATIENCE)
    await until(lambda: core.server._runner._running == 2)  # type: ignore[union-attr]
    leaving.cancel()
    await until(lambda: core.server._runner._running == 1)  # type: ignore[union-attr]
    staying = asyncio.ensure_future(core.say("staying"))
    await until(lambda: core.server._runner._running == 2)  # type: ignore[union-attr]
    gate.open()
    assert [(await first).text, (await staying).text] == ["1: first", "2: staying"]
    assert gate.inside == ["first", "staying"]


async def test_beyond_what_a_core_can_carry_turns_are_refused_at_once(serve: Serve) -> None:
    agent, gate = held()
    core = await serve(agent, limits=Limits(max_in_flight=2, max_queued=1))
    tasks = [asyncio.ensure_future(core.say(sid, sid=sid)) for sid in ("a", "b", "c")]
    await until(lambda: len(gate.inside) == 2 and core.server._runner._running == 3)  # type: ignore[union-attr]
    failure = await core.refuses("d", sid="d")
    assert (failure.code, failure.reason, failure.retryable) == (grpc.StatusCode.UNAVAILABLE, "OVERLOADED", True)
    assert len(gate.inside) == 2
    gate.open()
    assert [(await task).number for task in tasks] == [1, 1, 1]
    assert (await core.say("d", sid="d")).number == 1


# The capacity by itself, under arbitrary arrivals and departures


@asynccontextmanager
async def inside(capacity: Capacity, key: str) -> AsyncIterator[None]:
    await capacity.enter(key, PATIENCE)
    try:
        yield
    finally:
        capacity.leave(key)


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_one_key_holds_half_at_most_while_others_are_active() -> None:
    capacity, gate = Capacity(Limits(max_in_flight=4)), asyncio.Event()
    running: list[str] = []

    async def turn(key: str) -> None:
        async with inside(capacity, key):
            running.append(key)
            await gate.wait()

    tasks = [asyncio.ensure_future(turn(key)) for key in "bAAAA"]
    await settle()
    assert sorted(running) == ["A", "A", "b"]
    tasks += [asyncio.ensure_future(turn(key)) for key in "Ac"]
    await settle()
    assert sorted(running) == ["A", "A", "b", "c"]
    gate.set()
    await asyncio.gather(*tasks)
    assert capacity.running == 0


async def test_a_key_that_is_alone_may_hold_all() -> None:
    capacity = Capacity(Limits(max_in_flight=4))
    for _ in range(4):
        await capacity.enter("A", PATIENCE)
    assert capacity.running == 4


@pytest.mark.parametrize("places", [1, 2, 3])
async def test_however_few_the_places_everyone_gets_one(places: int) -> None:
    capacity, done = Capacity(Limits(max_in_flight=places)), list[str]()

    async def turn(key: str) -> None:
        async with inside(capacity, key):
            await asyncio.sleep(0)
            done.append(key)

    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(*(turn(key) for key in "AAABBBCA"))
    assert sorted(done) == list("AAAABBBC")


async def test_a_turn_that_gives_up_just_as_its_place_comes_free_gives_it_on() -> None:
    for leave_first in (True, False):
        capacity = Capacity(Limits(max_in_flight=1))
        await capacity.enter("A")
        giving_up = asyncio.ensure_future(capacity.enter("A"))
        patient = asyncio.ensure_future(capacity.enter("A"))
        await settle()
        if leave_first:
            capacity.leave("A")
            giving_up.cancel()
        else:
            giving_up.cancel()
            capacity.leave("A")
        with pytest.raises(asyncio.CancelledError):
            await giving_up
        async with asyncio.timeout(PATIENCE):
            await patient
        capacity.leave("A")
        assert capacity.running == 0


async def test_a_place_that_does_not_come_free_in_time_is_an_overload() -> None:
    capacity = Capacity(Limits(max_in_flight=1))
    await capacity.enter("A")
    with pytest.raises(Overloaded):
        await capacity.enter("A", 0.01)
    capacity.leave("A")
    await capacity.enter("A", 0.01)


Steps = list[tuple[str, int]]
STEPS = st.lists(st.tuples(st.sampled_from(["arrive", "finish", "give up", "tick"]), st.integers(0, 5)), max_size=40)


@given(st.integers(1, 4), STEPS)
def test_whatever_comes_and_goes_no_place_is_lost_or_given_twice(places: int, steps: Steps) -> None:
    asyncio.run(churn(Capacity(Limits(max_in_flight=places)), places, steps))


async def churn(capacity: Capacity, places: int, steps: Steps) -> None:
    running: list[tuple[asyncio.Task[None], asyncio.Event]] = []
    waiting: list[asyncio.Task[None]] = []

    async def turn(key: str) -> None:
        async with inside(capacity, key):
            me, done = asyncio.current_task(), asyncio.Event()
            assert me is not None
            running.append((me, done))
            assert len(running) <= places
            try:
                await done.wait()
            finally:
                running[:] = [entry for entry in running if entry[0] is not me]

    for act, n in steps:
        match act:
            case "arrive":
                waiting.append(asyncio.ensure_future(turn("ABC"[n % 3])))
            case "finish" if running:
                running[n % len(running)][1].set()
            case "give up" if waiting:
                waiting[n % len(waiting)].cancel()
            case "tick":
                await asyncio.sleep(0)
    async with asyncio.timeout(PATIENCE):
        while not all(task.done() for task in waiting):
            await settle()
            for _, done in running:
                done.set()
    assert capacity.running == 0
    assert not [task for task in waiting if not task.cancelled() and task.exception()]


@given(STEPS)
def test_whatever_comes_and_goes_a_session_has_one_turn_at_a_time(steps: Steps) -> None:
    asyncio.run(queue_up(SessionQueue(Limits(session_waiting=4)), steps))


async def queue_up(sessions: SessionQueue, steps: Steps) -> None:
    order: list[int] = []
    running: list[asyncio.Event] = []
    tasks: list[asyncio.Task[None]] = []

    async def turn(number: int) -> None:
        await sessions.enter(("", "s"), PATIENCE)
        try:
            order.append(number)
            running.append(asyncio.Event())
            assert len(running) == 1
            try:
                await running[0].wait()
            finally:
                running.clear()
        finally:
            sessions.leave(("", "s"))

    for act, n in steps:
        match act:
            case "arrive":
                tasks.append(asyncio.ensure_future(turn(len(tasks))))
            case "finish" if running:
                running[0].set()
            case "give up" if tasks:
                tasks[n % len(tasks)].cancel()
            case "tick":
                await asyncio.sleep(0)
    async with asyncio.timeout(PATIENCE):
        while not all(task.done() for task in tasks):
            await settle()
            for done in running:
                done.set()
    assert order == sorted(order)
    errors = [error for task in tasks if not task.cancelled() and (error := task.exception())]
    assert all(isinstance(error, SessionBusy) for error in errors)
    await asyncio.wait_for(sessions.enter(("", "s")), PATIENCE)
