"""A turn as the request that tells a remote agent of it."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from greenroom.agents.remote import plain_json
from greenroom.sdk import Message, Tool, Turn
from greenroom.v1 import agent_pb2, tool_pb2, turn_pb2


def request_of(
    turn: Turn, agent: str, attempt_id: str, tools: Sequence[tool_pb2.Tool], tool_service: str
) -> agent_pb2.RunTurnRequest:
    """The whole conversation, system texts first, with all that the turn knows."""
    proto = agent_pb2.RunTurnRequest(
        messages=messages_of(turn),
        session_id=turn.session_id,
        user_id=turn.user.id,
        metadata_json=_object(turn.metadata),
        options_json=_object(turn.options),
        attempt_id=attempt_id,
        request_id=turn.request_id,
        traceparent=turn.traceparent,
        timeout_ms=max(1, int(turn.time_left * 1000)),
        agent=agent,
        transcript=True,
    )
    hosted = proto.hosted
    hosted.chat_id = turn.chat_id
    hosted.number = turn.number
    hosted.key = turn.key
    hosted.state_json = plain_json.write(turn.state)
    hosted.user_profile_json = _object(turn.user.profile)
    hosted.user_metadata_json = _object(turn.user.metadata)
    hosted.now.CopyFrom(_timestamp(turn.clock.now()))
    if tools:
        hosted.tools.extend(tools)
        hosted.turn_token = turn.token
        hosted.tool_service = tool_service
    return proto


def messages_of(turn: Turn) -> list[turn_pb2.Message]:
    return [*(turn_pb2.Message(role="system", content=text) for text in turn.system), *map(_message, turn.messages)]


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


def _message(message: Message) -> turn_pb2.Message:
    return turn_pb2.Message(
        role=message.role,
        content=message.content,
        name=message.name,
        tool_calls_json=message.tool_calls_json,
        tool_call_id=message.tool_call_id,
    )


def _object(value: Any) -> str:
    return plain_json.write(dict(value)) if value else ""


def _timestamp(moment: datetime) -> Timestamp:
    return Timestamp(seconds=int(moment.timestamp()), nanos=moment.microsecond * 1000)
