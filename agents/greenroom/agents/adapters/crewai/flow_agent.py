"""The agent whose turns a flow of CrewAI runs."""

from collections.abc import Callable
from typing import Any, Unpack

from greenroom.agents.adapters.failures import backend_failures
from greenroom.agents.adapters.instances import Instances
from greenroom.agents.adapters.settings import AgentSettings
from greenroom.agents.adapters.tools import serving
from greenroom.sdk import Agent, AgentError, Reply, Turn
from greenroom.tools.extras import import_extra


class CrewAIFlowAgent(Agent):
    """Serves a `crewai.flow.flow.Flow`: a class, or an instance that was made without arguments. Each turn runs on a new
    one, with the state that the turn before left.

    `factory` says that `target` is a callable that makes it. `inputs` makes further inputs from the turn; `message`, what the
    user just said, is among them anyway. Raises `AgentError`.
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
        self._flows: Any = import_extra("greenroom.agents.adapters.crewai.flows", "crewai")
        self._flows.stay_quiet()
        make = target if factory else self._flows.maker(target)
        self._instances: Instances[Any] = Instances(make, lambda one: one, factory=True)
        first = self._instances.pristine
        super().__init__(name or first.name or type(first).__name__, **settings)
        self._inputs = inputs
        wrong = self._flows.unservable(first, asks=inputs is not None)
        if wrong:
            raise AgentError(f"agent {self.name}: {wrong}")
        self.reply(self._answer)

    async def _answer(self, turn: Turn) -> Reply:
        given = {} if self._inputs is None else self._inputs(turn)
        with serving(turn), backend_failures():
            reply: Reply = await self._flows.FlowRun(turn, self._instances.fresh).reply(given)
        return reply
