"""What of a framework's tool a cassette may give again: plain JSON, and failures whose class and text are all there is."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from greenroom.agents.adapters.again import Again, ByName, is_plain, takes_only
from greenroom.sdk import ToolError


class Steering(Exception):
    """A framework's own, by which a tool steers the run."""


Steering.__module__ = "framework.errors"


class Refused(Exception):
    """A framework's own, of which it tells the model the text."""

    def __init__(self, message: str) -> None:
        self.message = message
        super().__init__(message)


class Unlike:
    """Cannot be compared, as some arrays cannot."""

    def __eq__(self, other: object) -> bool:
        raise TypeError("ambiguous")

    def __hash__(self) -> int:
        return 0


class OutOfStock(Exception):
    """The author's own."""


def noted(error: Exception) -> Exception:
    error.add_note("more than its text")
    return error


EXACT, NAMED = Again(Refused), ByName("framework")


@pytest.mark.parametrize(
    ("error", "exact", "named"),
    [
        (ValueError("no such order"), True, True),
        (KeyError("7"), True, True),
        (KeyError(7), True, True),
        (KeyError(("a", 1)), False, True),
        (Refused("not today"), True, True),
        (OutOfStock("none left"), False, True),
        (ValueError("no", "order"), False, True),
        (ValueError(7), False, True),
        (ValueError(Unlike()), False, True),
        (noted(ValueError("no such order")), False, True),
        (OSError(2, "No such file"), False, True),
        (ValueError(), False, True),
        (Steering("stop"), False, False),
        (ToolError("no such order", code="not_found"), False, False),
        (TimeoutError("late"), False, False),
        (asyncio.CancelledError(), False, False),
    ],
)
def test_a_failure_comes_again_where_nothing_of_it_is_lost(error: BaseException, exact: bool, named: bool) -> None:
    name, text = type(error).__name__, str(error)
    assert (EXACT.raises(error), NAMED.raises(error)) == (exact, named)
    if exact:
        made = EXACT.failure(name, text)
        assert type(made) is type(error)
        assert made.args == error.args
    if named:
        made = NAMED.failure(name, text)
        assert (type(made).__name__, str(made)) == (name, text)


def test_what_no_failure_is_known_by_is_none() -> None:
    assert [EXACT.failure(name, "text") for name in ("down", "print", "object", "UnicodeDecodeError", "timeout")] == (
        [None] * 5
    )


@pytest.mark.parametrize("value", [None, True, 1, 1.5, "a", [], {}, {"a": [{"b": None}]}])
def test_json_as_it_stands_is_plain(value: Any) -> None:
    assert is_plain(value)


@pytest.mark.parametrize("value", [(1,), {1: "a"}, {"a": {1}}, float("nan"), b"a", [OutOfStock], {"a": (1,)}])
def test_what_json_would_change_is_not(value: Any) -> None:
    assert not is_plain(value)


class Kit:
    def of_a_kit(self, order_id: str) -> None: ...


def plain(order_id: str, *rest: str, **more: str) -> None: ...


def within(order_id: str, context: Any) -> None: ...


@pytest.mark.parametrize(
    ("function", "alone"), [(plain, True), (Kit().of_a_kit, True), (within, False), (Kit.of_a_kit, False), (min, False)]
)
def test_a_function_takes_its_arguments_alone_or_something_of_the_run(
    function: Callable[..., Any], alone: bool
) -> None:
    assert takes_only(function, {"order_id"}) == alone
