"""The conversation as an agent sees it: what was carried or stored, completed with the stored tool calls (CHAT-12)."""

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, overload

from greenroom.core.plain import any_json
from greenroom.core.records import Message, ToolCallRecord, TurnRecord
from greenroom.core.transcript import Exchange, said_once, spoken


class Conversation(Sequence[Message]):
    """The messages of a conversation, oldest first: of users, of the assistant with its tool calls, and of tools.

    System texts are not in it: see `Turn.context` and `Turn.instructions`.
    """

    __slots__ = ("_messages", "_system")

    def __init__(self, messages: Sequence[Message], system: Sequence[str]) -> None:
        self._messages = messages
        self._system = system

    @overload
    def __getitem__(self, index: int) -> Message: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Message]: ...
    def __getitem__(self, index: int | slice) -> Message | Sequence[Message]:
        return self._messages[index]

    def __len__(self) -> int:
        return len(self._messages)

    def __iter__(self) -> Iterator[Message]:
        return iter(self._messages)

    def openai(self) -> list[dict[str, Any]]:
        """The wire form of OpenAI's chat format, for a model: the agent's instructions and the context as system messages,
        then the conversation."""
        system = [{"role": "system", "content": text} for text in self._system]
        return system + [_wire(message) for message in self._messages]


def _wire(message: Message) -> dict[str, Any]:
    wire: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.name:
        wire["name"] = message.name
    if message.tool_calls_json:
        wire["tool_calls"] = json.loads(message.tool_calls_json)
    if message.tool_call_id:
        wire["tool_call_id"] = message.tool_call_id
    return wire


def past_messages(turns: Iterable[TurnRecord]) -> Iterator[Message]:
    """A path's messages. Tool calls stand between the user's message and the reply, as a model would have made them."""
    for turn in turns:
        yield from spoken(turn.messages)
        yield from _tool_messages(turn)
        yield Message("assistant", turn.reply)


def carried_messages(past: Iterable[Exchange], turns: Iterable[TurnRecord | None]) -> Iterator[Message]:
    """A carried transcript's messages as they came, with the stored tool calls of the turns that are recognised in it."""
    for exchange, turn in zip(past, turns, strict=True):
        yield from exchange.messages
        if turn is None or not turn.tool_calls:
            yield from exchange.answers
            continue
        yield from _tool_messages(turn)
        yield from (
            Message("assistant", message.content, message.name)
            for message in said_once(exchange.answers)
            if message.content
        )


def conversation_of(
    carried: Sequence[Exchange], past: Sequence[TurnRecord | None], input: Iterable[Message]
) -> list[Message]:
    """What an agent sees: the carried transcript, else the path's turns; and what the user just said."""
    if carried:
        return [*carried_messages(carried, past), *spoken(input)]
    return [*past_messages(turn for turn in past if turn is not None), *spoken(input)]


def is_stored(past: Sequence[Exchange], turns: Sequence[TurnRecord | None]) -> bool:
    """Whether a carried transcript says word for word what is stored."""
    for exchange, turn in zip(past, turns, strict=True):
        if turn is None or exchange.reply != turn.reply:
            return False
        if exchange.messages != turn.messages and exchange.messages != tuple(spoken(turn.messages)):
            return False
    return True


def _tool_messages(turn: TurnRecord) -> Iterator[Message]:
    if turn.tool_calls:
        yield Message("assistant", None, tool_calls_json=any_json([_call(call) for call in turn.tool_calls]))
        for call in turn.tool_calls:
            yield Message("tool", call.result_json, tool_call_id=call.id)


def _call(call: ToolCallRecord) -> dict[str, Any]:
    return {
        "id": call.id,
        "type": "function",
        "function": {"name": call.name, "arguments": call.arguments_json},
    }
