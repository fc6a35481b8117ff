"""Models, opened: their clients with pools of connections, which all turns share."""

import os
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

from pydantic_ai.exceptions import UserError
from pydantic_ai.models import Model, infer_model
from pydantic_ai.profiles.openai import OpenAIModelProfile

from greenroom.agents.breaker import Breaker
from greenroom.agents.llm.options import Endpoint
from greenroom.sdk import AgentError

_KEYS = {
    "openai": ("OPENAI_API_KEY",),
    "anthropic": ("ANTHROPIC_API_KEY",),
    "google": ("GOOGLE_API_KEY", "GEMINI_API_KEY"),
}

_NO_KEY = "no-key"
"""Sent where an endpoint needs none: the clients insist on having one."""


@dataclass(frozen=True, slots=True)
class OpenModel:
    """A model that can be asked. `name` is what the agent's author calls it."""

    name: str
    model: Model[Any]
    breaker: Breaker


async def open_model(asked: "Endpoint | Model[Any]", stack: AsyncExitStack, *, live: bool = True) -> OpenModel:
    """Opens a model until the stack is closed. `live`: it will be asked, so it needs its key. Raises `AgentError` where it
    cannot be had."""
    if isinstance(asked, Model):
        await stack.enter_async_context(asked)
        name = f"{asked.system}:{asked.model_name}"
        return OpenModel(name, asked, Breaker(name))
    provider, _, name = asked.model.partition(":")
    try:
        opener = _OPENERS.get(provider)
        model = _inferred(asked) if opener is None else opener(name, _Opening(asked, stack, live))
    except (UserError, ImportError) as problem:
        raise AgentError(f"model {asked.model}: {problem}") from None
    await stack.enter_async_context(model)
    return OpenModel(asked.model, model, Breaker(asked.model))


@dataclass(frozen=True, slots=True)
class _Opening:
    """A model that is being opened."""

    asked: Endpoint
    stack: AsyncExitStack
    live: bool

    @property
    def base_url(self) -> str | None:
        return self.asked.base_url or None

    def key(self, provider: str) -> str:
        """Raises `AgentError` where the environment has none and one is needed."""
        asked = self.asked
        names = (asked.api_key_env,) if asked.api_key_env else _KEYS[provider]
        if not self.live or (asked.base_url and not asked.api_key_env):
            return _NO_KEY
        key = next((value for name in names if (value := os.environ.get(name))), "")
        if not key:
            raise AgentError(f"model {asked.model}: the environment variable {names[0]} is not set")
        return key


def _openai(name: str, opening: _Opening) -> Model[Any]:
    from pydantic_ai.models.openai import OpenAIChatModel  # noqa: PLC0415
    from pydantic_ai.providers.openai import OpenAIProvider  # noqa: PLC0415
    from pydantic_ai.providers.openai_compatible import OpenAICompatibleProvider  # noqa: PLC0415

    from greenroom.agents.llm.openai_client import PlainOpenAI  # noqa: PLC0415  # of the providers only those are imported that are used

    # Without retries of its own, here and below: the agent's are bounded by the turn's time.
    client = PlainOpenAI(api_key=opening.key("openai"), base_url=opening.base_url, max_retries=0)
    opening.stack.push_async_callback(client.close)
    profile = OpenAIModelProfile(openai_chat_streaming_requires_finish_reason=True)
    if opening.base_url is None:
        return OpenAIChatModel(name, provider=OpenAIProvider(openai_client=client), profile=profile)
    profile["openai_chat_supports_max_completion_tokens"] = False  # they all know `max_tokens`
    provider = OpenAICompatibleProvider("openai-compatible", openai_client=client)
    return OpenAIChatModel(name, provider=provider, profile=profile)


def _anthropic(name: str, opening: _Opening) -> Model[Any]:
    from anthropic import AsyncAnthropic  # noqa: PLC0415
    from pydantic_ai.models.anthropic import AnthropicModel  # noqa: PLC0415
    from pydantic_ai.providers.anthropic import AnthropicProvider  # noqa: PLC0415

    client = AsyncAnthropic(api_key=opening.key("anthropic"), base_url=opening.base_url, max_retries=0)
    opening.stack.push_async_callback(client.close)
    return AnthropicModel(name, provider=AnthropicProvider(anthropic_client=client))


def _google(name: str, opening: _Opening) -> Model[Any]:
    from pydantic_ai.models.google import GoogleModel  # noqa: PLC0415
    from pydantic_ai.providers.google import GoogleProvider  # noqa: PLC0415

    provider = GoogleProvider(api_key=opening.key("google"), base_url=opening.base_url)
    return GoogleModel(name, provider=provider)


_OPENERS: Mapping[str, Callable[[str, _Opening], Model[Any]]] = {
    "openai": _openai,
    "anthropic": _anthropic,
    "google": _google,
}


def _inferred(asked: Endpoint) -> Model[Any]:
    """A model of another of pydantic-ai's providers, which finds its address and key by itself."""
    if asked.base_url or asked.api_key_env:
        raise AgentError(f"model {asked.model}: base_url and api_key_env are for {', '.join(_OPENERS)}")
    return infer_model(asked.model)
