"""Copies of agents and crews, each for one turn."""

import asyncio
import copy
from typing import Any

from crewai.agents.agent_executor import AgentExecutor, AgentExecutorState
from crewai.agents.cache.cache_handler import CacheHandler
from crewai.agents.tools_handler import ToolsHandler

from greenroom.agents.adapters.crewai.tools import KnownTools
from greenroom.sdk import Turn

SYSTEM = "greenroom_system"
"""The input by which the turn's system texts reach a crew: what an input brings in is not searched for inputs again."""


class Copies:
    """Copies what belongs together, once each. What its author shares on purpose (models, knowledge, limits of requests)
    stays shared."""

    def __init__(self, known: KnownTools, system: str, turn: Turn, loop: asyncio.AbstractEventLoop) -> None:
        self._known = known
        self._system = system
        self._turn = turn
        self._loop = loop
        self._made: dict[int, Any] = {}

    def agent(self, one: Any) -> Any:
        """Remembers nothing of another turn, nor anything by a memory of its own."""
        if id(one) in self._made:
            return self._made[id(one)]
        added: dict[str, Any] = {
            "tools": self._tools(one.tools),
            "memory": None,
            "agent_executor": None,
            "tools_handler": ToolsHandler(),
            "tools_results": [],
            "crew": None,
        }
        if self._system:
            added["backstory"] = f"{one.backstory}\n\n{self._system}"
        made = one.model_copy(update={key: added[key] for key in added if key in type(one).model_fields})
        made._token_process = type(one._token_process)()
        made._last_messages, made._tool_failures = [], []
        if one.cache_handler is not None:
            made.set_cache_handler(CacheHandler())
        if getattr(one, "executor_class", None) is AgentExecutor:  # not of agents of other kinds
            made.executor_class = _Executor
        self._made[id(one)] = made
        return made

    def crew(self, one: Any) -> Any:
        agents = [self.agent(agent) for agent in one.agents]
        manager = None if one.manager_agent is None else self.agent(one.manager_agent)
        tasks = [self._task(task) for task in one.tasks]
        for task in tasks:
            if isinstance(task.context, list):
                task.context = [self._made.get(id(other), other) for other in task.context]
        added = {"agents": agents, "tasks": tasks, "manager_agent": manager, "memory": False, "stream": False}
        made = one.model_copy(update=added)
        made._memory = None
        made._cache_handler = CacheHandler()
        made._task_output_handler = _Forgetful()
        return made

    def _task(self, one: Any) -> Any:
        added: dict[str, Any] = {
            "tools": self._tools(one.tools),
            "agent": None if one.agent is None else self.agent(one.agent),
            "output": None,
            "processed_by_agents": set(),
        }
        made = one.model_copy(update=added)
        made._guardrail_retry_counts = copy.copy(one._guardrail_retry_counts)
        self._made[id(one)] = made
        return made

    def _tools(self, tools: Any) -> list[Any]:
        made = []
        for tool in tools or ():
            if id(tool) not in self._made:
                self._made[id(tool)] = self._known.staged(tool, self._turn, self._loop)
            made.append(self._made[id(tool)])
        return made


class _Forgetful:
    """In place of a crew's log of what its tasks last put out, a file that all its runs share."""

    def reset(self) -> None:
        """Nothing was kept."""

    def update(self, task_index: int, log: dict[str, Any]) -> None:
        """Keeps nothing: the turn's evidence has it."""

    def load(self) -> list[dict[str, Any]]:
        return []


class _Executor(AgentExecutor):
    """CrewAI's own, made without a state that is thrown away at once: it would be of a class that is made for it alone, which
    takes milliseconds."""

    @classmethod
    def flow_definition(cls) -> Any:
        return AgentExecutor.flow_definition()

    def _create_initial_state(self) -> Any:
        return AgentExecutorState()
