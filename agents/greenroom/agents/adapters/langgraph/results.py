"""What a LangChain tool gave, as JSON."""

import json
from typing import Any

from langchain_core.messages import ToolMessage
from langgraph.types import Command

from greenroom.agents.adapters.tools import as_json


def shown(result: Any) -> Any:
    """A message's content, read where it is JSON; of a command, the messages it adds, else what it updates."""
    if isinstance(result, ToolMessage):
        return _read(result.content)
    if isinstance(result, Command):
        update = result.update
        messages = update.get("messages", ()) if isinstance(update, dict) else ()
        told = [shown(message) for message in messages if isinstance(message, ToolMessage)]
        return told[0] if len(told) == 1 else as_json({"update": update, "goto": result.goto})
    if isinstance(result, list):
        return [shown(one) for one in result]
    return _read(result) if isinstance(result, str) else as_json(result)


def _read(content: Any) -> Any:
    if isinstance(content, str) and content[:1] in ("{", "["):
        try:
            return json.loads(content)
        except ValueError:
            return content
    return as_json(content)
