"""Search over the shop's policies and the documents of a session, on SQLite's FTS5."""

import re
import sqlite3
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any, TypedDict

from greenroom.agents.support.vocabulary import words

_STOPWORDS = words("""
    a about all am an and any are as at be been but by can could did do does for from get give had has have
    hello hey hi how i if in into is it just know let like long many may me more much my need no not of on one
    or order orders our out please so some take tell than thank thanks that the their them then there these they
    thing this to too up us want was we were what when where which who why will with would you your policy
    policies say says rule rules happens happen question information explain understand okay yes really also
    """)
_MEANS = {
    "money back": "refund",
    "deliver to": "ship international",
    "ship to": "international",
    "send back": "return",
    "sending back": "return",
    "cost": "costs fee",
    "abroad": "international",
    "overseas": "international",
    "cod": "cash delivery",
    "emi": "instalments",
    "installments": "instalments",
    "installment": "instalments",
    "afford": "tight instalments",
    "broken": "damaged",
    "promo": "discount",
    "late": "late delay",
    "swap": "exchange",
    "compensate": "compensation",
    "goodwill": "compensation",
    "guarantee": "warranty",
    "business hours": "opening",
    "office hours": "opening",
    "working hours": "opening",
    "support hours": "opening",
    "not come": "late",
    "not arrive": "late",
    "does not come": "late",
    "pick up": "collect pickup",
    "pick it up": "collect pickup",
    "change my order": "changing items",
    "change the order": "changing items",
    "instead": "changing items",
    "add": "items changing",
    "remove": "items changing",
    "change": "changing",
    "quantity": "items changing",
    "open": "opening",
    "receipt": "invoice",
    "shipping take": "times",
    "delivery take": "shipping times",
    "weekend": "sundays",
    "weekends": "sundays",
    "sunday": "sundays",
}
"""What customers say, and what documents say for it."""

_TO_THE_AGENT = re.compile(
    r"^\W*(?:you are|you're|act as|your (?:role|task|job|name|goal)|always|never|do not|don't"
    r"|be (?:\w+ )?(?:helpful|polite|kind|concise|friendly)"
    r"|answer|respond|reply|use the (?:following|context)|given the|instructions?:|system:?$|respond only)\b",
    re.IGNORECASE,
)
_LABEL = re.compile(
    r"^\s*(?:#+\s*)?(?:context|documents?(?: \d+)?|retrieved (?:documents?|context)|knowledge(?: base)?"
    r"|sources?(?: \d+)?|\[\d+\])\s*:\s*",
    re.IGNORECASE,
)
_HEADING = re.compile(
    r"^\s*(?:#{1,6}\s+(?P<hash>.+)|\*\*(?P<bold>[^*]{3,60})\*\*:?\s*|(?P<colon>[A-Z][\w ,'&/-]{2,50}):)\s*",
    re.MULTILINE,
)
_SENTENCE = re.compile(r"(?<=[.!?])\s+")
_TERM = re.compile(r"[^\W_]+")
LONGEST = 420
"""Characters of a passage: what one can read in a chat."""


class Passage(TypedDict):
    """`source` is "policy" for the shop's own texts and "document" for what came with the session."""

    title: str
    text: str
    source: str


def search(query: str, documents: Sequence[str], limit: int = 3) -> list[Passage]:
    """The best passages, documents of the session before the shop's own where both fit as well; [] when nothing fits."""
    terms = query_terms(query)
    if not terms:
        return []
    own = [passage for document in documents for passage in passages_of(document)]
    found = _matches(terms, own) if own else []
    found += _matches(terms, [])
    if own:
        found.sort(key=lambda passage: held(terms, _all_of(passage)), reverse=True)
    return found[:limit]


def query_terms(query: str) -> list[str]:
    """The words of a question that say what it is about."""
    text = query.lower()
    terms = [word for word in _TERM.findall(text) if word not in _STOPWORDS and not word.isdigit()]
    for said, meant in _MEANS.items():
        if said in text and re.search(rf"\b{said}\b", text):
            terms += meant.split()
    return list(dict.fromkeys(terms))[:16]


