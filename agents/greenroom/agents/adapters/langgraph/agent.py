"""The agent that serves a graph."""

from typing import Any, Unpack

from greenroom.agents.adapters.failures import backend_failures
from greenroom.agents.adapters.instances import Instances
from greenroom.agents.adapters.langgraph.shape import Shape
from greenroom.agents.adapters.settings import AgentSettings
from greenroom.agents.adapters.tools import serving
from greenroom.sdk import Agent, AgentError, Reply, Turn
from greenroom.tools.extras import import_extra


class LangGraphAgent(Agent):
    """A compiled graph, or with `factory` a callable that makes one for each turn.

    Derive from it to say how interrupts are asked (`question`) and what resumes them (`answer`).
    """

    def __init__(
        self,
        graph: Any,
        *,
        name: str = "",
        factory: bool = False,
        shape: Shape = Shape(),  # noqa: B008  # it cannot be changed
        **settings: Unpack[AgentSettings],
    ) -> None:
        self._stage: Any = import_extra("greenroom.agents.adapters.langgraph.stage", "langgraph")
        staged = self._stage.staged
        target = (lambda: staged(graph())) if factory else staged(graph)
        self._instances: Instances[Any] = Instances(target, self._stage.copied, factory=factory)
        pristine = self._instances.pristine
        super().__init__(name or pristine.graph.name, tools=pristine.tools, **settings)
        if problem := self._stage.mismatch(pristine, shape):
            raise AgentError(f"agent {self.name}: {problem}")
        self.shape = shape
        self.reply(self._answer)

    def question(self, interrupts: list[Any]) -> str:
        """What the user is asked when the graph interrupts: by default the values given to `interrupt()`, as text."""
        return str(self._stage.asked(interrupts))

    def answer(self, turn: Turn, interrupts: list[Any]) -> Any:
        """What a graph that waits is resumed with, for each of the interrupts it waits at: by default what the user said."""
        return turn.text

    async def _answer(self, turn: Turn) -> Reply:
        """Serves a LangGraph graph."""
        with serving(turn), backend_failures():
            run = self._stage.Run(self, turn, self._instances.fresh())
            return await run.reply()
