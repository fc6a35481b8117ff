"""How a turn enters a graph, and how its answer leaves it."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from greenroom.sdk import Turn


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """`input` is the state's key that takes what the user said (as messages, where it holds a list, else as text), or a
    function that makes the graph's whole input. `output` is the key that has the answer when the graph is through, or a
    function that reads it from the final state; "" is `input`'s.

    `memory`: whether the graph remembers (None: if it was compiled with a checkpointer). It then gets only what is new, and
    may interrupt; else it gets the whole conversation in every turn.

    `speaks` are the nodes whose messages the user hears; None is those after which the graph may end. A node within a
    subgraph is "subgraph/node". `context` makes the run's context, for graphs with a context schema.
    """

    input: str | Callable[[Turn], Any] = "messages"
    output: str | Callable[[Any], str] = ""
    memory: bool | None = None
    speaks: Collection[str] | None = None
    context: Callable[[Turn], Any] | None = None
