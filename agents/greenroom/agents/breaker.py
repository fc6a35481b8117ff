"""Keeps turns from waiting for something that is down."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from greenroom.sdk import AgentError, AgentUnavailable

_log = logging.getLogger(__name__)

_FAILURES = 5
_FIRST_PAUSE = 1.0
_LONGEST_PAUSE = 30.0


class BackendFailed(AgentUnavailable):
    """What is asked failed by its own fault: enough of these in a row, and it is left alone for a while."""


class Breaker:
    """A circuit breaker: after five failures in a row it refuses at once, for a second, and lets one attempt through to
    see whether it is over; each that fails doubles the pause, up to half a minute. `name` is for the log. `now`: seconds
    of any clock that does not go back."""

    def __init__(self, name: str, now: Callable[[], float] = time.monotonic) -> None:
        self._name = name
        self._now = now
        self._failures = 0
        self._why = ""
        self._pause = _FIRST_PAUSE
        self._refusing_until = 0.0
        self._trying = False

    @contextmanager
    def attempt(self) -> Iterator[Callable[[str], None]]:
        """One attempt: it succeeded when it ends, or finds fault with what it was answered (`AgentError`), and failed with
        `BackendFailed`, or when it calls what it is given, with the reason; anything else is neither. Raises
        `AgentUnavailable` instead of attempting while that is refused."""
        tried = self._enter()
        try:
            yield lambda why: self._failed(why, tried=tried)
            self._succeeded()
        except BackendFailed as failure:
            self._failed(str(failure), tried=tried)
            raise
        except AgentError:
            self._succeeded()
            raise
        finally:
            if tried:
                self._trying = False

    def problem(self) -> str:
        """What is wrong, while attempts are refused; "" when the next one may go through."""
        return self._why if self._is_down() and (self._trying or self._now() < self._refusing_until) else ""

    def _is_down(self) -> bool:
        return self._failures >= _FAILURES

    def _enter(self) -> bool:
        """Whether this is the one that sees whether it is over."""
        if not self._is_down():
            return False
        left = self._refusing_until - self._now()
        if left > 0 or self._trying:
            raise AgentUnavailable(f"{self._name} is left alone for now: {self._why}", retry_after=max(left, 1.0))
        self._trying = True
        return True

    def _failed(self, why: str, *, tried: bool) -> None:
        before = self._is_down()
        self._failures += 1
        if before and not tried:  # it began before the others had failed
            return
        self._why = why
        if self._is_down():
            self._refusing_until = self._now() + self._pause
            _log.warning("%s is left alone for %g s: %s", self._name, self._pause, why)
            self._pause = min(self._pause * 2, _LONGEST_PAUSE)

    def _succeeded(self) -> None:
        if self._is_down():
            _log.info("%s answers again", self._name)
        self._failures, self._pause = 0, _FIRST_PAUSE
