"""The agent that serves one of LlamaIndex."""

from collections.abc import Callable
from typing import Any, Unpack

from greenroom.agents.adapters.failures import backend_failures
from greenroom.agents.adapters.instances import Instances
from greenroom.agents.adapters.settings import AgentSettings
from greenroom.agents.adapters.tools import serving
from greenroom.sdk import Agent, Reply, Turn
from greenroom.tools.extras import import_extra


class LlamaIndexAgent(Agent):
    """A `FunctionAgent`, a `ReActAgent`, a `CodeActAgent` or an `AgentWorkflow` of them, or with `factory` a callable that
    makes one for each turn.

    `memory` makes an empty memory, by default a `ChatMemoryBuffer`; each turn gets one, with the messages of those before.
    """

    def __init__(
        self,
        target: Any,
        *,
        name: str = "",
        factory: bool = False,
        memory: Callable[[], Any] | None = None,
        **settings: Unpack[AgentSettings],
    ) -> None:
        self._stage: Any = import_extra("greenroom.agents.adapters.llama_index.stage", "llama-index")
        prepared = self._stage.prepared
        ours = (lambda: prepared(target())) if factory else prepared(target)
        self._instances: Instances[Any] = Instances(ours, self._stage.copied, factory=factory)
        pristine = self._instances.pristine
        known = name or getattr(pristine, "name", "") or type(pristine).__name__
        super().__init__(known, tools=self._stage.tools_of(pristine), **settings)
        self._memory = memory
        self.reply(self._answer)

    async def _answer(self, turn: Turn) -> Reply:
        """Serves an agent of LlamaIndex."""
        with serving(turn), backend_failures():
            run = self._stage.Run(turn, self._instances.fresh(), self._memory)
            return await run.reply()
