"""An agent of LlamaIndex that tells all it knows. What it keeps is in its context and in the turn's world."""

import json
from collections.abc import Sequence
from typing import Any

import notes
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.llms import ChatMessage
from llama_index.core.workflow import Context
from llama_index_turns import FakeModel

from greenroom.agents.adapters.llama_index import LlamaIndexAgent


async def save_note(ctx: Context, note: str) -> dict[str, Any]:
    """Puts a note on the customer's record."""
    await ctx.store.set("latest", note)
    return await notes.save_note(note)


async def read_notes(ctx: Context) -> dict[str, Any]:
    """Reads the customer's notes."""
    return {"notes": await notes.read_notes(), "latest": await ctx.store.get("latest", default=None)}


class Model(FakeModel):
    """Notes what it is told, reads its notes, and says everything."""

    def _answer(self, messages: Sequence[ChatMessage], tools: Sequence[Any]) -> ChatMessage:
        last = messages[-1]
        if last.role == "user":
            save = {"name": "save_note", "args": {"note": last.content}, "id": "save"}
            calls = [save, {"name": "read_notes", "args": {}, "id": "read"}]
            return ChatMessage(role="assistant", content="", additional_kwargs={"calls": calls})
        said = [message.content for message in messages if message.role in ("user", "system", "tool")]
        return ChatMessage(role="assistant", content=json.dumps({"known": notes.known(), "said": said}))


agent = LlamaIndexAgent(FunctionAgent(name="teller", llm=Model(), tools=[save_note, read_notes]), world={"notes": {}})
