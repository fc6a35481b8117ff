"""The agent that serves one of ADK's."""

from collections.abc import Collection, Mapping
from typing import Any, Unpack

from greenroom.agents.adapters.failures import backend_failures
from greenroom.agents.adapters.instances import Instances
from greenroom.agents.adapters.settings import AgentSettings
from greenroom.agents.adapters.tools import serving
from greenroom.sdk import Agent, Reply, Turn
from greenroom.tools.extras import import_extra

_YES = frozenset({"y", "yes", "yes.", "ok", "okay", "sure", "confirm", "confirmed", "approve", "approved", "true"})


class AdkAgent(Agent):
    """An agent, a workflow or an app of Google ADK, or with `factory` a callable that makes one for each turn.

    `speaks` are the agents and nodes that the user hears, by name; None is all but those whose output another one works on.
    Derive from it to say how the user is asked for what an agent waits for (`question`), and what it is given (`answer`).
    """

    def __init__(
        self,
        target: Any,
        *,
        name: str = "",
        factory: bool = False,
        speaks: Collection[str] | None = None,
        **settings: Unpack[AgentSettings],
    ) -> None:
        self._stage: Any = import_extra("greenroom.agents.adapters.adk.stage", "adk")
        self._instances: Instances[Any] = Instances(target, self._stage.copied, factory=factory)
        app = self._stage.as_app(self._instances.pristine)
        super().__init__(name or app.name, tools=self._stage.tools_of(app.root_agent), **settings)
        self.silent = frozenset(self._stage.unheard(app.root_agent)) if speaks is None else None
        self.speaks = None if speaks is None else frozenset(speaks)
        self.reader = self._stage.events_reader()
        self.reply(self._answer)

    def hears(self, author: str) -> bool:
        """Whether the user hears what this agent or node says."""
        return author in self.speaks if self.speaks is not None else author not in (self.silent or ())

    def question(self, waiting: list[Mapping[str, Any]]) -> str:
        """What the user is asked when agents wait for a confirmation or an input. Each has the name of ADK's call, its
        `id` and `args`."""
        return str(self._stage.asked(waiting))

    def answer(self, turn: Turn, waiting: Mapping[str, Any]) -> dict[str, Any]:
        """What one that waits is given: a confirmation is given by "yes" and its like; an input is what the user said."""
        if waiting["name"] == "adk_request_confirmation":
            return {"confirmed": turn.text.strip().casefold() in _YES}
        return {"result": turn.text}

    async def _answer(self, turn: Turn) -> Reply:
        """Serves an agent of Google ADK."""
        with serving(turn), backend_failures():
            run = self._stage.Run(self, turn, self._stage.as_app(self._instances.fresh()))
            return await run.reply()
