"""The documents among a turn's system texts (CHAT-11), without what tells the agent how to behave."""

import re
from collections.abc import Iterator, Sequence

from greenroom.agents.knowledge.cutting import clean, cut
from greenroom.agents.knowledge.passage import Text

_TO_THE_AGENT = re.compile(
    r"(?:you are (?:an?|the|our)\b|you're (?:an?|the|our)\b|act as\b|your (?:role|task|job|goal) is\b"
    r"|(?:use|answer from|rely on) (?:only )?the (?:following|context|documents?|information|passages?)\b"
    r"|(?:answer|respond|reply) (?:the|to|in|with|only|as|using|based|concisely|briefly|politely)\b"
    r"|be (?:helpful|polite|kind|concise|friendly|brief)\b)",
    re.IGNORECASE,
)
_SENTENCE = re.compile(r"[^.!?\n]*[.!?:\n]+\s*|[^.!?\n]+$")


def documents_in(texts: Sequence[str], size: int) -> list[Text]:
    """The passages of system texts. Their source is "context/1" for the first text, and so on."""
    found: list[Text] = []
    for number, text in enumerate(texts, 1):
        paragraphs = re.split(r"\n[ \t]*\n", clean(text))
        found += cut("\n\n".join(filter(None, map(_without_orders, paragraphs))), f"context/{number}", size)
    return found


def _without_orders(paragraph: str) -> str:
    """A paragraph without the sentences at its beginning that are meant for the agent."""
    start = kept = len(paragraph) - len(paragraph.lstrip())
    for end in _ends(paragraph, start):
        if not _TO_THE_AGENT.match(paragraph, kept):
            break
        kept = end
    return paragraph if kept == start else paragraph[kept:]


def _ends(paragraph: str, start: int) -> Iterator[int]:
    while (sentence := _SENTENCE.match(paragraph, start)) is not None:
        start = sentence.end()
        yield start
