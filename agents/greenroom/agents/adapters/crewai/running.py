"""One run of an agent or a crew, in one turn."""

import asyncio
import json
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any

from crewai import Process
from crewai.events.listeners.tracing.trace_listener import TraceCollectionListener
from crewai.events.stream_context import add_stream_sink
from crewai.llms.base_llm import BaseLLM, call_stream_override

from greenroom.agents.adapters.crewai.copies import SYSTEM, Copies
from greenroom.agents.adapters.crewai.tools import KnownTools
from greenroom.agents.adapters.speech import Speech
from greenroom.agents.adapters.system import system_texts
from greenroom.agents.adapters.tokens import Tokens
from greenroom.agents.adapters.tools import as_json
from greenroom.sdk import OutsideCall, Reply, Turn

__all__ = ["KnownTools", "Run", "stay_quiet", "unservable"]

_OPENING = "Begin the conversation."
_TASK_CHECKS = ("converter_cls", "guardrail", "guardrails", "output_json", "output_pydantic", "response_model")
MESSAGE = "message"
"""The input that is what the user just said."""
_HISTORY = "crew_chat_messages"
"""The input that CrewAI lays as a conversation behind each task's description."""


def stay_quiet() -> None:
    """What CrewAI sends of its runs to its makers is off, unless the environment says otherwise; it asks nobody about it."""
    os.environ.setdefault("CREWAI_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("CREWAI_TRACING_ENABLED", "false")
    TraceCollectionListener().first_time_handler.is_first_time = False


def unservable(target: Any, *, asks: bool) -> str:
    """Why nobody can be served by it; "" when they can. `asks` says that its author makes inputs from the turn."""
    for task in getattr(target, "tasks", ()):
        if task.human_input:
            return f"task {task.name or task.description!r} has human_input, which nobody gives here"
    missing = [] if asks or not hasattr(target, "tasks") else sorted(target.fetch_inputs() - {MESSAGE})
    if missing:
        return f"its tasks and agents take {', '.join(missing)}: pass inputs= to make them from the turn"
    return ""


_TOLD = frozenset({
    "llm_call_completed", "llm_stream_chunk", "tool_usage_error", "tool_usage_finished", "tool_usage_started",
})  # fmt: skip
"""Types of events that a turn listens to."""


@dataclass(frozen=True, slots=True)
class _Speaker:
    """Whose words are the reply, told as they come."""

    model: BaseLLM
    agent: str
    task: str | None
    """Ids; a crew's agents work on several tasks."""

    def says(self, event: Any) -> bool:
        return event.tool_call is None and (event.agent_id, event.task_id) == (self.agent, self.task)


class Run:
    """A run of a copy, in a thread of its own: CrewAI blocks while its models and tools work. What it tells of the run
    comes to the turn's event loop."""

    def __init__(self, turn: Turn, target: Any, known: KnownTools) -> None:
        self._turn = turn
        self._known = known
        self._loop = asyncio.get_running_loop()
        self._system = "\n\n".join(system_texts(turn))
        self._is_crew = hasattr(target, "tasks")
        laid = f"{{{SYSTEM}}}" if self._is_crew and self._system else self._system
        copies = Copies(known, laid, turn, self._loop)
        self._target = copies.crew(target) if self._is_crew else copies.agent(target)
        self._speaker = _speaker(self._target)
        self._events: asyncio.Queue[Any] = asyncio.Queue()
        self._over = False
        self._tokens = Tokens()
        self._speech = Speech(turn)
        self._message = ""
        """The message that is being told: a model's call."""
        self._outside: dict[str, list[OutsideCall]] = {}

    async def reply(self, inputs: dict[str, Any]) -> Reply:
        """Raises what CrewAI raised."""
        ended = _in_thread(lambda: self._kickoff(inputs))
        ended.add_done_callback(lambda _: self._events.put_nowait(None))
        try:
            while (event := await self._events.get()) is not None:
                await self._hear(event)
            output = await ended
        finally:
            self._over = True
            ended.cancel()
        await self._speech.whole(self._message, output.raw)
        return Reply("", usage=self._tokens.usage)

    def _kickoff(self, inputs: dict[str, Any]) -> Any:
        """In the run's thread, with a context of its own."""
        add_stream_sink(self._tell)
        if self._speaker is None:
            return self._start(inputs)
        with call_stream_override(self._speaker.model, True):
            return self._start(inputs)

    def _start(self, inputs: dict[str, Any]) -> Any:
        if not self._is_crew:
            return self._target.kickoff(self._turn.messages.openai() or _OPENING)
        said = [one for one in self._turn.messages if one.role in ("user", "assistant") and one.content]
        placed = MESSAGE in self._target.fetch_inputs() and said and said[-1].role == "user"
        talk = [{"role": one.role, "content": one.content} for one in (said[:-1] if placed else said)]
        given = {MESSAGE: self._turn.text or _OPENING, SYSTEM: self._system, **inputs}
        return self._target.kickoff({**given, _HISTORY: json.dumps(talk)} if talk else given)

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
            if self._speaker is not None and self._speaker.says(event):
                self._message = event.call_id
                await self._speech.piece(event.call_id, event.chunk)
        else:
            self._message = ""  # what was said before a tool's call is not the answer
            if event.tool_name not in self._known:
                self._record(event)

    def _record(self, event: Any) -> None:
        """A tool of CrewAI's own, which the turn's toolbox cannot stand in for."""
        arguments = as_json(event.tool_args if isinstance(event.tool_args, dict) else {"input": event.tool_args})
        begun = self._outside.setdefault(json.dumps([event.tool_name, arguments], sort_keys=True), [])
        if event.type == "tool_usage_started":
            begun.append(self._turn.outside(event.tool_name, arguments))
        elif begun and event.type == "tool_usage_finished":
            begun.pop(0).returned(as_json(event.output))
        elif begun:
            begun.pop(0).failed(type(event.error).__name__, str(event.error))


def _speaker(target: Any) -> _Speaker | None:
    """None where the reply is told when it is whole: something may yet refuse or change it, or the model writes its thoughts
    and calls of tools as text."""
    task, agent = None, target
    if hasattr(target, "tasks"):
        task = target.tasks[-1]
        agent = task.agent if target.process == Process.sequential else None
        if target.after_kickoff_callbacks or any(getattr(task, name) for name in _TASK_CHECKS):
            return None
    if agent is None or not isinstance(agent.llm, BaseLLM) or agent.planning_enabled or agent.guardrail:
        return None
    uses_tools = agent.tools or agent.allow_delegation or agent.mcps or agent.apps or (task is not None and task.tools)
    if uses_tools and not agent.llm.supports_function_calling():
        return None
    return _Speaker(agent.llm, str(agent.id), None if task is None else str(task.id))


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
