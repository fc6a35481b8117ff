"""Worlds before readers that are not Python: they see the data, and get hold of nothing that is not theirs."""

import copy
import heapq
import json
import pickle
import sys
import tracemalloc
from collections.abc import Callable
from typing import Any

import msgspec
import orjson
import pytest
from pydantic import BaseModel, RootModel, TypeAdapter

from greenroom.core.collection import WHOLE
from greenroom.core.frozen import FrozenDict, FrozenList
from greenroom.core.overlay import Base, Overlay, Seed
from greenroom.core.plain import WorldError
from greenroom.core.records import Change
from greenroom.core.world import World, WorldTurn

START: dict[str, Any] = {
    "orders": {
        "1": {"status": "open", "items": [{"name": "cup", "tags": ["a"]}]},
        "2": {"status": "shut", "items": []},
    },
    "limits": [1, [2.5, None]],
    "rate": 3,
    "rules": {"days": 30, "names": ["x"]},
}


class Shop(BaseModel):
    orders: dict[str, dict[str, Any]]
    limits: list[Any]
    rate: int
    rules: dict[str, Any]


def opened(data: Any = START, changes: Any = ()) -> tuple[WorldTurn, World]:
    overlay = Overlay()
    overlay.apply(changes)
    turn = WorldTurn(Base(Seed(data), overlay))
    return turn, turn.world


def touched(world: World) -> None:
    """Opens some of the world and changes some of that, with a list of the tool's own."""
    names = ["mug"]
    world["orders"]["1"]["items"][0]["tags"].append("b")
    world["orders"]["2"]["items"] = names
    world["limits"][1].append(0)
    world["refunds"] = {"r": {}}
    names.append("jar")


