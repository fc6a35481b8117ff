"""Search by meaning: the vectors that an author's function makes of texts, compared in plain Python."""

import asyncio
import inspect
import math
import sys
from array import array
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from heapq import nsmallest
from operator import mul
from typing import Any, TypeAlias

from greenroom.sdk import AgentError

Embed = Callable[[list[str]], Awaitable[Sequence[Sequence[float]]]] | Callable[[list[str]], Sequence[Sequence[float]]]
"""Makes a vector of each text, all of one length, in the same order."""

Vector: TypeAlias = "array[float]"

BATCH = 64
_AT_ONCE = 16
_LOOKED_AT = 256


class Embedding:
    """The author's function, made safe to await: a plain one runs in threads of its own."""

    def __init__(self, function: Embed) -> None:
        self._function: Callable[[list[str]], Any] = function
        self._is_async = inspect.iscoroutinefunction(function)
        self._threads = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="greenroom-embed")

    async def of(self, texts: Sequence[str]) -> list[Vector]:
        """A vector of length 1 for each text, asked for in batches. Raises `AgentError` when the function fails, and for what
        are no vectors."""
        vectors: list[Vector] = []
        for start in range(0, len(texts), BATCH):
            batch = list(texts[start : start + BATCH])
            try:
                answer = await self._asked(batch)
            except Exception as error:  # the function is the author's
                raise AgentError(f"knowledge: embed failed: {type(error).__name__}: {error}") from error
            vectors += _checked(answer, len(batch))
        if len({len(vector) for vector in vectors}) > 1:
            raise AgentError("knowledge: embed returned vectors of different lengths")
        return vectors

    async def _asked(self, texts: list[str]) -> Any:
        if self._is_async:
            return await self._function(texts)
        answer = await asyncio.get_running_loop().run_in_executor(self._threads, self._function, texts)
        return await answer if isinstance(answer, Awaitable) else answer


def _checked(answer: Any, count: int) -> list[Vector]:
    try:
        vectors = [array("f", vector) for vector in answer]
    except (TypeError, ValueError, OverflowError) as error:
        raise AgentError(f"knowledge: embed returns a list of lists of numbers ({error})") from None
    if len(vectors) != count:
        raise AgentError(f"knowledge: embed returned {len(vectors)} vectors for {count} texts")
    return [_normal(vector) for vector in vectors]


def _normal(vector: Vector) -> Vector:
    length = math.sqrt(_dot(vector, vector))
    if not vector or not math.isfinite(length):
        raise AgentError("knowledge: embed returned a vector that is empty, or has a number that is not finite")
    return array("f", [value / length for value in vector]) if length else vector


def _dot(a: Vector, b: Vector) -> float:
    product: float
    if sys.version_info >= (3, 12):
        product = math.sumprod(a, b)
    else:
        product = sum(map(mul, a, b))
    return product


class Vectors:
    """Vectors of the passages of an index."""

    def __init__(self, vectors: Sequence[Vector]) -> None:
        self._vectors = vectors
        count = len(vectors)
        self._middle = [sum(column) / count for column in zip(*vectors, strict=True)] if count > _LOOKED_AT else []
        self._signs = [self._sign(vector) for vector in vectors] if self._middle else []

    def nearest(self, query: Vector, limit: int) -> list[tuple[float, int]]:
        """The passages that are nearest to a query: cosine and number, best first.

        Of many vectors, first those are looked for that are on the same side of the middle in most dimensions (a bit each),
        and their cosines alone are worked out. Raises `AgentError` for a query of another length.
        """
        if self._vectors and len(query) != len(self._vectors[0]):
            raise AgentError("knowledge: embed returned vectors of different lengths")
        near = nsmallest(limit, ((-_dot(query, self._vectors[row]), row) for row in self._candidates(query)))
        return [(-cosine, row) for cosine, row in near]

    def _candidates(self, query: Vector) -> Sequence[int]:
        if not self._middle:
            return range(len(self._vectors))
        sign = self._sign(query)
        apart = [(sign ^ other).bit_count() for other in self._signs]
        return sorted(range(len(apart)), key=apart.__getitem__)[:_LOOKED_AT]

    def _sign(self, vector: Vector) -> int:
        bits = "".join(["1" if value > middle else "0" for value, middle in zip(vector, self._middle, strict=True)])
        return int(bits, 2)
