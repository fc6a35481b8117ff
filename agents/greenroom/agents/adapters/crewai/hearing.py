"""What CrewAI tells of a run, as it tells it."""

import asyncio
import json
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from contextvars import copy_context
from typing import Any

from crewai.events.event_bus import crewai_event_bus
from crewai.events.stream_context import add_stream_sink

from greenroom.agents.adapters.speech import Speech
from greenroom.agents.adapters.tokens import Tokens
from greenroom.agents.adapters.tools import as_json
from greenroom.sdk import OutsideCall, Turn, Usage

_TOLD = frozenset({
    "llm_call_completed", "llm_stream_chunk", "tool_usage_error", "tool_usage_finished", "tool_usage_started",
})  # fmt: skip
"""Types of events that a turn listens to."""


class Hearing:
    """Has a run go on in a thread of its own, for CrewAI blocks while its models and tools work. What it tells of the run
    comes to the turn's event loop: tokens are counted, the calls of tools are recorded that do not go through the toolbox
    (whose names are not `known`), and what is said is told if `says` has it that an event's words are the reply."""

    def __init__(self, turn: Turn, known: Callable[[str], bool], says: Callable[[Any], bool] | None) -> None:
        self._turn = turn
        self._known = known
        self._says = says
        self._loop = asyncio.get_running_loop()
        self._events: asyncio.Queue[Any] = asyncio.Queue()
        self._over = False
        self._tokens = Tokens()
        self._speech = Speech(turn)
        self._message = ""
        """The message that is being told: a model's call."""
        self._outside: dict[str, list[OutsideCall]] = {}

    @property
    def usage(self) -> Usage | None:
        return self._tokens.usage

    async def of(self, run: Callable[[], Any]) -> Any:
        """What the run returned. Raises what it raised."""
        ended = _in_thread(lambda: self._listened_to(run))
        ended.add_done_callback(lambda _: self._events.put_nowait(None))
        try:
            while (event := await self._events.get()) is not None:
                await self._hear(event)
            return await ended
        finally:
            self._over = True
            ended.cancel()

    async def say(self, text: str) -> None:
        """The reply in full: what of it has not been told yet is told."""
        await self._speech.whole(self._message, text)

    def _listened_to(self, run: Callable[[], Any]) -> Any:
        """In the run's thread, with a context of its own."""
        forget_runs()
        add_stream_sink(self._tell)
        return run()

    def _tell(self, source: Any, event: Any) -> None:
        """Called by CrewAI with all that happens, in whichever of its threads it does."""
        if self._over:
            raise asyncio.CancelledError  # nobody waits for this run any more: it need not go on
        if event.type in _TOLD:
            self._turn.stays_live()  # what a tool has models and other tools do is part of the turn
            with suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._events.put_nowait, event)

    async def _hear(self, event: Any) -> None:
        if event.type == "llm_call_completed":
            used = event.usage or {}
            self._tokens.add(used.get("prompt_tokens"), used.get("completion_tokens"))
        elif event.type == "llm_stream_chunk":
            if self._says is not None and self._says(event):
                self._message = event.call_id
                await self._speech.piece(event.call_id, event.chunk)
        else:
            self._message = ""  # what was said before a tool's call is not the answer
            if not self._known(event.tool_name):
                self._record(event)

    def _record(self, event: Any) -> None:
        """A tool that the turn's toolbox cannot stand in for."""
        arguments = as_json(event.tool_args if isinstance(event.tool_args, dict) else {"input": event.tool_args})
        begun = self._outside.setdefault(json.dumps([event.tool_name, arguments], sort_keys=True), [])
        if event.type == "tool_usage_started":
            begun.append(self._turn.outside(event.tool_name, arguments))
        elif begun and event.type == "tool_usage_finished":
            begun.pop(0).returned(as_json(event.output))
        elif begun:
            begun.pop(0).failed(type(event.error).__name__, str(event.error))


def forget_runs() -> None:
    """In this context, CrewAI goes on as if nothing had run before. Else it would put what a run has and tells to what it
    knows of all runs, which it keeps."""
    crewai_event_bus.reset_runtime_state()


def _in_thread(function: Callable[[], Any]) -> "asyncio.Future[Any]":
    """Of its own, for it may block as long as a model takes, and a pool's threads are few; a daemon, for nobody can stop
    it."""
    future: Future[Any] = Future()
    context = copy_context()

    def target() -> None:
        future.set_running_or_notify_cancel()
        try:
            future.set_result(context.run(function))
        except BaseException as error:  # goes on in the turn
            future.set_exception(error)

    threading.Thread(target=target, name="crewai", daemon=True).start()
    return asyncio.wrap_future(future)
