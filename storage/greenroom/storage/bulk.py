"""One statement for many rows."""

from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any, Protocol, TypeVar

T = TypeVar("T")
Row = tuple[Any, ...]
_SIZES = (64, 32, 16, 8, 4, 2, 1)


class Cursor(Protocol):
    """What both drivers' cursors have."""

    @property
    def rowcount(self) -> int: ...
    def execute(self, sql: str, parameters: Any, /) -> Any: ...
    def executemany(self, sql: str, parameters: Any, /) -> Any: ...


Bulk = Callable[[Cursor, Sequence[Row]], Callable[[], int]]
"""Runs the statement for these rows. What it returns says, once a batch is over, how many rows it met."""


def insert_sql(table: str, columns: Sequence[str], mark: str) -> str:
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join([mark] * len(columns))})"


def values_of(size: int, width: int, mark: str) -> str:
    """A table of `size` rows. Both databases call its columns column1, column2, …"""
    row = f"({', '.join([mark] * width)})"
    return f"VALUES {', '.join([row] * size)}"


def padded(rows: Sequence[T]) -> Sequence[T]:
    """As many as the next power of two, the last one repeated: a statement for each number of rows would be compiled anew
    nearly every time."""
    return [*rows, *[rows[-1]] * ((1 << (len(rows) - 1).bit_length()) - len(rows))]


def row_by_row(sql: str) -> Bulk:
    """The driver's own way, for one that sends many rows at a time."""

    def run(cursor: Cursor, rows: Sequence[Row]) -> Callable[[], int]:
        if not rows:
            return lambda: 0
        cursor.executemany(sql, rows)
        return lambda: cursor.rowcount

    return run


def many_at_once(before: str, row: str, after: str = "") -> Bulk:
    """All rows in as few statements as there are bits in their number.

    sqlite3 gives the interpreter's lock away for each step of a statement, and gets it back from a busy event loop only
    after a while: a statement per row costs a group of turns more waiting than all its work.
    """
    texts = {size: f"{before}{', '.join([row] * size)}{after}" for size in _SIZES}

    def run(cursor: Cursor, rows: Sequence[Row]) -> Callable[[], int]:
        met = at = 0
        for size in _SIZES:
            while len(rows) - at >= size:
                cursor.execute(texts[size], tuple(chain.from_iterable(rows[at : at + size])))
                met += cursor.rowcount
                at += size
        return lambda: met

    return run
