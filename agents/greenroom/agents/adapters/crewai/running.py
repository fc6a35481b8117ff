"""One run of an agent or a crew, in one turn."""

import asyncio
import json
import os
from dataclasses import dataclass
from typing import Any

from crewai import Process
from crewai.events.listeners.tracing.trace_listener import TraceCollectionListener
from crewai.llms.base_llm import BaseLLM, call_stream_override

from greenroom.agents.adapters.crewai.copies import SYSTEM, Copies
from greenroom.agents.adapters.crewai.hearing import Hearing
from greenroom.agents.adapters.crewai.tools import KnownTools
from greenroom.agents.adapters.system import system_texts
from greenroom.sdk import Reply, Turn

__all__ = ["MESSAGE", "OPENING", "KnownTools", "Run", "stay_quiet", "unservable"]

OPENING = "Begin the conversation."
"""In place of what the user just said, when the agent opens."""
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
    """A run of a copy."""

    def __init__(self, turn: Turn, target: Any, known: KnownTools) -> None:
        self._turn = turn
        self._system = "\n\n".join(system_texts(turn))
        self._is_crew = hasattr(target, "tasks")
        laid = f"{{{SYSTEM}}}" if self._is_crew and self._system else self._system
        copies = Copies(known, laid, turn, asyncio.get_running_loop())
        self._target = copies.crew(target) if self._is_crew else copies.agent(target)
        self._speaker = _speaker(self._target)
        self._hearing = Hearing(turn, known.__contains__, None if self._speaker is None else self._speaker.says)

    async def reply(self, inputs: dict[str, Any]) -> Reply:
        """Raises what CrewAI raised."""
        output = await self._hearing.of(lambda: self._kickoff(inputs))
        await self._hearing.say(output.raw)
        return Reply("", usage=self._hearing.usage)

    def _kickoff(self, inputs: dict[str, Any]) -> Any:
        if self._speaker is None:
            return self._start(inputs)
        with call_stream_override(self._speaker.model, True):
            return self._start(inputs)

    def _start(self, inputs: dict[str, Any]) -> Any:
        if not self._is_crew:
            return self._target.kickoff(self._turn.messages.openai() or OPENING)
        said = [one for one in self._turn.messages if one.role in ("user", "assistant") and one.content]
        placed = MESSAGE in self._target.fetch_inputs() and said and said[-1].role == "user"
        talk = [{"role": one.role, "content": one.content} for one in (said[:-1] if placed else said)]
        given = {MESSAGE: self._turn.text or OPENING, SYSTEM: self._system, **inputs}
        return self._target.kickoff({**given, _HISTORY: json.dumps(talk)} if talk else given)


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
