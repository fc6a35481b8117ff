"""The agent that asks a model."""

import importlib.util
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from pydantic import ValidationError

from greenroom.agents.llm.options import Endpoint, LlmOptions
from greenroom.sdk import Agent, AgentError, Reply, Tool, ToolSource, Turn

if TYPE_CHECKING:
    from pydantic_ai.models import Model

    from greenroom.agents.llm.answering import Answering


class AgentParts(TypedDict, total=False):
    """What any agent has: see `Agent`."""

    tools: Sequence[Tool[..., Any] | ToolSource]
    world: Mapping[str, Any] | str | Path | None
    instructions: str
    story_start: datetime
    scenarios: str | Path | None


class LlmAgent(Agent):
    """An agent whose turns a model answers, with the agent's tools and instructions.

    `model`, `base_url` and `api_key_env` are an `Endpoint`'s; `model` may be any model object of pydantic-ai instead. The
    models are opened when the agent starts and shared by all sessions, of which it keeps nothing. Raises `AgentError`.
    """

    def __init__(
        self,
        name: str = "llm",
        *,
        model: "str | Model[Any]",
        base_url: str = "",
        api_key_env: str = "",
        options: LlmOptions | None = None,
        **parts: Unpack[AgentParts],
    ) -> None:
        super().__init__(name, **parts)
        if importlib.util.find_spec("pydantic_ai") is None:
            raise AgentError(f"agent {name}: pydantic-ai is not installed; pip install 'greenroom[llm]'")
        self._model = _asked(name, model, base_url, api_key_env)
        self._options = options or LlmOptions()
        self._stack = AsyncExitStack()
        self._answering: Answering | None = None
        self.reply(self._answer)
        self.on_startup(self._open)
        self.on_shutdown(self._close)
        self.on_health(lambda: "" if self._answering is None else self._answering.problem)

    async def _answer(self, turn: Turn) -> Reply:
        if self._answering is None:
            raise AgentError(f"agent {self.name} was not started")
        return await self._answering.answer(turn)

    async def _open(self) -> None:
        from greenroom.agents.llm.answering import Answering  # noqa: PLC0415  # an optional extra
        from greenroom.agents.llm.models import open_model  # noqa: PLC0415

        async with AsyncExitStack() as stack:
            models = [await open_model(one, stack, live=self.is_live) for one in (self._model, *self._options.fallback)]
            self._answering = Answering(self.tools, self._options, models)
            self._stack = stack.pop_all()

    async def _close(self) -> None:
        self._answering = None
        await self._stack.aclose()


def _asked(name: str, model: "str | Model[Any]", base_url: str, api_key_env: str) -> "Endpoint | Model[Any]":
    if not isinstance(model, str):
        if base_url or api_key_env:
            raise AgentError(f"agent {name}: a model object has its own address and key")
        return model
    try:
        return Endpoint(model=model, base_url=base_url, api_key_env=api_key_env)
    except ValidationError as error:
        wrong = "; ".join(str(mistake["msg"]).removeprefix("Value error, ") for mistake in error.errors())
        raise AgentError(f"agent {name}: {wrong}") from None
