"""The agent whose turns CrewAI runs."""

from collections.abc import Callable
from typing import Any, Unpack

from greenroom.agents.adapters.failures import backend_failures
from greenroom.agents.adapters.instances import Instances
from greenroom.agents.adapters.settings import AgentSettings
from greenroom.agents.adapters.tools import serving
from greenroom.sdk import Agent, AgentError, Reply, Turn
from greenroom.tools.extras import import_extra


class CrewAIAgent(Agent):
    """Serves a `crewai.Agent` or a `crewai.Crew`.

    `factory` says that `target` is a callable that makes it. `inputs` makes a crew's further inputs from its turn; `message`,
    what the user just said, is among them anyway. Raises `AgentError`.
    """

    def __init__(
        self,
        target: Any,
        *,
        name: str = "",
        factory: bool = False,
        inputs: Callable[[Turn], dict[str, Any]] | None = None,
        **settings: Unpack[AgentSettings],
    ) -> None:
        self._running: Any = import_extra("greenroom.agents.adapters.crewai.running", "crewai")
        self._running.stay_quiet()
        self._instances: Instances[Any] = Instances(target, lambda one: one, factory=factory)
        first = self._instances.pristine
        self._known = self._running.KnownTools(first)
        called = first.name if hasattr(first, "tasks") else first.role
        super().__init__(name or called or "agent", tools=self._known.tools, **settings)
        self._inputs = inputs
        wrong = self._running.unservable(first, asks=inputs is not None)
        if wrong:
            raise AgentError(f"agent {self.name}: {wrong}")
        self.reply(self._answer)

    async def _answer(self, turn: Turn) -> Reply:
        given = {} if self._inputs is None else self._inputs(turn)
        with serving(turn), backend_failures():
            run = self._running.Run(turn, self._instances.fresh(), self._known)
            reply: Reply = await run.reply(given)
        return reply
