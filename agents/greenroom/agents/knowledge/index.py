"""Search by words: SQLite's FTS5 finds and weighs them, BM25 ranks."""

import math
import sqlite3
from array import array
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Sequence
from heapq import nlargest, nsmallest
from itertools import accumulate
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
    most: float
    """The largest of these."""


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
        # weight is taken out again here, and `_Term` puts in another.
        weight = math.log((len(self.passages) - len(found) + 0.5) / (len(found) + 0.5))
        weight = weight if weight > 0 else 1e-6
        parts = array("f", [-score / weight for _, score in found])
        return Postings(array("I", [row for row, _ in found]), parts, max(parts, default=0.0))


class Hit(NamedTuple):
    """A passage that fits."""

    place: tuple[int, int]
    """Which index, and which of its passages."""
    score: float
    coverage: float


class _Term:
    """A word of a query, in several indexes whose passages are numbered on from `starts`."""

    def __init__(self, indexes: Sequence[Index], starts: Sequence[int], word: str) -> None:
        self._starts = starts
        self._found = [index.postings(word) for index in indexes]
        self.count = sum(len(postings.rows) for postings in self._found)
        total = starts[-1]
        self.weight = math.log(1 + (total - self.count + 0.5) / (self.count + 0.5))
        """Lucene's: never negative, however many passages have the word."""
        self.most = self.weight * max((postings.most for postings in self._found), default=0.0)
        """What it adds to a score at most."""

    def add_to_all(self, scores: dict[int, float]) -> None:
        get, weight = scores.get, self.weight
        for start, postings in zip(self._starts, self._found, strict=False):
            rows = [start + row for row in postings.rows] if start else postings.rows
            for row, part in zip(rows, postings.parts, strict=True):
                scores[row] = get(row, 0.0) + weight * part

    def add_to_these(self, scores: dict[int, float]) -> None:
        for row in scores:
            scores[row] += self.weight * self.part(row)

    def part(self, row: int) -> float:
        """0.0 for a passage without the word."""
        at = bisect_right(self._starts, row) - 1
        rows, row = self._found[at].rows, row - self._starts[at]
        place = bisect_left(rows, row)
        return self._found[at].parts[place] if place < len(rows) and rows[place] == row else 0.0


def best(indexes: Sequence[Index], words: Sequence[str], limit: int) -> list[Hit]:
    """The passages of some indexes that fit best, as if they stood in one: a word is as rare as it is in all of them.

    The score is BM25 (k1 1.2, b 0.75, a word in the heading counts twice), with a word's weight as Lucene has it,
    ln(1 + (N - n + 0.5) / (n + 0.5)) for n of N passages. Ties go by index and order.
    """
    starts = list(accumulate((len(index.passages) for index in indexes), initial=0))
    terms = sorted((_Term(indexes, starts, word) for word in words), key=lambda term: term.count)
    ahead = sum(term.most for term in terms)
    scores: dict[int, float] = {}
    closed = False
    for term in terms:
        if not closed and limit <= len(scores) < term.count:
            least = nlargest(limit, scores.values())[-1]
            if closed := least > ahead:  # what has none of the rare words can no longer be among the best
                scores = {row: score for row, score in scores.items() if score + ahead >= least}
        if closed:
            term.add_to_these(scores)
        else:
            term.add_to_all(scores)
        ahead -= term.most
    hits = nsmallest(limit, ((-score, row) for row, score in scores.items()))
    return [Hit(_place(starts, row), -score, _coverage(terms, row)) for score, row in hits]


def _place(starts: Sequence[int], row: int) -> tuple[int, int]:
    at = bisect_right(starts, row) - 1
    return at, row - starts[at]


def _coverage(terms: Sequence[_Term], row: int) -> float:
    """How much of the words' weight a passage has; words that stand nowhere weigh most."""
    total = sum(term.weight for term in terms)
    return sum(term.weight for term in terms if term.part(row)) / total if total else 0.0
