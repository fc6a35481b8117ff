"""An agent of pydantic-ai that tells all it knows. What it keeps is in its history and in the turn's world."""

import json
from collections.abc import AsyncIterator
from typing import Any

import notes
from pydantic_ai import Agent, RunContext
from pydantic_ai.messages import ModelMessage, ToolReturnPart, UserPromptPart
from pydantic_ai.models.function import AgentInfo, DeltaToolCall, FunctionModel

from greenroom.agents.adapters.pydantic_ai import PydanticAIAgent


async def teller(messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[Any]:
    """Notes what it is told, reads its notes, and says everything."""
    parts = [part for message in messages for part in message.parts]
    said = [part.content for part in parts if isinstance(part, UserPromptPart)]
    if isinstance(parts[-1], ToolReturnPart):
        found = [part.content for part in parts if isinstance(part, ToolReturnPart)]
        yield json.dumps([notes.known(), said, found, info.instructions])
    else:
        yield {0: DeltaToolCall("save_note", json.dumps({"note": said[-1]}), tool_call_id=f"s{len(parts)}")}
        yield {1: DeltaToolCall("read_notes", "{}", tool_call_id=f"r{len(parts)}")}


inner: Agent[str, str] = Agent(
    FunctionModel(stream_function=teller), name="teller", deps_type=str, tools=[notes.save_note]
)


@inner.tool
async def read_notes(context: RunContext[str]) -> dict[str, Any]:
    """Reads the customer's notes."""
    return {"notes": await notes.read_notes(), "for": context.deps}


agent = PydanticAIAgent(inner, deps=lambda turn: turn.user.id, world={"notes": {}})
