"""One run of an agent, in one turn."""

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import MISSING, fields
from functools import cache, partial
from typing import Any

from pydantic_ai.capabilities import ReinjectSystemPrompt
from pydantic_ai.exceptions import FallbackExceptionGroup, ModelAPIError
from pydantic_ai.messages import (
    ModelMessagesTypeAdapter,
    NativeToolCallPart,
    NativeToolReturnPart,
    PartDeltaEvent,
    PartEndEvent,
    PartStartEvent,
    TextPart,
    TextPartDelta,
)
from pydantic_ai.tools import DeferredToolRequests

from greenroom.agents.adapters.failures import backend_failures
from greenroom.agents.adapters.memory import Memory
from greenroom.agents.adapters.pydantic_ai.tools import AgentTools, in_toolbox
from greenroom.agents.adapters.speech import Speech
from greenroom.agents.adapters.system import system_texts
from greenroom.agents.adapters.tools import as_json
from greenroom.agents.llm.history import OPENING, messages_of
from greenroom.agents.llm.problems import problem_of
from greenroom.sdk import AgentError, AgentUnavailable, ConversationTooLong, OutsideCall, Reply, Turn, Usage

__all__ = ["AgentTools", "answer"]

_REASONS = frozenset({"refused_request", "too_long"})
_STATUSES = frozenset({400, 405, 406, 410, 411, 413, 414, 415, 422})
"""What says that the request is at fault, not the model."""


class Telling:
    """Tells a run's events to the turn as they come."""

    def __init__(self, turn: Turn, speech: Speech | None) -> None:
        self._turn = turn
        self._speech = speech
        """None: what is written is not told before the run is over."""
        self._response = 0
        self._native: dict[str, OutsideCall] = {}

    async def handle(self, own: Any, context: Any, events: Any) -> None:
        """Takes a run's events, and passes them on to a handler of the author's, if there is one."""
        if own is not None:
            events = self._told(events)
            await own(context, events)
            async for _ in events:
                pass
            return
        async for event in events:
            await self._tell(event)

    async def _told(self, events: Any) -> AsyncIterator[Any]:
        async for event in events:
            await self._tell(event)
            yield event

    async def _tell(self, event: Any) -> None:
        """Tells text, and the calls of tools that the model's provider runs."""
        match event:
            case PartStartEvent(index=index, part=part):
                if index == 0:
                    self._response += 1
                if isinstance(part, TextPart):
                    await self._say(index, part.content)
            case PartDeltaEvent(index=index, delta=TextPartDelta(content_delta=text)):
                await self._say(index, text)
            case PartEndEvent(part=NativeToolCallPart() as part):
                given = as_json(part.args_as_dict())
                self._native[part.tool_call_id] = self._turn.outside(part.tool_name, given, part.tool_call_id)
            case PartEndEvent(part=NativeToolReturnPart() as part):
                if (native := self._native.pop(part.tool_call_id, None)) is not None:
                    native.returned(as_json(part.content))
            case _:
                pass

    async def _say(self, index: int, text: str) -> None:
        if self._speech is not None:
            await self._speech.piece(f"{self._response}.{index}", text)


async def answer(turn: Turn, agent: Any, tools: AgentTools, given: Mapping[str, Any]) -> Reply:
    """Runs the agent on what is new, and keeps its messages for the next turn."""
    speech = Speech(turn)
    memory = Memory(turn, "pydantic_ai")
    streams = agent.output_type is str and not getattr(agent, "_output_validators", ())
    telling = Telling(turn, speech if streams else None)
    kept = memory.recall()
    with backend_failures():
        result = await _run(agent, tools, telling, turn, {**given, **_history(memory, kept)})
    if isinstance(result.output, DeferredToolRequests):
        waiting = [*result.output.approvals, *result.output.calls]
        names = ", ".join(call.tool_name for call in waiting)
        raise AgentError(f"{names} waits for an approval or a result, which nobody gives here")
    if not turn.said:
        await speech.whole("output", _text(result.output))
    # what came before is kept as it was: only what is new is written anew
    before = kept or _dumped(messages_of(memory.before) if memory.before else [])
    memory.keep([*before, *_dumped(result.new_messages())])
    used = result.usage
    counted = used.input_tokens or used.output_tokens
    return Reply("", usage=Usage(used.input_tokens, used.output_tokens) if counted else None)


def _history(memory: Memory, kept: Any) -> dict[str, Any]:
    """What a run is given of the conversation before."""
    if kept is not None:
        return {"message_history": ModelMessagesTypeAdapter.validate_python(kept)}
    if memory.before:
        return {"message_history": messages_of(memory.before), "capabilities": [ReinjectSystemPrompt()]}
    return {}


async def _run(agent: Any, tools: AgentTools, telling: Telling, turn: Turn, given: Mapping[str, Any]) -> Any:
    instructions = system_texts(turn) or None
    handler = partial(telling.handle, agent.event_stream_handler)
    try:
        with in_toolbox(agent, tools) as staged:
            return await staged.run(
                turn.text or OPENING, instructions=instructions, event_stream_handler=handler, **given
            )
    except (ModelAPIError, FallbackExceptionGroup) as error:
        failure = _failure(error)
        if failure is None:
            raise
        raise failure from error


def _failure(error: Exception) -> AgentUnavailable | ConversationTooLong | None:
    """What to raise where no model can be had, or the conversation is too long for all of them; None where what they were
    asked is at fault otherwise."""
    errors = error.exceptions if isinstance(error, FallbackExceptionGroup) else (error,)
    problems = [problem_of(one) for one in errors]
    if not all(isinstance(one, ModelAPIError) for one in errors):
        return None
    message = ", ".join(map(str, problems))
    if all(problem.reason == "too_long" for problem in problems):
        return ConversationTooLong(message)
    if any(problem.reason in _REASONS or problem.status in _STATUSES for problem in problems):
        return None
    waits = [problem.retry_after for problem in problems if problem.retry_after is not None]
    return AgentUnavailable(message, retry_after=min(waits)) if waits else AgentUnavailable(message)


def _dumped(messages: list[Any]) -> list[dict[str, Any]]:
    """Messages as JSON, without the instructions of their turn: each turn has its own."""
    dumped: list[dict[str, Any]] = ModelMessagesTypeAdapter.dump_python(messages, mode="json")
    return [_told(message, told) for message, told in zip(messages, dumped, strict=True)]


def _told(message: Any, told: dict[str, Any]) -> dict[str, Any]:
    short = _shortened(told, type(message))
    short.pop("instructions", None)
    parts = zip(told["parts"], message.parts, strict=True)
    short["parts"] = [_shortened(one, type(part)) for one, part in parts]
    if "usage" in short:
        short["usage"] = _shortened(short["usage"], type(message.usage))
    return short


def _shortened(told: dict[str, Any], of: type) -> dict[str, Any]:
    """Without what is there by default, which is more than half."""
    default = _defaults(of).get
    return {name: value for name, value in told.items() if value != default(name, MISSING)}


@cache
def _defaults(of: type) -> dict[str, Any]:
    """What says which class it is stays."""
    return {
        field.name: field.default
        for field in fields(of)
        if field.default is not MISSING and field.name not in ("kind", "part_kind")
    }


def _text(output: Any) -> str:
    return output if isinstance(output, str) else json.dumps(as_json(output), ensure_ascii=False)
