"""A shelf: passages that are searched together, by words and, where there is an embedding, by meaning."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from greenroom.agents.knowledge.index import Hit, Index, best
from greenroom.agents.knowledge.passage import Passage, Text
from greenroom.agents.knowledge.vectors import Embedding, Vector, Vectors
from greenroom.agents.knowledge.words import searched, words_of

_LOOKED_AT = 50
_RANK = 60
"""What reciprocal rank fusion adds to each rank (Cormack, Clarke, Büttcher 2009)."""


@dataclass(frozen=True, slots=True)
class Shelf:
    """Passages with their index; with their vectors where there is an embedding."""

    index: Index
    vectors: Vectors | None = None


async def filled(texts: Sequence[Text], embedding: Embedding | None) -> Shelf:
    """A shelf of these passages. Raises `AgentError` when the embedding fails."""
    index = await asyncio.to_thread(Index, texts)
    if embedding is None:
        return Shelf(index)
    vectors = await embedding.of([meant(text) for text in texts])
    return Shelf(index, await asyncio.to_thread(Vectors, vectors))


async def find(shelves: Sequence[Shelf], query: str, top: int, embedding: Embedding | None) -> list[Passage]:
    """The passages that fit a query best, of all shelves together. Raises `AgentError` when the embedding fails."""
    query = searched(query)
    if embedding is None:
        return await asyncio.to_thread(_by_words, shelves, query, top)
    if not query.strip() or not any(shelf.index.passages for shelf in shelves):
        return []
    [vector] = await embedding.of([query])
    return await asyncio.to_thread(_by_both, shelves, query, vector, top)


def meant(text: Text) -> str:
    """What a passage's vector is made of."""
    return f"{text.heading}\n{text.text}" if text.heading else text.text


def _by_words(shelves: Sequence[Shelf], query: str, top: int) -> list[Passage]:
    hits = best([shelf.index for shelf in shelves], words_of(query), top)
    return [_passage(shelves, hit, hit.score, None) for hit in hits]


def _by_both(shelves: Sequence[Shelf], query: str, vector: Vector, top: int) -> list[Passage]:
    """Reciprocal rank fusion of both rankings: a passage's score is the sum of 1 / (60 + rank) over those it is in."""
    hits = best([shelf.index for shelf in shelves], words_of(query), _LOOKED_AT)
    near: list[tuple[float, tuple[int, int]]] = []
    for at, shelf in enumerate(shelves):
        if shelf.vectors is not None:
            near += [(cosine, (at, -row)) for cosine, row in shelf.vectors.nearest(vector, _LOOKED_AT)]
    near.sort(key=lambda one: (-one[0], one[1]))
    scores: dict[tuple[int, int], float] = {}
    for ranking in ([hit.place for hit in hits], [place for _, place in near[:_LOOKED_AT]]):
        for rank, place in enumerate(ranking, 1):
            scores[place] = scores.get(place, 0.0) + 1 / (_RANK + rank)
    known = {hit.place: hit for hit in hits}
    found: list[Passage] = []
    for place in sorted(scores, key=lambda place: (-scores[place], place))[:top]:
        vectors = shelves[place[0]].vectors
        cosine = None if vectors is None else vectors.similarity(vector, place[1])
        found.append(_passage(shelves, known.get(place, Hit(place, 0.0, 0.0)), scores[place], cosine))
    return found


def _passage(shelves: Sequence[Shelf], hit: Hit, score: float, cosine: float | None) -> Passage:
    at, row = hit.place
    text: Text = shelves[at].index.passages[row]
    return Passage(text.text, text.source, text.heading, text.page, text.id, score, hit.coverage, cosine)
