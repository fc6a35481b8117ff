"""A model for agno that needs no network: it says what a function makes of what it is asked."""

import json
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any

from agno.metrics import MessageMetrics
from agno.models.base import Model
from agno.models.message import Message
from agno.models.response import ModelResponse

Says = Callable[[list[Message]], Sequence[str | dict[str, Any]]]


def call(name: str, id: str = "c1", **arguments: Any) -> dict[str, Any]:
    return {"id": id, "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}


class FakeModel(Model):
    """Counts 10 tokens in and 5 out for each answer. `asked` is all it was asked: roles and texts."""

    def __init__(self, says: Says) -> None:
        super().__init__(id="fake", name="Fake", provider="Fake")
        self.says = says
        self.asked: list[list[tuple[str, Any]]] = []

    async def ainvoke_stream(self, messages: list[Message], **_: Any) -> AsyncIterator[ModelResponse]:
        self.asked.append([(message.role, message.content) for message in messages])
        for one in self.says(messages):
            if isinstance(one, str):
                yield ModelResponse(role="assistant", content=one)
            else:
                yield ModelResponse(role="assistant", tool_calls=[one])
        yield ModelResponse(response_usage=MessageMetrics(input_tokens=10, output_tokens=5, total_tokens=15))

    async def ainvoke(self, messages: list[Message], **_: Any) -> ModelResponse:
        whole = ModelResponse(role="assistant")
        async for one in self.ainvoke_stream(messages):
            whole.content = (whole.content or "") + one.content if one.content else whole.content
            whole.tool_calls += one.tool_calls
            whole.response_usage = one.response_usage or whole.response_usage
        return whole

    def invoke(self, *_: Any, **__: Any) -> ModelResponse:
        raise NotImplementedError

    def invoke_stream(self, *_: Any, **__: Any) -> Iterator[ModelResponse]:
        raise NotImplementedError

    def _parse_provider_response(self, response: Any, **_: Any) -> ModelResponse:
        raise NotImplementedError

    def _parse_provider_response_delta(self, response: Any) -> ModelResponse:
        raise NotImplementedError
