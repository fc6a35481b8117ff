"""An agent of ADK that tells all it knows. What it keeps is in its session and in the turn's world."""

import json
from collections.abc import AsyncGenerator
from typing import Any

import notes
from google.adk.agents import LlmAgent
from google.adk.models import BaseLlm, LlmRequest, LlmResponse
from google.adk.tools import ToolContext
from google.genai import types

from greenroom.agents.adapters.adk import AdkAgent


async def save_note(note: str, tool_context: ToolContext) -> dict[str, Any]:
    """Puts a note on the customer's record."""
    tool_context.state["user:latest"] = note
    return await notes.save_note(note)


async def read_notes(tool_context: ToolContext) -> dict[str, Any]:
    """Reads the customer's notes."""
    return {"notes": await notes.read_notes(), "latest": tool_context.state.get("user:latest")}


class Model(BaseLlm):
    """Notes what it is told, reads its notes, and says everything."""

    model: str = "fake"

    async def generate_content_async(
        self, llm_request: LlmRequest, stream: bool = False
    ) -> AsyncGenerator[LlmResponse, None]:
        last = (llm_request.contents[-1].parts or [])[-1]
        if last.function_response is None:
            save = types.FunctionCall(name="save_note", args={"note": last.text})
            read = types.FunctionCall(name="read_notes", args={})
            parts = [types.Part(function_call=save), types.Part(function_call=read)]
        else:
            parts_so_far = [part for content in llm_request.contents for part in content.parts or []]
            said = [part.text for part in parts_so_far if part.text and not part.text.startswith('{"known"')]
            found = [part.function_response.response for part in parts_so_far if part.function_response]
            told = {
                "known": notes.known(),
                "said": said,
                "found": found,
                "system": llm_request.config.system_instruction,
            }
            parts = [types.Part(text=json.dumps(told))]
        yield LlmResponse(content=types.Content(role="model", parts=parts), partial=False)


agent = AdkAgent(LlmAgent(name="teller", model=Model(), tools=[save_note, read_notes]), world={"notes": {}})