def passages_of(document: str) -> list[Passage]:
    """A system message cut into passages. What tells the agent how to behave is no document."""
    passages: list[Passage] = []
    title = ""
    for block in re.split(r"\n\s*\n|\n(?=#{1,6}\s)", document):
        text = _LABEL.sub("", block.strip())
        heading = _HEADING.match(text)
        if heading:
            title = next(filter(None, heading.groups())).strip()
            text = text[heading.end() :]
        text = " ".join(" ".join(s for s in _SENTENCE.split(text) if not _TO_THE_AGENT.match(s)).split())
        passages += [Passage(title=title, text=piece, source="document") for piece in _pieces(text)]
    return passages


def notes_on(documents: Sequence[str], order: Mapping[str, Any]) -> str:
    """What the documents say of present delays, for an order that is not at its end; "" when they say nothing."""
    if not documents or order.get("status") in _ENDED:
        return ""
    sentences = (s.strip() for document in documents for s in re.split(r"(?<=[.!?])\s+|\n", document))
    notes = [s for s in sentences if len(s) < 200 and _DELAY.search(s) and not _IN_GENERAL.search(s)]
    return f"Please note: {notes[0].rstrip('.')}." if notes else ""


_ENDED = frozenset({"delivered", "cancelled", "refunded", "refund_requested", "returned", "lost"})
_DELAY = re.compile(
    r"\b(?:delays?|delayed|disruptions?|strike|storm|flood\w*|outage|backlog|behind schedule)\b", re.IGNORECASE
)
_IN_GENERAL = re.compile(
    r"\b(?:if|when|may|might|can|could|would|policy|you|always|never|apologi\w+|customers?|user)\b|\d{4,}|\?",
    re.IGNORECASE,
)


def _pieces(text: str) -> list[str]:
    pieces, piece = [], ""
    for sentence in _SENTENCE.split(text):
        if piece and len(piece) + len(sentence) > LONGEST:
            pieces.append(piece)
            piece = ""
        piece = f"{piece} {sentence[:LONGEST]}".strip()
    return [*pieces, piece] if piece else pieces


def _matches(terms: Sequence[str], own: Sequence[Passage]) -> list[Passage]:
    """Best first, those that hold enough of the terms. `own` passages are searched instead of the shop's, if any."""
    connection = sqlite3.connect(":memory:")
    try:
        if own:
            connection.execute(_TABLE)
            connection.executemany("INSERT INTO passages VALUES (:title, :text, :source)", own)
        else:
            connection.deserialize(shop_index())
        enough = (len(terms) + 1) // 2
        rows = connection.execute(
            "SELECT title, text, source FROM passages WHERE passages MATCH ? ORDER BY bm25(passages, 3.0, 1.0) LIMIT 6",
            (" OR ".join(f'"{term}"' for term in terms),),
        ).fetchall()
    finally:
        connection.close()
    found = [Passage(title=title, text=text, source=source) for title, text, source in rows]
    return [passage for passage in found if held(terms, passage["title"]) or held(terms, _all_of(passage)) >= enough]


def held(terms: Sequence[str], text: str) -> int:
    """How many of the terms a text holds, by their stems."""
    stems = {word[:5] for word in _TERM.findall(text.lower())}
    return sum(term[:5] in stems for term in terms)


def _all_of(passage: Passage) -> str:
    return f"{passage['title']} {passage['text']}"


_TABLE = "CREATE VIRTUAL TABLE passages USING fts5(title, text, source UNINDEXED, tokenize='porter unicode61')"


@cache
def shop_index() -> bytes:
    """The shipped policies as a serialized SQLite database: each search opens a copy of its own."""
    text = files("greenroom.agents.support").joinpath("data", "policies.md").read_text(encoding="utf-8")
    sections = (section.partition("\n") for section in text.split("# ")[1:])
    connection = sqlite3.connect(":memory:")
    try:
        connection.execute(_TABLE)
        rows = [(title.strip(), " ".join(body.split()), "policy") for title, _, body in sections]
        connection.executemany("INSERT INTO passages VALUES (?, ?, ?)", rows)
        connection.commit()
        return connection.serialize()
    finally:
        connection.close()
