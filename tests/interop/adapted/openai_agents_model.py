"""A model for the OpenAI Agents SDK that needs no network: it says what a function makes of what it is asked."""

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from agents import Model, ModelResponse, Usage
from openai.types.responses import (
    Response,
    ResponseCompletedEvent,
    ResponseFunctionToolCall,
    ResponseOutputMessage,
    ResponseOutputRefusal,
    ResponseOutputText,
    ResponseTextDeltaEvent,
    ResponseUsage,
)
from openai.types.responses.response_usage import InputTokensDetails, OutputTokensDetails

Item = dict[str, Any]
Says = Callable[[str, list[Item]], Sequence[Any]]
"""From the system's text and the input items to what the model puts out: `text` and `call`."""


def text(words: str, *, refused: bool = False) -> ResponseOutputMessage:
    content: Any = (
        ResponseOutputRefusal(type="refusal", refusal=words)
        if refused
        else ResponseOutputText(type="output_text", text=words, annotations=[])
    )
    return ResponseOutputMessage(id="msg", type="message", role="assistant", status="completed", content=[content])


def call(name: str, arguments: str = "{}", id: str = "call_1") -> ResponseFunctionToolCall:
    return ResponseFunctionToolCall(type="function_call", call_id=id, name=name, arguments=arguments)


class FakeModel(Model):
    """Counts 10 tokens in and 5 out for each answer, and tells texts word by word. `asked` is all it was asked."""

    def __init__(self, says: Says) -> None:
        self.says = says
        self.asked: list[tuple[str, list[Item]]] = []

    async def get_response(self, system_instructions: Any, input: Any, *_: Any, **__: Any) -> ModelResponse:
        output = self._output(system_instructions, input)
        return ModelResponse(
            output=list(output),
            usage=Usage(requests=1, input_tokens=10, output_tokens=5, total_tokens=15),
            response_id=None,
        )

    async def stream_response(self, system_instructions: Any, input: Any, *_: Any, **__: Any) -> AsyncIterator[Any]:
        output = self._output(system_instructions, input)
        for index, item in enumerate(output):
            if item.type == "message" and item.content[0].type == "output_text":
                for word in item.content[0].text.split(" "):
                    yield delta(word if item.content[0].text.startswith(word) else f" {word}", index)
        usage = ResponseUsage(
            input_tokens=10,
            output_tokens=5,
            total_tokens=15,
            input_tokens_details=InputTokensDetails(cached_tokens=0, cache_write_tokens=0),
            output_tokens_details=OutputTokensDetails(reasoning_tokens=0),
        )
        response = Response(
            id="r", created_at=0, model="fake", object="response", output=list(output), tool_choice="none", tools=[],
            parallel_tool_calls=False, usage=usage,
        )  # fmt: skip
        yield ResponseCompletedEvent(type="response.completed", response=response, sequence_number=0)

    def _output(self, system: Any, input: Any) -> Sequence[Any]:
        items = [{"role": "user", "content": input}] if isinstance(input, str) else list(input)
        self.asked.append((system or "", items))
        return self.says(system or "", items)


def delta(words: str, index: int) -> ResponseTextDeltaEvent:
    return ResponseTextDeltaEvent(
        type="response.output_text.delta",
        content_index=0,
        output_index=index,
        item_id="msg",
        delta=words,
        logprobs=[],
        sequence_number=0,
    )


def last_user(items: list[Item]) -> str:
    return next(str(item["content"]) for item in reversed(items) if item.get("role") == "user")
