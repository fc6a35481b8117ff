"""The CPU that knowledge takes to be indexed and searched: `.venv/bin/python -m bench.knowledge`. What else the machine does
hardly shows in it."""

import asyncio
import random
import statistics
import tempfile
from array import array
from collections.abc import Callable
from itertools import accumulate
from pathlib import Path
from time import process_time

from greenroom.agents.knowledge import Knowledge
from greenroom.agents.knowledge.documents import documents_in
from greenroom.agents.knowledge.index import Index, best
from greenroom.agents.knowledge.passage import Text
from greenroom.agents.knowledge.vectors import Vectors
from greenroom.agents.knowledge.words import words_of

FILES, FILE_CHARACTERS = 1_000, 4_096
PASSAGES, DIMENSIONS, QUESTIONS = 10_000, 384, 400
FUNCTION_WORDS = [
    "the",
    "of",
    "and",
    "to",
    "in",
    "a",
    "is",
    "that",
    "for",
    "it",
    "as",
    "was",
    "with",
    "be",
    "by",
    "on",
    "not",
    "his",
]


class Prose:
    """Text whose words are as common and as rare as those of a language are (Zipf's law)."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)
        syllables = [c + v for c in "bcdfglmnprst" for v in "aeiou"]
        made = ("".join(self._chance.choices(syllables, k=self._chance.randint(2, 4))) for _ in range(30_000))
        self._words = [*FUNCTION_WORDS, *made]
        self._weights = list(accumulate(1 / (rank + 2.7) for rank in range(len(self._words))))

    def words(self, count: int) -> str:
        return " ".join(self._chance.choices(self._words, cum_weights=self._weights, k=count))

    def vector(self) -> "array[float]":
        values = [self._chance.gauss(0, 1) for _ in range(DIMENSIONS)]
        length = sum(value * value for value in values) ** 0.5
        return array("f", [value / length for value in values])


def told(what: str, runs: list[Callable[[], object]]) -> None:
    times = []
    for run in runs:
        began = process_time()
        run()
        times.append((process_time() - began) * 1000)
    p95 = statistics.quantiles(times, n=20)[-1]
    print(f"{what:<52} p50 {statistics.median(times):7.2f} ms   p95 {p95:7.2f} ms")


def folder(prose: Prose) -> None:
    with tempfile.TemporaryDirectory() as name:
        for number in range(FILES):
            paragraphs = [f"## {prose.words(3)}\n\n{prose.words(130)}\n" for _ in range(8)]
            Path(name, f"{number}.md").write_text("\n".join(paragraphs)[:FILE_CHARACTERS], encoding="utf-8")
        began = process_time()
        asyncio.run(Knowledge(name).load())
        print(f"{FILES} Markdown files of {FILE_CHARACTERS} characters indexed in {process_time() - began:.2f} s")


def searches(prose: Prose) -> None:
    index = Index([Text(f"{row // 10}.md", prose.words(3), prose.words(130)) for row in range(PASSAGES)])
    questions = [prose.words(8) for _ in range(QUESTIONS)]
    runs: list[Callable[[], object]] = [lambda q=q: best([index], words_of(q), 4) for q in questions]  # type: ignore[misc]
    told(f"a question to {PASSAGES} passages, its words new", runs)
    told(f"a question to {PASSAGES} passages, its words known", runs)
    document = "\n\n".join(f"# {prose.words(2)}\n\n{prose.words(100)}" for _ in range(10))
    told("a turn's 10 documents cut and indexed", [lambda: Index(documents_in([document], 800))] * 100)


def vectors(prose: Prose) -> None:
    near = Vectors([prose.vector() for _ in range(PASSAGES)])
    queries = [prose.vector() for _ in range(50)]
    what = f"the nearest of {PASSAGES} vectors of {DIMENSIONS} numbers"
    told(what, [lambda q=q: near.nearest(q, 50) for q in queries])  # type: ignore[misc]


if __name__ == "__main__":
    for part in (folder, searches, vectors):
        part(Prose(1))
