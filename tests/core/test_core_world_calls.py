"""Calls of one turn on one world: each one's writes are its own, whoever else is writing; and who is cut off is cut off."""

import asyncio
import json
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from core_running import Serve
from hypothesis import given, settings
from hypothesis import strategies as st

from greenroom.core.journal import merged
from greenroom.core.ledger import WRITER, Writer
from greenroom.core.overlay import Base, Overlay, Seed
from greenroom.core.plain import WorldError
from greenroom.core.world import World, WorldTurn
from greenroom.sdk import Agent, ToolFailed, Turn, tool

START = {"orders": {"1": {"state": "open", "notes": [], "to": {"street": "a"}}, "2": {"state": "open"}}}


def opened(data: Any = START) -> tuple[WorldTurn, World]:
    turn = WorldTurn(Base(Seed(data), Overlay()))
    return turn, turn.world


@contextmanager
def on_behalf_of(writer: Writer) -> Iterator[None]:
    before = WRITER.set(writer)
    try:
        yield
    finally:
        WRITER.reset(before)


def do(writer: Writer, act: Callable[[], object]) -> None:
    with on_behalf_of(writer):
        act()


def now(turn: WorldTurn) -> Any:
    with on_behalf_of(turn.ledger.own):
        return json.loads(json.dumps(turn.world))


WRITES = {
    "state": lambda world, by, n: world["orders"]["1"].__setitem__("state", f"{by}-{n}"),
    "same state": lambda world, by, n: world["orders"]["1"].__setitem__("state", "cancelled"),
    "note": lambda world, by, n: world["orders"]["1"]["notes"].append(f"{by}-{n}"),
    "first note": lambda world, by, n: world["orders"]["1"]["notes"].insert(0, f"{by}-{n}"),
    "street": lambda world, by, n: world["orders"]["1"]["to"].update(street=f"{by}-{n}"),
    "town": lambda world, by, n: world["orders"]["1"]["to"].update(town=n),
    "no town": lambda world, by, n: world["orders"]["1"]["to"].pop("town", None),
    "record": lambda world, by, n: world["orders"].__setitem__(f"{by}-{n}", {"by": by}),
    "shared record": lambda world, by, n: world["orders"].__setitem__("2", {"by": f"{by}-{n}"}),
    "no record": lambda world, by, n: world["orders"].pop("2", None),
}
"""Writes that are the same whatever else has been written."""


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 3), st.sampled_from(sorted(WRITES))), max_size=14),
    st.permutations(range(4)),
    st.sets(st.integers(0, 3)),
)
def test_whatever_calls_do_at_once_those_that_fail_have_not_been(writes: Any, ends: Any, failing: set[int]) -> None:
    turn, world = opened()
    calls = [turn.begin() for _ in range(4)]
    model = json.loads(json.dumps(START))
    for n, (by, write) in enumerate(writes):
        do(calls[by], lambda by=by, n=n, write=write: WRITES[write](world, by, n))
        if by not in failing:
            WRITES[write](model, by, n)
    for by in ends:
        if by in failing:
            turn.undo(calls[by], cut_off=False)
        else:
            turn.commit(calls[by])
    found = now(turn)
    first = {"first note" if write == "first note" else "note" for by, write in writes}
    if len(first) == 2:  # what comes first and last is each call's own affair
        for data in (found, model):
            data["orders"]["1"]["notes"].sort()
    assert found == model


def test_what_two_calls_both_wrote_stays_when_one_of_them_fails() -> None:
    turn, world = opened()
    one, two = turn.begin(), turn.begin()
    for call in (one, two):
        do(call, lambda: world["orders"]["1"].update(state="cancelled"))
    turn.undo(one, cut_off=False)
    assert [change.after for change in turn.commit(two)] == ['{"state":"cancelled","notes":[],"to":{"street":"a"}}']
    assert now(turn)["orders"]["1"]["state"] == "cancelled"


def test_each_calls_changes_are_its_own() -> None:
    turn, world = opened()
    one, two = turn.begin(), turn.begin()
    do(one, lambda: world["orders"]["1"].update(state="shut"))
    do(two, lambda: world["orders"]["1"]["notes"].append("two"))
    do(one, lambda: world["orders"]["1"]["notes"].append("one"))
    [change] = turn.commit(two)
    assert json.loads(change.before or "") == {"state": "shut", "notes": ["one"], "to": {"street": "a"}}
    [change] = turn.commit(one)
    assert json.loads(change.before or "") == {"state": "open", "notes": ["two"], "to": {"street": "a"}}


