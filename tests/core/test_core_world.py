"""Worlds: plain dicts to a tool, sealed in their session, and exact in what they changed."""

import asyncio
import copy
import enum
import json
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from core_running import Serve
from hypothesis import given
from hypothesis import strategies as st

from greenroom.core.ledger import WRITER, Writer
from greenroom.core.overlay import Base, Overlay, Seed, canonical
from greenroom.core.plain import GONE, WorldError
from greenroom.core.records import Change
from greenroom.core.sessions import between
from greenroom.core.world import WorldTurn
from greenroom.sdk import Agent, ToolFailed, Turn, World, tool

NAMES = st.sampled_from(["a", "b", "c", "ü/"])
PLAIN: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=5,
)
WORLDS = st.dictionaries(NAMES, PLAIN | st.dictionaries(NAMES, PLAIN, max_size=3), max_size=3)


def opened(seed: Seed, overlay: Overlay | None = None) -> tuple[WorldTurn, World]:
    turn = WorldTurn(Base(seed, overlay or Overlay()))
    return turn, turn.world


@contextmanager
def on_behalf_of(call: Writer) -> Iterator[None]:
    """As the toolbox runs a call."""
    before = WRITER.set(call)
    try:
        yield
    finally:
        WRITER.reset(before)


def plain(world: World) -> dict[str, Any]:
    """The world as a tool reads it."""
    return {name: dict(value) if hasattr(value, "items") else value for name, value in world.items()}


