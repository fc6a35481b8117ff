"""The agent whose turns pydantic-ai runs."""

from collections.abc import Callable, Mapping
from typing import Any

from greenroom.agents.adapters.instances import Instances
from greenroom.agents.adapters.tools import serving
from greenroom.sdk import Agent, AgentError, Reply, Turn
from greenroom.tools.extras import import_extra

_RUN = frozenset({"metadata", "model", "model_settings", "retries", "usage_limits"})
"""What may be said of each run; its history, dependencies and tools are the turn's."""


class PydanticAIAgent(Agent):
    """Serves a `pydantic_ai.Agent`.

    `factory` says that `target` is a callable that makes the agent. `deps` makes a run's dependencies from its turn. `run`
    is what each run gets of `model`, `model_settings`, `usage_limits`, `retries` and `metadata`. Further parts (`world`,
    `scenarios`, …) are those of any `Agent`. Raises `AgentError`.
    """

    def __init__(
        self,
        target: Any,
        *,
        name: str = "",
        factory: bool = False,
        deps: Callable[[Turn], Any] | None = None,
        run: Mapping[str, Any] | None = None,
        **parts: Any,
    ) -> None:
        self._running: Any = import_extra("greenroom.agents.adapters.pydantic_ai.running", "pydantic-ai")
        # Nothing of an agent changes in a run: its toolsets make what they keep anew for each.
        self._instances: Instances[Any] = Instances(target, lambda agent: agent, factory=factory)
        first = self._instances.pristine
        self._toolbox = self._running.AgentTools(first, deps)
        super().__init__(name or first.name or "agent", tools=self._toolbox.tools, **parts)
        self._deps = deps
        self._run = dict(run or {})
        unknown = sorted(self._run.keys() - _RUN)
        if unknown:
            raise AgentError(f"agent {self.name}: run takes {', '.join(sorted(_RUN))}, not {', '.join(unknown)}")
        self.reply(self._answer)

    async def _answer(self, turn: Turn) -> Reply:
        given = {**self._run, "deps": self._deps(turn) if self._deps else None}
        with serving(turn):
            reply: Reply = await self._running.answer(turn, self._instances.fresh(), self._toolbox, given)
        return reply