def test_references_that_a_running_call_holds_outlive_the_failure_of_another() -> None:
    turn, world = opened()
    one, two = turn.begin(), turn.begin()
    held: list[Any] = []
    do(two, lambda: held.extend([world["orders"]["1"], world["orders"]["1"]["notes"]]))
    do(one, lambda: world["orders"]["1"].update(state="doomed", notes=["doomed"]))
    turn.undo(one, cut_off=True)
    do(two, lambda: (held[0].update(state="two"), held[1].append("two")))
    turn.commit(two)
    assert now(turn)["orders"]["1"] == {"state": "two", "notes": ["two"], "to": {"street": "a"}}


def test_a_list_of_a_tools_own_is_undone_for_the_call_that_changed_it() -> None:
    turn, world = opened()
    own: list[Any] = [{"n": 0}]
    first = turn.begin()
    do(first, lambda: world["orders"]["1"].update(notes=own))
    own.append("first")
    turn.commit(first)
    second = turn.begin()
    do(second, lambda: (world["orders"]["1"]["notes"].append("second"), world["orders"]["1"]["notes"][0].update(n=2)))
    turn.undo(second, cut_off=False)
    assert now(turn)["orders"]["1"]["notes"] == [{"n": 0}, "first"]
    third = turn.begin()
    do(third, lambda: world["orders"]["1"]["notes"].append("third"))
    [change] = turn.commit(third)
    assert [json.loads(text or "")["notes"] for text in (change.before, change.after)] == [
        [{"n": 0}, "first"], [{"n": 0}, "first", "third"]
    ]  # fmt: skip


def test_a_list_that_a_cut_off_tool_holds_is_no_longer_the_worlds() -> None:
    turn, world = opened()
    first, zombie = turn.begin(), turn.begin()
    held: list[Any] = []
    do(first, lambda: world["orders"].update({"9": {"lines": [1]}}))
    turn.commit(first)
    do(zombie, lambda: held.append(world["orders"]["9"]["lines"]))
    turn.undo(zombie, cut_off=True)
    held[0].append("late")
    assert now(turn)["orders"]["9"] == {"lines": [1]}
    do(turn.ledger.own, lambda: world["orders"]["9"]["lines"].append(2))
    assert now(turn)["orders"]["9"] == {"lines": [1, 2]}


def test_a_world_of_another_turn_refuses() -> None:
    (one, first), (two, _) = opened(), opened()
    record = first["orders"]["1"]
    with on_behalf_of(two.ledger.own):
        for act in (lambda: first["orders"], lambda: record.update(state="leaked"), lambda: record["notes"].append(1)):
            with pytest.raises(WorldError, match="another turn"):
                act()
    assert one.changes() == ()


def test_a_thread_without_a_context_is_the_only_running_calls_and_nobodys_once_one_was_cut_off() -> None:
    turn, world = opened()
    call = turn.begin()

    def aside(act: Callable[[], object]) -> str:
        said = [""]

        def run() -> None:
            try:
                act()
            except WorldError as error:
                said[0] = str(error)

        thread = threading.Thread(target=run)
        thread.start()
        thread.join(20)
        return said[0]

    assert aside(lambda: world["orders"]["1"].update(state="aside")) == ""
    turn.undo(call, cut_off=True)
    assert now(turn) == START
    assert "cut off" in aside(lambda: world["orders"]["1"].update(state="late"))
    assert now(turn) == START


def test_no_write_lands_once_its_call_is_cut_off_wherever_it_was_caught() -> None:
    for _ in range(30):
        turn, world = opened()
        call = turn.begin()
        began, refused = threading.Event(), threading.Event()

        def write(call: Writer = call, world: World = world, began: Any = began, refused: Any = refused) -> None:
            with on_behalf_of(call), suppress(WorldError):
                record = world["orders"]["1"]
                for n in range(1_000_000):
                    record["state"] = n
                    record["notes"].append(n)
                    world["orders"][str(n % 7)] = {}
                    began.set()
            refused.set()

        thread = threading.Thread(target=write, daemon=True)
        thread.start()
        assert began.wait(20)
        turn.undo(call, cut_off=True)
        assert now(turn) == START
        assert refused.wait(20)
        assert now(turn) == START
        assert turn.changes() == ()


