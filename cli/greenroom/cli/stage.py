"""An agent without a server: a core in this process, its sessions in memory."""

import asyncio
import logging
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from types import TracebackType
from typing import Any, TypeVar

from greenroom.cli.assembly import assemble
from greenroom.cli.failures import ToolsRaised, start_text
from greenroom.cli.process import CannotStart
from greenroom.cli.settings import Settings
from greenroom.core.agent import AgentError
from greenroom.core.memory import MemoryStore
from greenroom.core.served import Served
from greenroom.core.tracing import Tracer

T = TypeVar("T")

_SHOWN = ("greenroom.core.performer", "greenroom.core.served", "greenroom.tools.mcp.connection")
"""Whose log is left out: what they tell, of failed turns and of what the agent depends on, is shown where it is asked for."""


class Stage:
    """The first agent of the settings, started. Its loop has a thread of its own: what it keeps open stays alive while the
    person at the terminal thinks, and Ctrl-C reaches whoever waits for them."""

    def __init__(self, settings: Settings, tracer: Tracer | None = None) -> None:
        settings.agent = settings.agent[:1]
        self.core = assemble(settings, MemoryStore(), tracer)
        self._runner = asyncio.Runner()
        self._work: asyncio.Task[Any] | None = None
        self._told: list[logging.Logger] = []
        self.raised = ToolsRaised()
        self._thread = threading.Thread(target=self._serve, name="stage", daemon=True)
        self._loop = self._runner.get_loop()

    def __enter__(self) -> "Stage":
        self._told = [logger for name in _SHOWN if not (logger := logging.getLogger(name)).disabled]
        for logger in self._told:
            logger.disabled = True
        self.raised.listen()
        self._thread.start()
        try:
            self.run(self.core.start())
        except BaseException as problem:
            self._end()
            if isinstance(problem, Exception):  # an author's start-up function may raise anything
                raise CannotStart(start_text(problem), code=2 if isinstance(problem, AgentError) else 1) from problem
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self.run(self.core.stop())
        finally:
            self._end()

    @property
    def served(self) -> Served:
        return self.core.agents.default

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Waits for it. Ctrl-C stops it, and is raised then."""
        outcome: Future[T] = Future()

        def begin() -> None:
            self._work = self._loop.create_task(work)
            self._work.add_done_callback(lambda task: _hand_over(task, outcome))

        try:
            self._loop.call_soon_threadsafe(begin)
            return outcome.result()
        except KeyboardInterrupt:  # it may come before there is anything to wait for
            self._loop.call_soon_threadsafe(lambda: self._work and self._work.cancel())
            raise

    def check_scenario(self, id: str) -> None:
        """Raises `CannotStart` where there is no scenario of this id; "": none is asked for."""
        scenarios = self.served.scenarios
        if id and scenarios.find(id) is None:
            near = scenarios.nearest(id)
            hint = (
                f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(one.id for one in scenarios)}"
            )
            raise CannotStart(f"there is no scenario {id}; {hint}")

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def _end(self) -> None:
        for logger in self._told:
            logger.disabled = False
        self.raised.close()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._runner.close()


def _hand_over(task: "asyncio.Task[T]", outcome: "Future[T]") -> None:
    if task.cancelled():
        outcome.cancel()
    elif (error := task.exception()) is not None:
        outcome.set_exception(error)
    else:
        outcome.set_result(task.result())
