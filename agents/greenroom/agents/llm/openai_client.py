"""OpenAI's client for requests that are in their wire form already."""

from collections.abc import Mapping, Sequence
from typing import Any

from openai import AsyncOpenAI, omit
from openai.resources.chat import AsyncChat
from openai.resources.chat.completions import AsyncCompletions


class PlainOpenAI(AsyncOpenAI):
    """Sends messages and tools as they are. The client's own way is to look each value of them up in its types, for such as
    may have to be converted: a sixth of the CPU of a turn with one message and one tool."""

    @property
    def chat(self) -> AsyncChat:
        return _Chat(self)


class _Chat(AsyncChat):
    @property
    def completions(self) -> AsyncCompletions:
        return _Completions(self._client)


class _Completions(AsyncCompletions):
    async def create(  # type: ignore[override]  # of its overloads one is used, with `stream` at run time
        self, *, messages: Sequence[Any], tools: Any = omit, extra_body: Mapping[str, Any] | None = None, **more: Any
    ) -> Any:
        plain = {"messages": messages, **({"tools": tools} if tools else {}), **(extra_body or {})}
        return await super().create(messages=(), extra_body=plain, **more)
