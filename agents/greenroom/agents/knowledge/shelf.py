"""A shelf: passages that are searched together, by words and, where there is an embedding, by meaning."""

import asyncio
from collections.abc import Iterable, Sequence
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


async def find(
    shelf: Shelf | None, own: Sequence[Text], query: str, top: int, embedding: Embedding | None
) -> list[Passage]:
    """The passages that fit a query best, of a shelf and of a turn's `own` together. Raises `AgentError` when the embedding
    fails. Nothing that lives longer than this call knows of the turn's own."""
    query = searched(query)
    if not query.strip():
        return []
    vectors = None if embedding is None else await embedding.of([query, *map(meant, own)])
    return await asyncio.to_thread(_found, shelf, own, query, top, vectors)


def meant(text: Text) -> str:
    """What a passage's vector is made of."""
    return f"{text.heading}\n{text.text}" if text.heading else text.text


def _found(
    shelf: Shelf | None, own: Sequence[Text], query: str, top: int, vectors: Sequence[Vector] | None
) -> list[Passage]:
    """`vectors` are those of the query and of the turn's own passages."""
    shelves = [] if shelf is None else [shelf]
    if own:
        shelves.append(Shelf(Index(own), None if vectors is None else Vectors(vectors[1:])))
    hits = best([shelf.index for shelf in shelves], words_of(query), _LOOKED_AT)
    if vectors is None:
        return _distinct((_passage(shelves, hit, hit.score, None) for hit in hits), top)
    by_words = {hit.place: hit for hit in hits}
    cosines = _nearest(shelves, vectors[0])
    scores: dict[tuple[int, int], float] = {}
    for ranking in (by_words, cosines):
        for rank, place in enumerate(ranking, 1):
            scores[place] = scores.get(place, 0.0) + 1 / (_RANK + rank)
    found = (
        _passage(shelves, by_words.get(place, Hit(place, 0.0, 0.0)), scores[place], cosines.get(place))
        for place in sorted(scores, key=lambda place: (-scores[place], place))
    )
    return _distinct(found, top)


def _distinct(passages: Iterable[Passage], top: int) -> list[Passage]:
    """The first `top` that say something of their own: a request's documents often come from the folder."""
    found: dict[str, Passage] = {}
    for passage in passages:
        if len(found) == top:
            break
        found.setdefault(passage.text, passage)
    return list(found.values())


def _nearest(shelves: Sequence[Shelf], query: Vector) -> dict[tuple[int, int], float]:
    """The places that are nearest to a query, with their cosines, best first."""
    near = [
        (-cosine, (at, row))
        for at, shelf in enumerate(shelves)
        if shelf.vectors is not None
        for cosine, row in shelf.vectors.nearest(query, _LOOKED_AT)
    ]
    return {place: -cosine for cosine, place in sorted(near)[:_LOOKED_AT]}


def _passage(shelves: Sequence[Shelf], hit: Hit, score: float, cosine: float | None) -> Passage:
    at, row = hit.place
    text: Text = shelves[at].index.passages[row]
    return Passage(text.text, text.source, text.heading, text.page, text.id, score, hit.coverage, cosine)
