"""The agent whose turns agno runs."""

from collections.abc import Callable, Mapping
from typing import Any

from greenroom.agents.adapters.failures import backend_failures
from greenroom.agents.adapters.instances import Instances
from greenroom.agents.adapters.tools import serving
from greenroom.sdk import Agent, AgentError, Reply, Turn
from greenroom.tools.extras import import_extra

REFUSAL = "I am sorry, I cannot help with that."

_RUN = frozenset({"knowledge_filters", "metadata", "add_dependencies_to_context", "add_session_state_to_context"})
"""What may be said of each run; its input, session and dependencies are the turn's."""


class AgnoAgent(Agent):
    """Serves an `agno.agent.Agent` or an `agno.team.Team`.

    `factory` says that `target` is a callable that makes it. `dependencies` makes a run's dependencies from its turn. `run`
    is what each run gets of `knowledge_filters`, `metadata`, `add_dependencies_to_context` and
    `add_session_state_to_context`. `refusal` is the reply where a guardrail stopped the run. Further parts (`world`,
    `scenarios`, …) are those of any `Agent`. Raises `AgentError`.
    """

    def __init__(
        self,
        target: Any,
        *,
        name: str = "",
        factory: bool = False,
        dependencies: Callable[[Turn], dict[str, Any]] | None = None,
        run: Mapping[str, Any] | None = None,
        refusal: str = REFUSAL,
        **parts: Any,
    ) -> None:
        self._running: Any = import_extra("greenroom.agents.adapters.agno.running", "agno")
        self._instances: Instances[Any] = Instances(target, lambda one: one, factory=factory)
        first = self._instances.pristine
        self._known = self._running.KnownTools(first)
        super().__init__(name or first.name or "agent", tools=self._known.tools, **parts)
        self._dependencies = dependencies
        self._run = dict(run or {})
        unknown = sorted(self._run.keys() - _RUN)
        if unknown:
            raise AgentError(f"agent {self.name}: run takes {', '.join(sorted(_RUN))}, not {', '.join(unknown)}")
        self._refusal = refusal
        self.reply(self._answer)

    async def _answer(self, turn: Turn) -> Reply:
        given = dict(self._run)
        if self._dependencies is not None:
            given["dependencies"] = self._dependencies(turn)
        with serving(turn), backend_failures():
            run = self._running.Run(turn, self._instances.fresh(), self._known)
            reply: Reply = await run.reply(given, self._refusal)
        return reply
