"""What the record of a turn says about it (CHAT-09), and what the agent says laid over it."""

from collections.abc import Mapping, Sequence
from typing import Any

from greenroom.core.plain import to_json
from greenroom.core.records import ToolCallRecord


def evaluation_json(agent: Mapping[str, Any] | None, calls: Sequence[ToolCallRecord], step: int) -> str:
    """`tool_called`: the first call's name, and `tool_success`: whether all calls succeeded, both absent without calls;
    `resolution_step`: which turn of the conversation this is. Raises `WorldError` when the agent's part is not JSON."""
    derived: dict[str, Any] = {}
    if calls:
        derived["tool_called"] = calls[0].name
        derived["tool_success"] = all(call.ok for call in calls)
    derived["resolution_step"] = step
    return to_json({**derived, **agent} if agent else derived, "the reply's evaluation")
