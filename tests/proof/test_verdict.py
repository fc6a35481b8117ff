"""The checker of the kill proof names whatever can be wrong with a session."""

from collections.abc import Callable
from typing import Any

import pytest
from verdict import Answer, History, verdict


def turn(number: int, **other: Any) -> dict[str, Any]:
    """A turn as it should be stored."""
    n = number
    return {
        "turn": number,
        "parent": number - 1,
        "superseded": False,
        "adopted": False,
        "messages": [{"role": "user", "content": f"message {number}"}],
        "reply": {"id": f"chatcmpl-{number}", "role": "assistant", "content": str(n)},
        "tool_calls": [{"id": "c", "function": {"name": "add", "arguments": "{}", "result": n}, "ok": True}],
        "state": {"n": n},
        "changes": [{"collection": "counters", "key": "n", "before": n - 1, "after": n}],
        **other,
    }


def right(length: int = 4) -> History:
    return History(
        session="s1",
        answers=[Answer(f"message {n}", str(n)) for n in range(1, length + 1)],
        record={"head": length, "turn_count": length},
        turns=[turn(n) for n in range(1, length + 1)],
        world={"counters": {"n": length}},
    )


def lost_update(history: History) -> None:
    """A later turn started from the world before an earlier one."""
    history.world = {"counters": {"n": 3}}
    history.turns = [*history.turns[:3], turn(4) | {"reply": {"content": "3"}, "state": {"n": 3}}]


def lost_turn(history: History) -> None:
    history.turns = history.turns[:3]
    history.record = {"head": 3, "turn_count": 3}
    history.world = {"counters": {"n": 3}}


def double_application(history: History) -> None:
    """A message that was repeated ran as the next one, too."""
    history.turns = [*history.turns, turn(5, messages=history.turns[3]["messages"])]
    history.record = {"head": 5, "turn_count": 5}
    history.world = {"counters": {"n": 5}}


def ran_twice(history: History) -> None:
    """A message that was repeated ran again from where it first had: the world counts once, the record twice."""
    history.turns = [*history.turns, turn(5) | turn(4) | {"turn": 5}]
    history.record = {"head": 5, "turn_count": 5}


def gap(history: History) -> None:
    history.answers[3] = Answer("message 4", "5")


def repeat(history: History) -> None:
    history.answers[3] = Answer("message 4", "3")


def two_users(history: History) -> None:
    said = [{"role": "user", "content": f"message {n}"} for n in (3, 4)]
    history.turns = [*history.turns[:2], turn(3, messages=said)]
    history.record = {"head": 3, "turn_count": 3}


def without_reply(history: History) -> None:
    history.turns = [*history.turns[:3], turn(4, reply={})]


def without_change(history: History) -> None:
    history.turns = [*history.turns[:3], turn(4, changes=[])]


def without_call(history: History) -> None:
    history.turns = [*history.turns[:3], turn(4, tool_calls=[])]


def without_state(history: History) -> None:
    history.turns = [*history.turns[:3], turn(4, state={"n": 3})]


def without_parent(history: History) -> None:
    history.turns = history.turns[1:]


def old_head(history: History) -> None:
    history.record = {"head": 3, "turn_count": 4}


def uncounted(history: History) -> None:
    history.record = {"head": 4, "turn_count": 5}


def other_reply(history: History) -> None:
    history.turns = [*history.turns[:3], turn(4, reply={"content": "17"})]


def other_order(history: History) -> None:
    first, second, *others = history.turns
    messages = [first["messages"], second["messages"]]
    history.turns = [turn(1, messages=messages[1]), turn(2, messages=messages[0]), *others]


def adopted(history: History) -> None:
    history.turns = [turn(1, adopted=True), *history.turns[1:]]


def unanswered(history: History) -> None:
    history.unanswered = "message 5"


def refused(history: History) -> None:
    history.refused = "409: no"


def test_a_session_that_is_right_is_found_right() -> None:
    assert verdict(right()) == []
    assert verdict(History("never used", world={"counters": {"n": 0}})) == []


@pytest.mark.parametrize(
    ("spoil", "kind"),
    [
        (lost_update, "lost update"),
        (lost_turn, "lost turn"),
        (double_application, "double application"),
        (ran_twice, "ran twice"),
        (gap, "gap"),
        (repeat, "repeat"),
        (two_users, "two users in a row"),
        (without_reply, "half-written turn"),
        (without_change, "half-written turn"),
        (without_call, "half-written turn"),
        (without_call, "tool calls"),
        (without_state, "half-written turn"),
        (without_parent, "half-written turn"),
        (old_head, "head"),
        (uncounted, "half-written turn"),
        (other_reply, "other reply"),
        (other_order, "order"),
        (adopted, "lost turn"),
        (unanswered, "unanswered"),
        (refused, "refused"),
    ],
)
def test_what_is_wrong_is_named(spoil: Callable[[History], None], kind: str) -> None:
    history = right()
    spoil(history)
    found = verdict(history)
    assert kind in {violation.kind for violation in found}
    assert str(found[0]).startswith("VIOLATION ")


def test_a_message_that_was_given_up_may_have_been_applied_or_not() -> None:
    applied = right(4)
    applied.unanswered = applied.answers.pop().text
    assert [violation.kind for violation in verdict(applied)] == ["unanswered"]
    not_applied = right(4)
    not_applied.unanswered = "message 5"
    assert [violation.kind for violation in verdict(not_applied)] == ["unanswered"]
