"""Search by words: SQLite's FTS5 finds and weighs them, BM25 ranks."""

import math
import sqlite3
from array import array
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Sequence
from heapq import nsmallest
from threading import Lock
from typing import NamedTuple
from weakref import finalize

from greenroom.agents.knowledge.passage import Text
from greenroom.agents.knowledge.words import folded

_TABLE = """
CREATE VIRTUAL TABLE passages USING fts5(heading, text, content='',
    tokenize="porter unicode61 remove_diacritics 2 categories 'L* N* Co Mn Mc'")
"""
_POSTINGS = "SELECT rowid, bm25(passages, 2.0, 1.0) FROM passages WHERE passages MATCH ? ORDER BY rowid"
_CACHED = 1_000_000
"""Postings that are kept for words that were searched for: 8 bytes each."""


class Postings(NamedTuple):
    """Where a word stands."""

    rows: "array[int]"
    """Rising."""
    parts: "array[float]"
    """What it adds to each one's score, before it is weighed by how rare it is."""


class Index:
    """Passages in an FTS5 table in memory. Any thread may use it, several at once."""

    def __init__(self, passages: Sequence[Text]) -> None:
        self.passages = passages
        self._lock = Lock()
        self._database = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
        finalize(self, self._database.close)
        self._database.execute(_TABLE)
        self._database.execute("BEGIN")
        self._database.executemany(
            "INSERT INTO passages (rowid, heading, text) VALUES (?, ?, ?)",
            ((row, folded(text.heading), folded(text.text)) for row, text in enumerate(passages)),
        )
        self._database.execute("COMMIT")
        self._known: OrderedDict[str, Postings] = OrderedDict()
        self._known_rows = 0

    def postings(self, word: str) -> Postings:
        """Where a word of `words_of` stands, or another form of it."""
        with self._lock:
            known = self._known.get(word)
            if known is None:
                known = self._known[word] = self._looked_up(word)
                self._known_rows += len(known.rows) + 1
                while self._known_rows > _CACHED and len(self._known) > 1:
                    self._known_rows -= len(self._known.popitem(last=False)[1].rows) + 1
            else:
                self._known.move_to_end(word)
            return known

    def _looked_up(self, word: str) -> Postings:
        # In quotes a word is a word, even AND or NEAR; `words_of` leaves no quote in one.
        found = self._database.execute(_POSTINGS, (f'"{word}"',)).fetchall()
        # FTS5 weighs a word that stands in more than half of all passages as nothing. In a small folder most do: so its
        # weight is taken out again here, and `best` puts in another.
        weight = math.log((len(self.passages) - len(found) + 0.5) / (len(found) + 0.5))
        weight = weight if weight > 0 else 1e-6
        return Postings(array("I", [row for row, _ in found]), array("f", [-score / weight for _, score in found]))


class Hit(NamedTuple):
    """A passage that fits."""

    place: tuple[int, int]
    """Which index, and which of its passages."""
    score: float
    coverage: float


def best(indexes: Sequence[Index], words: Sequence[str], limit: int) -> list[Hit]:
    """The passages of some indexes that fit best, as if they stood in one: a word is as rare as it is in all of them.

    The score is BM25 (k1 1.2, b 0.75, a word in the heading counts twice), with a word's weight as Lucene has it,
    ln(1 + (N - n + 0.5) / (n + 0.5)) for n of N passages, so that it is never negative. Ties go by index and order.
    """
    total = sum(len(index.passages) for index in indexes)
    scores: list[dict[int, float]] = [{} for _ in indexes]
    terms: list[tuple[float, list[Postings]]] = []
    for word in words:
        found = [index.postings(word) for index in indexes]
        n = sum(len(postings.rows) for postings in found)
        weight = math.log(1 + (total - n + 0.5) / (n + 0.5))
        terms.append((weight, found))
        for postings, score in zip(found, scores, strict=True):
            get = score.get
            for row, part in zip(postings.rows, postings.parts, strict=True):
                score[row] = get(row, 0.0) + weight * part
    ranked = nsmallest(limit, ((-value, at, row) for at, score in enumerate(scores) for row, value in score.items()))
    return [Hit((at, row), -score, coverage(terms, at, row)) for score, at, row in ranked]


def coverage(terms: Sequence[tuple[float, list[Postings]]], at: int, row: int) -> float:
    """How much of the words' weight a passage has; words that stand nowhere weigh most."""
    total = sum(weight for weight, _ in terms)
    held = sum(weight for weight, found in terms if _has(found[at].rows, row))
    return held / total if total else 0.0


def _has(rows: "array[int]", row: int) -> bool:
    at = bisect_left(rows, row)
    return at < len(rows) and rows[at] == row
