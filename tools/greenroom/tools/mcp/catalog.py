"""A server's tools as an agent's: which of them, and under which names."""

import re
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from greenroom.sdk import Tool

if TYPE_CHECKING:
    from mcp import types

_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9_-]")
"""What models do not take in a tool's name, and servers may have there."""

_NAMED = 5
"""How many mistakes a problem tells."""

Made = Callable[["types.Tool", str], Tool[..., Any]]


class Catalog:
    """`allow` are patterns of names as the server has them, none for all; `make` makes a tool of the server's and its name
    here."""

    def __init__(self, allow: Sequence[str], prefix: str, make: Made) -> None:
        self._allow = allow
        self._prefix = prefix
        self._make = make
        self._made: dict[str, tuple[types.Tool, Tool[..., Any]]] = {}
        self.tools: tuple[Tool[..., Any], ...] = ()
        """The same tuple, and the same tools in it, as long as the server lists the same."""
        self.problem = ""
        """Which of its tools were left out, and why."""

    def list(self, listed: "Sequence[types.Tool]", refused: Mapping[str, str]) -> None:
        """What the server has now, and what was refused of it."""
        wrong = [f"{name} is left out: {why}" for name, why in refused.items() if self._wants(name)]
        wrong += [
            f"allow: there is no {pattern}"
            for pattern in self._allow
            if not any(fnmatchcase(tool.name, pattern) for tool in listed)
        ]
        made: dict[str, tuple[types.Tool, Tool[..., Any]]] = {}
        for one in listed:
            if self._wants(one.name):
                name = self._prefix + _NOT_IN_A_NAME.sub("_", one.name)
                if name in made:
                    wrong.append(f"{one.name} is left out: {made[name][0].name} is called {name} too")
                    continue
                before = self._made.get(name)
                made[name] = before if before is not None and before[0] == one else (one, self._make(one, name))
        self._made = made
        tools = tuple([tool for _, tool in made.values()])
        if tools != self.tools:
            self.tools = tools
        more = [f"and {len(wrong) - _NAMED} more"] if len(wrong) > _NAMED else []
        self.problem = "; ".join([*wrong[:_NAMED], *more])

    def _wants(self, name: str) -> bool:
        return not self._allow or any(fnmatchcase(name, pattern) for pattern in self._allow)
