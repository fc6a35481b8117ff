"""Tokens, by a rule: four bytes of UTF-8 are one, rounded up, and each message costs four more."""

from collections.abc import Iterable

from greenroom.core.records import Message, TurnRecord
from greenroom.core.transcript import Exchange, spoken

_PER_MESSAGE = 4


def tokens(text: str) -> int:
    """The tokens of one text."""
    size = len(text) if text.isascii() else len(text.encode())
    return (size + 3) // 4


def of_reply(text: str) -> int:
    """The tokens of a reply. One that says nothing took one to say so."""
    return tokens(text) or 1


def of_texts(texts: Iterable[str]) -> int:
    """The tokens of whole messages."""
    total = 0
    for text in texts:
        total += tokens(text) + _PER_MESSAGE
    return total


def of_messages(messages: Iterable[Message]) -> int:
    """The tokens of whole messages."""
    return of_texts([message.content or "" for message in messages])


def of_exchanges(past: Iterable[Exchange]) -> int:
    """The tokens of a carried history; of its tool calls no more than of stored ones."""
    total = 0
    for exchange in past:
        total += of_messages(exchange.messages)
        total += of_messages([answer for answer in exchange.answers if answer.role == "assistant" and answer.content])
    return total


def of_turns(turns: Iterable[TurnRecord]) -> int:
    """The tokens of a path's messages and replies, system texts left out: what the next turn on it sees of it."""
    total = 0
    for turn in turns:
        total += of_messages(spoken(turn.messages)) + tokens(turn.reply) + _PER_MESSAGE
    return total
