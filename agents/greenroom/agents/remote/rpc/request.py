"""A turn as the request that tells a remote agent of it."""

import secrets
from collections.abc import Sequence
from typing import Any

from greenroom.agents.remote import plain_json
from greenroom.sdk import Message, Tool, Turn
from greenroom.v1 import agent_pb2, tool_pb2


def write_request(
    proto: agent_pb2.RunTurnRequest, turn: Turn, agent: str, tools: Sequence[tool_pb2.Tool], tool_service: str
) -> None:
    """The whole conversation, system texts first, with all that the turn knows."""
    for text in turn.system:
        proto.messages.add(role="system", content=text)
    for message in turn.messages:
        _add(proto, message)
    proto.session_id = turn.session_id
    proto.user_id = turn.user.id
    proto.metadata_json = _object(turn.metadata)
    proto.options_json = _object(turn.options)
    proto.attempt_id = secrets.token_hex(16)
    proto.request_id = turn.request_id
    proto.traceparent = turn.traceparent
    proto.timeout_ms = max(1, int(turn.time_left * 1000))
    proto.agent = agent
    proto.transcript = True
    hosted = proto.hosted
    hosted.chat_id = turn.chat_id
    hosted.number = turn.number
    hosted.key = turn.key
    hosted.state_json = plain_json.write(turn.state)
    hosted.user_profile_json = _object(turn.user.profile)
    hosted.user_metadata_json = _object(turn.user.metadata)
    now = turn.clock.now()
    hosted.now.seconds, hosted.now.nanos = int(now.timestamp()), now.microsecond * 1000
    if tools:
        hosted.tools.extend(tools)
        hosted.turn_token = turn.token
        hosted.tool_service = tool_service


class ToolSchemas:
    """The tools as messages, which are made anew when the tools have changed."""

    def __init__(self) -> None:
        self._tools: Sequence[Tool[..., Any]] = ()
        self._schemas: list[tool_pb2.Tool] = []

    def of(self, tools: Sequence[Tool[..., Any]]) -> list[tool_pb2.Tool]:
        if tools is not self._tools:
            described = [tool.openai()["function"] for tool in tools]
            self._schemas = [
                tool_pb2.Tool(
                    name=each["name"],
                    description=each["description"],
                    parameters_json=plain_json.write(each["parameters"]),
                )
                for each in described
            ]
            self._tools = tools
        return self._schemas


def _add(proto: agent_pb2.RunTurnRequest, message: Message) -> None:
    proto.messages.add(
        role=message.role,
        content=message.content,
        name=message.name,
        tool_calls_json=message.tool_calls_json,
        tool_call_id=message.tool_call_id,
    )


def _object(value: Any) -> str:
    return plain_json.write(dict(value)) if value else ""
