"""The object that a turn runs on: one of its own, so that nothing stays in it for whoever comes next."""

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from greenroom.sdk import AgentError

T = TypeVar("T")


class Instances(Generic[T]):
    """Makes a framework's object afresh for each turn: a copy of the one that was given, or what the given callable makes.

    Nothing outlives a turn in it, so what must survive belongs into `turn.state`. `copy` says how far apart copies are; an
    object that keeps things where it does not reach is for a factory.
    """

    def __init__(self, target: Any, copy: Callable[[T], T], *, factory: bool = False) -> None:
        if factory and not callable(target):
            raise AgentError(f"factory=True is for a callable that makes the object, not for a {type(target).__name__}")
        make: Any = target
        self._make: Callable[[], T] | None = make if factory else None
        self._copy = copy
        self.pristine: T = make() if factory else make
        """An object that no turn runs on: what is known of all of them (name, tools) is read off it."""

    def fresh(self) -> T:
        """An object for one turn."""
        return self._copy(self.pristine) if self._make is None else self._make()