def json_of(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def apply_steps(target: Any, steps: list[tuple[Any, ...]]) -> list[Any]:
    """Runs a program on a mapping of collections, and says what each step gave or raised."""
    seen: list[Any] = []
    for step in steps:
        try:
            seen.append(_apply(target, *step))
        except (KeyError, TypeError, AttributeError, IndexError) as error:
            seen.append(type(error).__name__)
    return seen


def _apply(target: Any, act: str, name: str, key: str, value: Any) -> Any:
    value = copy.deepcopy(value)
    match act:
        case "set collection":
            target[name] = value
        case "delete collection":
            del target[name]
        case "set record":
            target[name][key] = value
        case "delete record":
            del target[name][key]
        case "set in record":
            target[name][key]["x"] = value
        case "append in record":
            target[name][key].setdefault("list", []).append(value)
        case "setdefault":
            return json_of(target[name].setdefault(key, value))
        case "pop":
            return json_of(target[name].pop(key, None))
        case "update":
            target[name].update({key: value, "c": 1})
        case "get":
            return json_of(target[name].get(key))
        case "has":
            return (name in target, key in target[name], len(target), len(target[name]))
        case "list":
            return (sorted(target), sorted(target[name]), sorted(json_of(v) for v in target[name].values()))
        case "clear":
            target[name].clear()
    return None


ACTS = [
    "set collection",
    "delete collection",
    "set record",
    "delete record",
    "set in record",
    "append in record",
    "setdefault",
    "pop",
    "update",
    "get",
    "has",
    "list",
    "clear",
]
STEPS = st.lists(
    st.tuples(st.sampled_from(ACTS), NAMES, NAMES, PLAIN | st.fixed_dictionaries({"y": PLAIN})), max_size=8
)


def only_collections(world: dict[str, Any]) -> dict[str, Any]:
    """A plain value in a collection's place has the methods of its own type in a dict and in a world alike."""
    return {name: value for name, value in world.items() if isinstance(value, dict)}


@given(WORLDS.map(only_collections), STEPS, STEPS)
def test_a_world_does_what_plain_dicts_do_over_two_turns(start: dict[str, Any], one: Any, two: Any) -> None:
    model, seed, overlay = copy.deepcopy(start), Seed(start), Overlay()
    for steps in (one, two):
        turn, world = opened(seed, overlay)
        assert apply_steps(world, steps) == apply_steps(model, steps)
        assert json_of(plain(world)) == json_of(model)
        changes = turn.changes()
        overlay.apply(changes)
        assert canonical(Base(seed, overlay).as_data()) == canonical(model)
        restored = Overlay.restore(overlay.snapshot(1))
        assert canonical(Base(seed, restored).as_data()) == canonical(model)
    assert json_of(seed.data) == json_of(start)


@given(WORLDS.map(only_collections), STEPS)
def test_the_change_set_is_exact(start: dict[str, Any], steps: Any) -> None:
    turn, world = opened(Seed(start))
    apply_steps(world, steps)
    after = plain(world)

    def at(data: dict[str, Any], change: Change) -> str | None:
        if change.collection not in data:
            return None
        value = data[change.collection]
        if change.key is None:
            return "{}" if isinstance(value, dict) else json_of(value)
        return json_of(value[change.key]) if isinstance(value, dict) and change.key in value else None

    changes = turn.changes()
    for change in changes:
        before, now = at(start, change), at(after, change)
        assert before != now
        assert (change.before and json_of(json.loads(change.before))) == before
        assert (change.after and json_of(json.loads(change.after))) == now
    assert len({(change.collection, change.key) for change in changes}) == len(changes)


@given(WORLDS.map(only_collections), STEPS, STEPS)
def test_what_a_failed_call_wrote_is_undone_whatever_it_was(start: dict[str, Any], one: Any, two: Any) -> None:
    turn, world = opened(Seed(start))
    apply_steps(world, one)
    kept, changes = json_of(plain(world)), sorted(map(repr, turn.changes()))
    for cut_off in (False, True):
        call = turn.begin()
        with on_behalf_of(call):
            apply_steps(world, two)
        turn.undo(call, cut_off=cut_off)
        with on_behalf_of(turn.ledger.own):
            assert json_of(plain(world)) == kept
        assert sorted(map(repr, turn.changes())) == changes


@given(WORLDS.map(only_collections), STEPS, STEPS)
def test_between_two_worlds_stand_their_differences_and_nothing_else(start: dict[str, Any], one: Any, two: Any) -> None:
    seed, overlays = Seed(start), [Overlay(), Overlay()]
    for overlay, steps in zip(overlays, (one, two), strict=True):
        turn, world = opened(seed)
        apply_steps(world, steps)
        overlay.apply(turn.changes())
    changes = between(seed, *overlays)
    first = Base(seed, overlays[0])
    assert all(change.before != change.after for change in changes)
    patched = Overlay()
    for collection, records in overlays[0].records.items():
        patched.records[collection] = dict(records)
    patched.apply(changes)
    assert canonical(Base(seed, patched).as_data()) == canonical(Base(seed, overlays[1]).as_data())
    assert first.get("a", None) is GONE or "a" in first.as_data()


@pytest.mark.parametrize("value", [1, 1.0, True, "1", [1, {"a": None}], {"k": [1.5]}, None])
def test_a_value_written_back_equal_is_no_change(value: Any) -> None:
    turn, world = opened(Seed({"c": {"k": value}}))
    world["c"]["k"] = copy.deepcopy(value)
    assert turn.changes() == ()


@pytest.mark.parametrize(
    ("before", "after"), [(1, 1.0), (1, True), ([0], [False]), ({"a": 1}, {"a": 1.0}), (0.0, -0.0)]
)
def test_values_that_python_alone_takes_for_equal_are_changes(before: Any, after: Any) -> None:
    turn, world = opened(Seed({"c": {"k": before}}))
    world["c"]["k"] = after
    assert [json.loads(change.after or "") for change in turn.changes()] == [after]


@pytest.mark.parametrize(
    "value", [{1, 2}, b"x", object(), float("nan"), float("inf"), "\ud800", {"deep": [set()]}, {("a",): 1}]
)
def test_what_json_cannot_hold_is_refused_with_the_place_named(value: Any) -> None:
    turn, world = opened(Seed({"c": {"k": {"v": 1}}}))
    world["c"]["k"]["v"] = value
    with pytest.raises(WorldError, match=r"world\['c'\]\['k'\]"):
        turn.changes()


class Status(enum.StrEnum):
    OPEN = "open"
    SHUT = "shut"


def test_what_json_takes_as_what_it_stands_for_is_plain_data_to_every_call() -> None:
    turn, world = opened(Seed({"c": {"k": {"status": "open", "more": {"a": 1}}}}))
    world["c"]["k"]["status"] = Status.OPEN
    world["c"]["k"]["more"] = OrderedDict(a=1)
    assert turn.changes() == ()
    world["c"]["k"]["status"] = Status.SHUT
    world["c"]["new"] = OrderedDict(b=Status.SHUT)
    later = turn.begin()
    with on_behalf_of(later):
        world["c"]["k"]["more"]["a"] = 2
        world["c"]["new"]["b"] = "open"
    turn.undo(later, cut_off=False)
    assert [(change.key, change.after) for change in turn.changes()] == [
        ("k", '{"status":"shut","more":{"a":1}}'),
        ("new", '{"b":"shut"}'),
    ]


def test_a_closed_world_refuses_reading_and_writing() -> None:
    turn, world = opened(Seed({"c": {"k": {"v": []}}}))
    held, record = world["c"], world["c"]["k"]
    turn.close()
    acts = [
        lambda: world["c"],
        lambda: held["k"],
        lambda: held.update(x=1),
        lambda: world.update(x=1),
        lambda: record.update(x=1),
        lambda: record["v"].append(1),
    ]
    for act in acts:
        with pytest.raises(WorldError, match="closed"):
            act()


START = {"orders": {"1": {"state": "open", "notes": []}, "2": {"state": "open"}}}


def agent_with(*tools: Any) -> Agent:
    return Agent("worldly", tools=tools, world=START)


async def test_a_read_that_fails_leaves_alone_what_a_concurrent_call_wrote(serve: Serve) -> None:
    go_on = asyncio.Event()

    @tool
    async def look(world: World) -> None:
        """Reads, waits, fails."""
        world["orders"]["1"]["state"]
        await go_on.wait()
        raise ConnectionError("no answer")

    @tool
    async def cancel(world: World) -> str:
        """Cancels the order."""
        world["orders"]["1"]["state"] = "cancelled"
        world["orders"]["3"] = {"state": "new"}
        return "cancelled"

    agent = agent_with(look, cancel)

    @agent.reply
    async def reply(turn: Turn) -> str:
        looking = asyncio.ensure_future(turn.call(look))
        await asyncio.sleep(0)
        await turn.call(cancel)
        go_on.set()
        with pytest.raises(ToolFailed):
            await looking
        return str(turn.world["orders"]["1"]["state"])

    core = await serve(agent)
    assert (await core.say("go")).text == "cancelled"
    assert (await core.world())["orders"] == {
        "1": {"state": "cancelled", "notes": []},
        "2": {"state": "open"},
        "3": {"state": "new"},
    }


async def test_of_two_concurrent_calls_the_failing_ones_writes_alone_are_undone(serve: Serve) -> None:
    go_on = asyncio.Event()

    @tool
    async def doomed(world: World) -> None:
        """Writes, waits, fails."""
        world["orders"]["1"]["notes"] = ["doomed"]
        world["orders"]["2"]["state"] = "doomed"
        await go_on.wait()
        raise ConnectionError("no answer")

    @tool
    async def cancel(world: World) -> str:
        """Cancels the order."""
        world["orders"]["1"]["state"] = "cancelled"
        return "cancelled"

    agent = agent_with(doomed, cancel)

    @agent.reply
    async def reply(turn: Turn) -> str:
        failing = asyncio.ensure_future(turn.call(doomed))
        await asyncio.sleep(0)
        await turn.call(cancel)
        go_on.set()
        with pytest.raises(ToolFailed):
            await failing
        return "done"

    core = await serve(agent)
    await core.say("go")
    assert await core.world() == {"orders": {"1": {"state": "cancelled", "notes": []}, "2": {"state": "open"}}}


async def test_concurrent_calls_of_one_turn_see_each_others_writes(serve: Serve) -> None:
    @tool
    async def join(world: World, name: str) -> int:
        """Adds a note, yields, adds another."""
        notes = world["orders"]["1"]["notes"]
        notes.append(name)
        await asyncio.sleep(0)
        notes.append(name)
        return len(notes)

    agent = agent_with(join)

    @agent.reply
    async def reply(turn: Turn) -> str:
        return str(await asyncio.gather(*(turn.call(join, name=name) for name in "ab")))

    core = await serve(agent)
    assert (await core.say("go")).text == "[3, 4]"
    assert (await core.world())["orders"]["1"]["notes"] == ["a", "b", "a", "b"]


async def test_a_plain_tool_past_its_timeout_is_cut_off_from_the_world(serve: Serve) -> None:
    let_go, refusals, over = threading.Event(), list[str](), threading.Event()

    @tool(timeout=0.05)
    def slow(world: World) -> None:
        """Holds a record over its timeout."""
        record = world["orders"]["1"]
        record["state"] = "early"
        let_go.wait(20)
        for act in (lambda: record.update(state="late"), lambda: world["orders"].update({"2": {}})):
            try:
                act()
            except WorldError as error:
                refusals.append(str(error))
        over.set()

    agent = agent_with(slow)

    @agent.reply
    async def reply(turn: Turn) -> str:
        with pytest.raises(ToolFailed) as failed:
            await turn.call(slow)
        let_go.set()
        await asyncio.to_thread(over.wait, 20)
        return f"{failed.value.type}: {failed.value.message}"

    core = await serve(agent)
    assert (await core.say("go")).text == "timeout: slow did not answer within 0.05 s"
    assert await core.world() == START
    assert len(refusals) == 2


async def test_sessions_never_see_each_other(serve: Serve) -> None:
    @tool
    async def note(world: World, text: str) -> list[str]:
        """Adds a note."""
        world["orders"]["1"]["notes"].append(text)
        await asyncio.sleep(0)
        return list(world["orders"]["1"]["notes"])

    agent = agent_with(note)

    @agent.reply
    async def reply(turn: Turn) -> str:
        turn.state.setdefault("mine", []).append(turn.text)
        seen = await turn.call(note, text=turn.text)
        return json.dumps([seen, turn.state["mine"], [message.content for message in turn.messages]])

    core = await serve(agent)
    for round_number in range(3):
        answers = await asyncio.gather(*(core.say(f"{n}-{round_number}", sid=f"s{n}") for n in range(20)))
        for n, answer in enumerate(answers):
            others = [f'"{m}-' for m in range(20) if m != n]
            assert not any(other in answer.text for other in others)
            assert json.loads(answer.text)[1] == [f"{n}-{r}" for r in range(round_number + 1)]


async def test_a_world_is_read_back_as_it_was_after_any_turn(serve: Serve) -> None:
    @tool
    async def put(world: World, key: str, value: Any) -> None:
        """Puts a record."""
        world["orders"][key] = value

    agent = agent_with(put)

    @agent.reply
    async def reply(turn: Turn) -> str:
        await turn.call(put, key=turn.text, value={"n": 2**53 + 1, "f": 1.10, "t": "ü\u0000"})
        return "put"

    core = await serve(agent)
    for key in "xyz":
        await core.say(key)
    record = {"n": 2**53 + 1, "f": 1.1, "t": "ü\u0000"}
    head, world, changes = await core.world_view()
    assert (head.session_id, head.turn, len(head.sha256)) == ("s1", 3, 64)
    assert world == {"orders": {**START["orders"], "x": record, "y": record, "z": record}}
    assert [(c.collection, c.key, c.HasField("before_json"), json.loads(c.after_json)) for c in changes] == [
        ("orders", key, False, record) for key in "xyz"
    ]
    assert await core.world(turn=0) == START
    assert set((await core.world(turn=1))["orders"]) == {"1", "2", "x"}
    assert [c.key for c in (await core.world_view(turn=3, from_turn=2))[2]] == ["z"]
    assert [c.HasField("after_json") for c in (await core.world_view(turn=1, from_turn=2))[2]] == [False]


async def test_a_large_world_arrives_in_chunks(serve: Serve) -> None:
    big = {str(n): {"text": "ü" * 1000} for n in range(1500)}
    agent = Agent("large", world={"big": big})

    @agent.reply
    async def reply(turn: Turn) -> str:
        for key in big:
            turn.world["big"][key]["seen"] = True
        return "seen"

    core = await serve(agent)
    await core.say("go")
    _, world, changes = await core.world_view()
    assert world == {"big": {key: {**value, "seen": True} for key, value in big.items()}}
    assert len(changes) == len(big)


async def test_a_long_session_is_read_back_from_its_snapshots(serve: Serve) -> None:
    agent = Agent("long", world={"notes": {}})

    @agent.reply
    async def reply(turn: Turn) -> str:
        turn.world["notes"][str(turn.number)] = "x" * 30_000
        turn.world["notes"].pop(str(turn.number - 3), None)
        return "noted"

    core = await serve(agent)
    for _ in range(12):
        await core.say("more")
    for number in range(13):
        kept = [str(n) for n in range(max(1, number - 2), number + 1)]
        assert sorted((await core.world(turn=number))["notes"]) == sorted(kept)
