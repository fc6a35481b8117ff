"""Answers on their way from a thread to the event loop."""

import asyncio
from collections import deque
from typing import Any


class Outbox:
    """Wakes the loop once for all the answers that have gathered, not once for each: a wake-up is a system call."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._answers: deque[tuple[asyncio.Future[Any], Any, BaseException | None]] = deque()
        self._woken = False

    def put(self, future: asyncio.Future[Any], result: Any, error: BaseException | None = None) -> None:
        """To be followed by `flush`."""
        self._answers.append((future, result, error))

    def flush(self) -> None:
        # The flag may be read late by either side, which costs a wake-up more and never one less: the loop lowers it before
        # it empties the queue, a thread reads it after it has filled it.
        if self._woken:
            return
        self._woken = True
        try:
            self._loop.call_soon_threadsafe(self._deliver)
        except RuntimeError:  # the loop is closed: nobody waits for these any more
            self._answers.clear()

    def _deliver(self) -> None:
        self._woken = False
        answers = self._answers
        while answers:
            future, result, error = answers.popleft()
            if future.done():  # its caller was cancelled
                continue
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)
