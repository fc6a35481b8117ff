"""What a LangChain tool gave, as JSON."""

import json
from typing import Any

from langchain_core.messages import ToolMessage
from langchain_core.tools.base import TOOL_MESSAGE_BLOCK_TYPES
from langgraph.types import Command

from greenroom.agents.adapters.again import is_plain
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


def comes_again(result: Any) -> bool:
    """Whether what the evidence shows of a message is all that LangChain needs to make it once more."""
    if not isinstance(result, ToolMessage):
        return False
    content = value = shown(result)
    is_content = isinstance(value, list) and all(map(_is_block, value))
    if not isinstance(value, str) and not is_content:
        content = json.dumps(value, ensure_ascii=False)
    same = ToolMessage(content, name=result.name, tool_call_id=result.tool_call_id)
    return is_plain(value) and type(result.content) is type(content) and result == same


def _is_block(item: Any) -> bool:
    """Whether LangChain takes it, in a list, for a part of a message."""
    return isinstance(item, str) or (isinstance(item, dict) and item.get("type") in TOOL_MESSAGE_BLOCK_TYPES)


def _read(content: Any) -> Any:
    if isinstance(content, str) and content[:1] in ("{", "["):
        try:
            return as_json(json.loads(content))  # Python writes and reads numbers that JSON has none for
        except ValueError:
            return content
    return as_json(content)
