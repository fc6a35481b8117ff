"""Random programs on a world and on plain dicts, side by side: what a tool finds is the same."""

import copy
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greenroom.core import collection
from greenroom.core.ledger import WRITER, Writer
from greenroom.core.overlay import Base, Overlay, Seed, canonical
from greenroom.core.plain import WorldError
from greenroom.core.world import WorldTurn

KEYS = st.sampled_from(["a", "b", "c"])
VALUES: Any = st.recursive(
    st.none() | st.booleans() | st.integers(0, 2) | st.sampled_from([1.0, "", "x"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=6,
)
WORLDS = st.dictionaries(KEYS, st.dictionaries(KEYS, VALUES, max_size=3) | VALUES, max_size=3)
ACTS = (
    "read", "read", "read", "read", "set", "set", "alias", "delete", "pop", "pop or", "popitem", "setdefault", "update", "or",
    "clear", "look", "copy", "append", "append alias", "insert", "extend", "iadd", "imul", "slice", "set slice", "delete slice",
    "sort", "reverse", "remove", "equal", "get",
)  # fmt: skip
STEP = st.tuples(st.sampled_from(ACTS), st.integers(0, 5), st.integers(0, 5), KEYS, st.integers(-2, 3), VALUES)
CALLS = st.lists(st.tuples(st.booleans(), st.lists(STEP, max_size=8)), max_size=3)
TURNS = st.lists(CALLS, min_size=1, max_size=3)


def json_of(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


@contextmanager
def on_behalf_of(writer: Writer) -> Iterator[None]:
    before = WRITER.set(writer)
    try:
        yield
    finally:
        WRITER.reset(before)


class Machine:
    """Runs steps on a mapping of collections. What a step reads, if it is a container, later steps can work on."""

    def __init__(self, root: Any) -> None:
        self.held = [root]

    def run(self, steps: Any) -> list[Any]:
        return [self._try(*step) for step in steps]

    def _try(self, act: str, at: int, other: int, key: str, index: int, value: Any) -> Any:
        target, alias = self.held[at % len(self.held)], self.held[other % len(self.held)]
        value = copy.deepcopy(value)
        try:
            if isinstance(target, dict):
                result = self._on_dict(act, target, alias, key, value)
            else:
                result = self._on_list(act, target, alias, index, value)
            if isinstance(result, dict | list):
                self.held.append(result)
            return json_of(result)
        except (ValueError, RecursionError):  # some find a knot by its depth, others by what they have seen
            return "ValueError"
        except (KeyError, IndexError, TypeError) as error:
            return type(error).__name__

    def _on_dict(self, act: str, target: Any, alias: Any, key: str, value: Any) -> Any:
        match act:
            case "read":
                return target[key]
            case "get":
                return target.get(key, "none")
            case "set":
                target[key] = value
                self.held.append(value)
                if not isinstance(value, dict | list):
                    self.held.pop()
            case "alias" if alias is not self.held[0]:
                target[key] = alias
            case "delete":
                del target[key]
            case "pop":
                return target.pop(key)
            case "pop or":
                return target.pop(key, None)
            case "popitem":
                return target.popitem()[0]
            case "setdefault":
                return target.setdefault(key, value)
            case "update":
                target.update({"b": 1}, **{key: value})
            case "or":
                target |= {key: value}
                return (target | {"z": 1}, {"z": 1} | target)
            case "clear":
                target.clear()
            case "look":
                return [
                    key in target,
                    len(target),
                    bool(target),
                    list(target),
                    list(target.items()),
                    list(reversed(target)),
                ]
            case "copy":
                return (copy.deepcopy(target), dict(target), target.copy(), copy.copy(target), {**target})
            case "equal":
                return (target == copy.deepcopy(target), target == {}, target != {}, target == alias)
        return None

    def _on_list(self, act: str, target: Any, alias: Any, index: int, value: Any) -> Any:
        match act:
            case "read" | "get":
                return target[index]
            case "set":
                target[index] = value
            case "append":
                target.append(value)
            case "append alias" if alias is not self.held[0]:
                target.append(alias)
            case "insert":
                target.insert(index, value)
            case "extend":
                target.extend([value, 1])
            case "iadd":
                target += [value]
            case "imul":
                target *= min(index, 2)
            case "delete":
                del target[index]
            case "pop":
                return target.pop(index)
            case "slice":
                return (target[index:], target[::-1], target + target, target * 2)
            case "set slice":
                target[index:] = [value, 2]
            case "delete slice":
                del target[:index]
            case "sort":
                target.sort(key=json_of)
            case "reverse":
                target.reverse()
            case "remove":
                target.remove(value)
            case "clear":
                target.clear()
            case "look":
                return [1 in target, len(target), list(target), target.count(1), list(reversed(target))]
            case "copy":
                return (copy.deepcopy(target), list(target), target.copy(), copy.copy(target))
            case "equal":
                return (target == copy.deepcopy(target), target == [], target == alias)
        return None


def is_json(value: Any) -> bool:
    """Programs can tie knots."""
    try:
        json_of(value)
    except (ValueError, RecursionError):
        return False
    return True


def play(start: Any, turns: Any) -> None:
    model, seed, overlay = copy.deepcopy(start), Seed(start), Overlay()
    for calls in turns:
        turn = WorldTurn(Base(seed, overlay))
        world = turn.world
        with on_behalf_of(turn.ledger.own):
            model = copy.deepcopy(world)  # the same but for the order of its keys, which a commit does not keep
        for succeeds, steps in calls:
            kept = copy.deepcopy(model)
            call = turn.begin()
            with on_behalf_of(call):
                assert Machine(world).run(steps) == Machine(model).run(steps)
            if succeeds and is_json(model):
                before = json_of(kept)
                changes = turn.commit(call)
                assert all(change.before != change.after for change in changes)
                assert bool(changes) == (before != json_of(model))
            else:
                if succeeds:
                    with pytest.raises(WorldError):
                        turn.commit(call)
                turn.undo(call, cut_off=False)
                model = kept
            with on_behalf_of(turn.ledger.own):
                assert json_of(world) == json_of(model)
                assert world == model
        overlay.apply(turn.changes())
        turn.close()
        assert canonical(Base(seed, overlay).as_data()) == canonical(model)
        overlay = Overlay.restore(overlay.snapshot(1))
        assert canonical(Base(seed, overlay).as_data()) == canonical(model)
    assert json_of(seed.data) == json_of(start)


@settings(max_examples=60, deadline=None)
@given(WORLDS, TURNS)
def test_a_world_does_what_plain_dicts_do(start: Any, turns: Any) -> None:
    play(start, turns)


@settings(max_examples=60, deadline=None)
@given(WORLDS, TURNS)
def test_a_world_of_large_collections_does_what_plain_dicts_do(start: Any, turns: Any) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(collection, "WHOLE", -1)
        play(start, [[(ok, [s for s in steps if s[0] != "popitem"]) for ok, steps in calls] for calls in turns])
