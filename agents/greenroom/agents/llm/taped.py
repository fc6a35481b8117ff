"""A model's request and answer as a cassette keeps them: what decides the answer, and nothing of when it was given."""

from collections.abc import Sequence
from typing import Any

from pydantic import TypeAdapter
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart

from greenroom.agents.llm.asking import Asking, Request, StepText
from greenroom.sdk import Turn

_RESPONSE: TypeAdapter[ModelResponse] = TypeAdapter(ModelResponse)
_KEPT = ("part_kind", "content", "tool_name", "args", "tool_call_id")
_OF_THE_MOMENT = {"timestamp", "provider_response_id", "provider_url", "run_id", "conversation_id"}


async def ask_taped(turn: Turn, asking: Asking, request: Request) -> ModelResponse:
    """As `Asking.ask`, where the turn is recorded or replayed."""
    live: ModelResponse | None = None

    async def ask() -> dict[str, Any]:
        nonlocal live
        live = await asking.ask(request)
        return answer_json(asking.model, live)

    answer = await turn.recorded(asking.model, request_json(request), ask)
    if live is not None:
        return live
    response = _RESPONSE.validate_python(answer["response"])
    asking.was_answered_by(answer["model"])
    StepText(turn).tell("".join(part.content for part in response.parts if isinstance(part, TextPart)))
    return response


def request_json(request: Request) -> dict[str, Any]:
    """What the model is asked."""
    return {
        "messages": _messages(request.messages),
        "settings": dict(request.settings),
        "tools": [
            {"name": tool.name, "description": tool.description, "parameters": tool.parameters_json_schema}
            for tool in request.parameters.function_tools
        ],
    }


def answer_json(model: str, response: ModelResponse) -> dict[str, Any]:
    """What it answered, and which of the models did."""
    return {"model": model, "response": _RESPONSE.dump_python(response, mode="json", exclude=_OF_THE_MOMENT)}


def _messages(messages: Sequence[ModelMessage]) -> list[list[dict[str, Any]]]:
    return [
        [{name: value for name in _KEPT if (value := getattr(part, name, None)) is not None} for part in message.parts]
        for message in messages
    ]