READERS: dict[str, Callable[[Any], Any]] = {
    "json": lambda value: json.loads(json.dumps(value)),
    "indented json": lambda value: json.loads(json.dumps(value, indent=1, sort_keys=True)),
    "orjson": lambda value: orjson.loads(orjson.dumps(value)),
    "msgspec": lambda value: msgspec.json.decode(msgspec.json.encode(value)),
    "msgspec builtins": msgspec.to_builtins,
    "pydantic, any": lambda value: TypeAdapter(Any).dump_python(value, mode="json"),
    "pydantic, validated": lambda value: (
        TypeAdapter(dict[str, Any]).validate_python(value) if isinstance(value, dict) else list(value)
    ),
    "pydantic to json": lambda value: json.loads(RootModel[Any](value).model_dump_json()),
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda value: pickle.loads(pickle.dumps(value)),
    "dict or list": lambda value: dict(value) if isinstance(value, dict) else list(value),
    "spread": lambda value: {**value} if isinstance(value, dict) else [*value],
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("touch", [False, True])
def test_every_reader_sees_the_data(reader: str, touch: bool) -> None:
    _, world = opened()
    model = copy.deepcopy(START)
    if touch:
        touched(world)
        touched(model)  # type: ignore[arg-type]
    read = READERS[reader]
    assert read(world) == model
    for name in model:
        if isinstance(model[name], dict | list):
            assert read(world[name]) == model[name]
    assert read(world["orders"]["1"]) == model["orders"]["1"]
    assert read(world["orders"]["1"]["items"]) == model["orders"]["1"]["items"]


@pytest.mark.parametrize("reader", READERS)
def test_every_reader_sees_what_earlier_turns_have_changed(reader: str) -> None:
    first, world = opened()
    touched(world)
    del world["orders"]["1"]
    del world["rules"]
    model = copy.deepcopy(world)
    _, later = opened(changes=first.changes())
    assert READERS[reader](later) == model
    assert READERS[reader](later["orders"]) == model["orders"]


@pytest.mark.parametrize("reader", ["deepcopy", "pickle", "json", "orjson", "msgspec builtins"])
def test_copies_are_plain_data(reader: str) -> None:
    _, world = opened()
    touched(world)
    for value in (world, world["orders"], world["orders"]["1"], world["limits"], world._base.seed["orders"]):
        read = READERS[reader](value)
        stack = [read]
        while stack:
            found = stack.pop()
            assert type(found) in (dict, list, str, int, float, type(None))
            stack += found.values() if type(found) is dict else found if type(found) is list else []


def test_pydantic_checks_a_world_against_a_model() -> None:
    _, world = opened()
    shop = Shop.model_validate(dict(world))
    assert shop.model_dump() == START
    assert Shop.model_validate_json(orjson.dumps(world)) == shop


def nodes_in(value: Any) -> list[Any]:
    """All containers in a value, by whatever its storage holds."""
    found = [value] if isinstance(value, dict | list) else []
    for inner in dict.values(value) if isinstance(value, dict) else value if isinstance(value, list) else ():
        found += nodes_in(inner)
    return found


@pytest.mark.parametrize("touch", [False, True])
@pytest.mark.parametrize(
    "read", [TypeAdapter(dict[str, Any]).validate_python, dict.copy, dict.items, lambda w: dict(w)]
)
def test_nothing_that_readers_get_hold_of_changes_the_seed_or_another_turn(read: Any, touch: bool) -> None:
    seed = Seed(START)
    turns = [WorldTurn(Base(seed, Overlay())) for _ in range(2)]
    world = turns[0].world
    if touch:
        touched(world)
    got = dict(read(world))
    for node in nodes_in(got)[1:]:
        for write in (lambda node=node: node.clear(), lambda node=node: node.__init__() or node.clear()):
            try:
                write()
            except WorldError:
                continue
    assert seed.data == START
    assert turns[1].world == START
    assert turns[1].changes() == ()


def test_every_method_of_a_frozen_value_that_writes_refuses() -> None:
    data = Seed({"c": {"k": {"l": [{"a": 1}]}}}).data
    record, items = data["c"]["k"], data["c"]["k"]["l"]
    assert (type(record), type(items), type(items[0])) == (FrozenDict, FrozenList, FrozenDict)
    acts: list[Callable[[], Any]] = [
        lambda: record.update(x=1), lambda: record.pop("l"), lambda: record.popitem(), lambda: record.setdefault("x", 1),
        lambda: record.__setitem__("x", 1), lambda: record.__delitem__("l"), lambda: record.clear(), lambda: record.__ior__({}),
        lambda: items.append(1), lambda: items.extend([1]), lambda: items.insert(0, 1), lambda: items.pop(),
        lambda: items.clear(), lambda: items.remove(1), lambda: items.reverse(), lambda: items.sort(),
        lambda: items.__setitem__(0, 1), lambda: items.__delitem__(0), lambda: items.__iadd__([1]), lambda: items.__imul__(2),
    ]  # fmt: skip
    for act in acts:
        with pytest.raises(WorldError, match="cannot be changed"):
            act()
    assert data == {"c": {"k": {"l": [{"a": 1}]}}}


def test_a_value_of_one_turn_put_into_another_is_copied() -> None:
    one, first = opened()
    two, second = opened()
    record = first["orders"]["1"]
    second["orders"]["3"] = record
    second["mine"] = first["orders"]
    second["orders"]["3"]["status"] = "copied"
    second["mine"]["1"]["status"] = "copied"
    assert one.changes() == ()
    assert {(change.collection, change.key) for change in two.changes()} == {
        ("orders", "3"), ("mine", None), ("mine", "1"), ("mine", "2")
    }  # fmt: skip


def large(count: int = WHOLE + 1) -> dict[str, Any]:
    return {"big": {str(n): {"n": n, "tags": [n]} for n in range(count)}, "small": {"a": 1}}


def test_readers_that_ask_see_a_large_collection_and_those_that_do_not_are_refused() -> None:
    data = large()
    _, world = opened(data)
    assert orjson.loads(orjson.dumps(world)) == data  # until something in it is opened, the storage is the seed's
    world["big"]["7"]["n"] = -7
    world["big"]["new"] = {"n": 0}
    del world["big"]["8"]
    model = copy.deepcopy(data)
    model["big"]["7"]["n"] = -7
    model["big"]["new"] = {"n": 0}
    del model["big"]["8"]
    big = world["big"]
    assert big == model["big"]
    assert world == model
    assert model == world
    assert (len(big), bool(big), "8" in big, "new" in big) == (len(model["big"]), True, False, True)
    assert list(big) == list(model["big"])
    assert json.loads(json.dumps(world)) == model
    assert orjson.loads(orjson.dumps(dict(big))) == model["big"]
    validated = TypeAdapter(dict[str, Any]).validate_python(big)
    for copied in (
        copy.deepcopy(big),
        pickle.loads(pickle.dumps(big)),
        dict(big),
        {**big},
        big.copy(),
        big | {},
        validated,
    ):
        assert type(copied) is dict
        assert copied == model["big"]
    for refuses in (
        lambda: orjson.dumps(big),
        lambda: orjson.dumps(world),
        lambda: msgspec.json.encode(big),
        lambda: msgspec.to_builtins(big),
        lambda: TypeAdapter(Any).dump_python(big),
        lambda: RootModel[Any](big).model_dump_json(),
    ):
        with pytest.raises((TypeError, ValueError)):
            refuses()


def test_what_c_code_does_to_a_list_past_its_methods_is_found_at_the_end() -> None:
    turn, world = opened({"queue": {"q": [1, 5]}})
    heapq.heappush(world["queue"]["q"], 0)
    [change] = turn.changes()
    assert change == Change("queue", "q", "[1,5]", "[0,5,1]")


def work(turn_on: Callable[[World], None], count: int) -> tuple[int, int]:
    """How many calls, and how many bytes at most, a turn takes on a world with so many records."""
    seed, overlay = Seed(large(count)), Overlay()
    seed.data  # noqa: B018  # read once in a process, before
    calls = 0

    def profile(frame: object, event: str, argument: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    tracemalloc.start()
    sys.setprofile(profile)
    try:
        turn = WorldTurn(Base(seed, overlay))
        call = turn.begin()
        turn_on(turn.world)
        turn.commit(call)
        overlay.apply(turn.changes())
        turn.close()
    finally:
        sys.setprofile(None)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    return calls, peak


def reads_one(world: World) -> None:
    world["big"]["5"]["n"]


def writes_one(world: World) -> None:
    assert len(world["big"]) > 1
    assert "x" not in world["big"]
    world["big"]["5"]["tags"].append(world["big"].get("6")["n"])
    world["big"]["new"] = {"a": 1}
    del world["big"]["7"]


@pytest.mark.parametrize("turn_on", [reads_one, writes_one, lambda world: None])
def test_a_turn_costs_what_it_touches_whatever_the_collection_holds(turn_on: Callable[[World], None]) -> None:
    calls, peak = work(turn_on, 2 * WHOLE)
    more_calls, more_peak = work(turn_on, 40 * WHOLE)
    assert more_calls <= calls * 1.1 + 5
    assert more_peak <= peak * 1.5 + 4096
    assert peak < 20_000


def test_opening_a_session_takes_no_memory_to_speak_of() -> None:
    seed = Seed(large(20 * WHOLE))
    seed.data  # noqa: B018
    tracemalloc.start()
    try:
        sessions = [WorldTurn(Base(seed, Overlay())).world for _ in range(100)]
        held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert held / len(sessions) < 4096
