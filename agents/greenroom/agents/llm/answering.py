"""How a turn is answered: the model is asked, its calls run in the turn's toolbox, it is asked again with their results."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from time import monotonic
from typing import Any, Final

from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelRequestPart,
    ModelResponse,
    ToolCallPart,
    ToolReturnPart,
)
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.tools import ToolDefinition

from greenroom.agents.llm.asking import Asking, Request
from greenroom.agents.llm.confidence import confidence_of
from greenroom.agents.llm.history import history_of
from greenroom.agents.llm.models import OpenModel
from greenroom.agents.llm.options import LlmOptions
from greenroom.agents.llm.sampling import settings_for, settings_of
from greenroom.agents.llm.taped import ask_taped
from greenroom.sdk import AgentUnavailable, Reply, Tool, Turn, Usage

_TELLING: Final = 60.0
"""Seconds for which a turn that was not answered says how the agent is."""


class Answering:
    """What an agent's turns share between its start and its stop: open models, the tools' schemas, the settings."""

    def __init__(self, tools: Sequence[Tool[..., Any]], options: LlmOptions, models: Sequence[OpenModel]) -> None:
        self._tools = tools
        self._parameters = _parameters(tools)
        self._options = options
        self._settings = settings_of(options)
        self._models = models
        self._problem = ""
        self._since = 0.0

    @property
    def problem(self) -> str:
        """What the last turn that was not answered came to; "" once one has been, or when that says nothing of now any
        more: who looks before it asks would never ask."""
        return self._problem if monotonic() - self._since < _TELLING else ""

    async def answer(self, turn: Turn) -> Reply:
        """Raises `AgentUnavailable` when no model answers."""
        asking = Asking(turn, self._models, self._options)
        try:
            reply = await self._answer(turn, asking)
        except AgentUnavailable as unavailable:
            if asking.is_down:
                self._problem, self._since = str(unavailable), monotonic()
            raise
        self._problem = ""
        return reply

    async def _answer(self, turn: Turn, asking: Asking) -> Reply:
        settings = settings_for(self._settings, turn.options)
        course = _Course(history_of(turn))
        while True:
            course.steps += 1
            last = course.steps == self._options.max_steps
            request = self._request(course, settings, turn, last=last)
            response = await (ask_taped(turn, asking, request) if turn.is_taped else asking.ask(request))
            course.took(response)
            calls = response.tool_calls
            if not calls or last:
                break
            course.messages.append(ModelRequest(await _run(turn, calls)))
        return self._reply(turn, asking, course, response)

    def _request(self, course: "_Course", settings: Mapping[str, Any], turn: Turn, *, last: bool) -> Request:
        if turn.toolbox.tools is not self._tools:
            self._tools, self._parameters = turn.toolbox.tools, _parameters(turn.toolbox.tools)
        parameters = self._parameters
        if last and parameters.function_tools:
            settings = {**settings, "tool_choice": "none"}
        return Request(course.messages, settings, parameters)

    def _reply(self, turn: Turn, asking: Asking, course: "_Course", response: ModelResponse) -> Reply:
        finish = _finish_of(response)
        if not turn.said:
            turn.say(_refusal_of(response) or self._options.apology)
        about: dict[str, Any] = {"model": asking.model, "steps": course.steps, "finish": finish}
        if asking.problems:
            about["problems"] = asking.problems
        confidence = confidence_of(response.provider_details) if finish in ("stop", "length") else None
        return Reply("", confidence, usage=course.usage, metadata={"llm": about})


@dataclass(slots=True)
class _Course:
    """What a turn has come to so far."""

    messages: list[ModelMessage]
    steps: int = 0
    usage: Usage | None = field(default=None)
    """The sum over the steps; None while no model has counted."""

    def took(self, response: ModelResponse) -> None:
        self.messages.append(response)
        counted = response.usage
        if counted.input_tokens or counted.output_tokens:
            before = self.usage or Usage(0, 0)
            self.usage = replace(
                before,
                prompt_tokens=before.prompt_tokens + counted.input_tokens,
                completion_tokens=before.completion_tokens + counted.output_tokens,
            )


async def _run(turn: Turn, calls: Sequence[ToolCallPart]) -> list[ModelRequestPart]:
    """The results, in the calls' order; a failed call's result is its error."""
    asked = [
        {"id": call.tool_call_id, "function": {"name": call.tool_name, "arguments": _text(call.args)}} for call in calls
    ]
    answers = await turn.tools.run(asked)
    return [
        ToolReturnPart(call.tool_name, answer["content"], call.tool_call_id)
        for call, answer in zip(calls, answers, strict=True)
    ]


def _text(arguments: Any) -> str:
    return arguments if isinstance(arguments, str) else json.dumps(arguments or {})


def _parameters(tools: Sequence[Tool[..., Any]]) -> ModelRequestParameters:
    return ModelRequestParameters(
        function_tools=[
            ToolDefinition(
                name=tool.name, parameters_json_schema=tool.signature.schema(), description=tool.description or None
            )
            for tool in tools
        ]
    )


def _finish_of(response: ModelResponse) -> str:
    """How the turn ended: "stop", "length", "content_filter", "refusal" or, where it still wanted to call tools, "steps"."""
    if _refusal_of(response):
        return "refusal"
    if response.tool_calls:
        return "steps"
    return response.finish_reason if response.finish_reason in ("length", "content_filter") else "stop"


def _refusal_of(response: ModelResponse) -> str:
    """What the model said in refusing; "" where it did not, or in no words of its own."""
    refusal = (response.provider_details or {}).get("refusal")
    return refusal if isinstance(refusal, str) else ""
