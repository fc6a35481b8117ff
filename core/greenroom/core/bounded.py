"""Runs code that is not ours within a bound, even if it will not be stopped."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

_GRACE = 1.0  # seconds a cancelled agent may take to clean up before it is left behind
_log = logging.getLogger(__name__)


class Overrun(Exception):
    """It took longer than it may."""


class Stray(Exception):
    """It ended as cancelled, and nobody here had cancelled it."""

    def __init__(self) -> None:
        super().__init__("a task that the agent waited for was cancelled")


def _wake(over: "asyncio.Future[None]") -> None:
    if not over.done():
        over.set_result(None)


async def bounded(work: Coroutine[Any, Any, T], seconds: float) -> T:
    """The outcome of `work`. Raises `Overrun` when it takes longer, `Stray` when it was cancelled from within. Past its time,
    and when the caller is cancelled, `work` is cancelled and given a second; one that goes on regardless is left behind and
    named in the log."""
    loop = asyncio.get_running_loop()
    task = loop.create_task(work)
    if task.done():  # an eager task that never waited
        return _outcome(task)
    over: asyncio.Future[None] = loop.create_future()
    task.add_done_callback(lambda _: _wake(over))
    timer = loop.call_later(max(seconds, 0), _wake, over)
    try:
        await over
    except asyncio.CancelledError:
        await _stop(task)
        raise
    finally:
        timer.cancel()
    if task.done():
        return _outcome(task)
    await _stop(task)
    raise Overrun


def _outcome(task: "asyncio.Task[T]") -> T:
    if task.cancelled():
        raise Stray
    return task.result()


async def _stop(task: "asyncio.Task[Any]") -> None:
    task.cancel()
    await asyncio.wait((task,), timeout=_GRACE)
    if not task.done():
        _log.error("an agent does not stop when it is cancelled; it is left behind: %s", task.get_coro())
    elif not task.cancelled() and (error := task.exception()) is not None:
        _log.warning("an agent raised while it was being stopped", exc_info=error)