def test_threads_of_one_turn_lose_no_write() -> None:
    turn, world = opened({"c": {"k": {"n": [], "d": {}}}})
    calls = [turn.begin() for _ in range(4)]

    def work(number: int, call: Writer) -> None:
        chance = random.Random(number)
        with on_behalf_of(call):
            for n in range(200):
                world["c"]["k"]["n"].append([number, n])
                world["c"]["k"]["d"][f"{number}-{n}"] = chance.random()
                world["c"][f"{number}-{n}"] = {}

    threads = [threading.Thread(target=work, args=pair) for pair in enumerate(calls)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    turn.undo(calls[0], cut_off=False)
    for call in calls[1:]:
        turn.commit(call)
    found = now(turn)["c"]
    kept = {f"{number}-{n}" for number in (1, 2, 3) for n in range(200)}
    assert set(found) == {"k", *kept}
    assert set(found["k"]["d"]) == kept
    for number in (1, 2, 3):
        assert [n for by, n in found["k"]["n"] if by == number] == list(range(200))
    assert not any(by == 0 for by, _ in found["k"]["n"])


@given(st.lists(st.integers(0, 3), max_size=5), st.lists(st.integers(0, 3), max_size=5))
def test_what_was_done_to_a_list_that_nobody_else_changed_is_what_it_is_after(
    before: list[int], after: list[int]
) -> None:
    assert merged(list(before), before, after) == after
    assert merged(after, before, list(before)) == after


@pytest.mark.parametrize(
    ("values", "before", "after", "result"),
    [
        ([], ["a"], ["a", "b"], ["b"]),
        ([], ["a"], ["b", "a"], ["b"]),
        (["x"], ["x", "a"], ["x", "a", "b"], ["x", "b"]),
        (["x", "y"], ["a", "x", "y"], ["a", "y"], ["y"]),
        (["x"], ["a"], ["b"], ["b"]),
        (["x"], ["x", "a"], ["x"], ["x"]),
    ],
)
def test_what_was_done_to_a_list_is_done_to_one_without_somebody_elses_writes(
    values: Any, before: Any, after: Any, result: Any
) -> None:
    assert merged(values, before, after) == result


def keeps_in(order: Any) -> None:
    order["state"] = "kept"
    order["notes"].append("kept")


def dooms_in(order: Any) -> None:
    order["to"]["street"] = "doomed"
    order["notes"].append("doomed")
    order["doomed"] = {}
    raise ConnectionError("no answer")


async def passing(event: threading.Event) -> None:
    while not event.is_set():  # noqa: ASYNC110
        await asyncio.sleep(0)


def plain_tools(written: threading.Event, failed: threading.Event) -> list[Any]:
    @tool
    def keeps(world: World) -> None:
        """Writes, waits for the other to fail, writes again."""
        keeps_in(world["orders"]["1"])
        written.set()
        assert failed.wait(20)
        world["orders"]["1"]["notes"].append("again")

    @tool
    def dooms(world: World) -> None:
        """Writes and fails."""
        assert written.wait(20)
        dooms_in(world["orders"]["1"])

    return [keeps, dooms]


def async_tools(written: threading.Event, failed: threading.Event) -> list[Any]:
    @tool
    async def keeps(world: World) -> None:
        """Writes, waits for the other to fail, writes again."""
        keeps_in(world["orders"]["1"])
        written.set()
        await passing(failed)
        world["orders"]["1"]["notes"].append("again")

    @tool
    async def dooms(world: World) -> None:
        """Writes and fails."""
        await passing(written)
        dooms_in(world["orders"]["1"])

    return [keeps, dooms]


@pytest.mark.parametrize("tools", [plain_tools, async_tools])
async def test_a_call_that_fails_leaves_a_running_ones_writes_to_the_same_record(serve: Serve, tools: Any) -> None:
    failed = threading.Event()
    keeps, dooms = tools(threading.Event(), failed)
    agent = Agent("worldly", tools=[keeps, dooms], world=START)

    @agent.reply
    async def reply(turn: Turn) -> str:
        keeping = asyncio.ensure_future(turn.call(keeps))
        with pytest.raises(ToolFailed):
            await turn.call(dooms)
        failed.set()
        await keeping
        return "done"

    core = await serve(agent)
    await core.say("go")
    assert (await core.world())["orders"]["1"] == {"state": "kept", "notes": ["kept", "again"], "to": {"street": "a"}}
