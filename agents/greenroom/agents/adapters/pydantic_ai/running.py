"""One run of an agent, in one turn."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic_ai.capabilities import AbstractCapability, ReinjectSystemPrompt
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
from greenroom.agents.adapters.pydantic_ai.tools import AgentTools, through_toolbox
from greenroom.agents.adapters.speech import Speech
from greenroom.agents.adapters.system import system_texts
from greenroom.agents.adapters.tools import as_json
from greenroom.agents.llm.history import OPENING, messages_of
from greenroom.agents.llm.problems import problem_of
from greenroom.sdk import AgentError, AgentUnavailable, OutsideCall, Reply, Turn, Usage

__all__ = ["AgentTools", "answer"]

_REASONS = frozenset({"refused_request", "too_long"})
_STATUSES = frozenset({400, 405, 406, 410, 411, 413, 414, 415, 422})
"""What says that the request is at fault, not the model."""


@dataclass
class Stage(AbstractCapability[Any]):
    """Puts a run on a turn: its tools are called through the toolbox, its text is told as it comes."""

    turn: Turn
    tools: AgentTools
    speech: Speech | None
    """None: what is written is not told before the run is over."""
    _response: int = field(default=0, init=False)
    _native: dict[str, OutsideCall] = field(default_factory=dict, init=False)

    async def prepare_tools(self, ctx: Any, tool_defs: list[Any]) -> list[Any]:
        """The toolbox keeps the time of tools, and says so in the evidence."""
        return [
            replace(tool, timeout=None) if tool.timeout is not None and self.tools.timeout(tool.name) else tool
            for tool in tool_defs
        ]

    async def wrap_tool_execute(self, ctx: Any, *, call: Any, tool_def: Any, args: Any, handler: Any) -> Any:
        """In the turn's toolbox."""
        arguments = call.args_as_dict()
        return await through_toolbox(self.turn, self.tools.known(tool_def), arguments, lambda: handler(args))

    async def on_event(self, ctx: Any, *, event: Any) -> None:
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
                self._native[part.tool_call_id] = self.turn.outside(part.tool_name, given, part.tool_call_id)
            case PartEndEvent(part=NativeToolReturnPart() as part):
                if (native := self._native.pop(part.tool_call_id, None)) is not None:
                    native.returned(as_json(part.content))
            case _:
                pass

    async def _say(self, index: int, text: str) -> None:
        if self.speech is not None:
            await self.speech.piece(f"{self._response}.{index}", text)


async def answer(turn: Turn, agent: Any, tools: AgentTools, given: Mapping[str, Any]) -> Reply:
    """Runs the agent on what is new, and keeps its messages for the next turn."""
    speech = Speech(turn)
    memory = Memory(turn, "pydantic_ai")
    streams = agent.output_type is str and not getattr(agent, "_output_validators", ())
    stage = Stage(turn, tools, speech if streams else None)
    with backend_failures():
        result = await _run(agent, stage, memory, given)
    if isinstance(result.output, DeferredToolRequests):
        waiting = [*result.output.approvals, *result.output.calls]
        names = ", ".join(call.tool_name for call in waiting)
        raise AgentError(f"{names} waits for an approval or a result, which nobody gives here")
    if not turn.said:
        await speech.whole("output", _text(result.output))
    memory.keep(
        [_lasting(message) for message in ModelMessagesTypeAdapter.dump_python(result.all_messages(), mode="json")]
    )
    used = result.usage
    counted = used.input_tokens or used.output_tokens
    return Reply("", usage=Usage(used.input_tokens, used.output_tokens) if counted else None)


async def _run(agent: Any, stage: Stage, memory: Memory, given: Mapping[str, Any]) -> Any:
    turn = stage.turn
    capabilities: list[Any] = [stage]
    prompt: str | None = turn.text or OPENING
    history: Any = memory.recall()
    if history is not None:
        history = ModelMessagesTypeAdapter.validate_python(history)
    elif memory.before:
        prompt, history = None, messages_of(turn.messages)
        capabilities.append(ReinjectSystemPrompt())
    try:
        return await agent.run(
            prompt, message_history=history, instructions=system_texts(turn) or None, capabilities=capabilities, **given
        )
    except (ModelAPIError, FallbackExceptionGroup) as error:
        unavailable = _unavailable(error)
        if unavailable is None:
            raise
        raise unavailable from error


def _unavailable(error: Exception) -> AgentUnavailable | None:
    """What to raise where no model can be had; None where what it was asked is at fault."""
    errors = error.exceptions if isinstance(error, FallbackExceptionGroup) else (error,)
    problems = [problem_of(one) for one in errors]
    if not all(isinstance(one, ModelAPIError) for one in errors):
        return None
    if any(problem.reason in _REASONS or problem.status in _STATUSES for problem in problems):
        return None
    waits = [problem.retry_after for problem in problems if problem.retry_after is not None]
    message = ", ".join(map(str, problems))
    return AgentUnavailable(message, retry_after=min(waits)) if waits else AgentUnavailable(message)


def _lasting(message: dict[str, Any]) -> dict[str, Any]:
    """A message without the instructions of its turn: each turn has its own."""
    return {key: value for key, value in message.items() if not key.startswith("instruction")}


def _text(output: Any) -> str:
    return output if isinstance(output, str) else json.dumps(as_json(output), ensure_ascii=False)
