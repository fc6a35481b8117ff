"""Which of a document's operations are tools, and what is wrong with the others that were wanted."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import urljoin, urlsplit

from greenroom.sdk import AgentError
from greenroom.tools.http.credentials import Credential, Missing
from greenroom.tools.openapi.document import Document, Unusable
from greenroom.tools.openapi.operation import Operation, read_operation
from greenroom.tools.openapi.security import Keys

_SAFE = ("get", "head")
_LONGEST_NAME = 64
_TOLD = 3


@dataclass(frozen=True, slots=True)
class Wish:
    """What is wanted of a document.

    `allow` are globs of names; one that begins with `!` leaves out. Without any, what only reads is wanted. `base_url` takes
    the place of the document's servers. `variables`: the environment's variable for each security scheme.
    """

    allow: tuple[str, ...] = ()
    prefix: str = ""
    base_url: str = ""
    variables: Mapping[str, str] = field(default_factory=dict)

    def wants(self, method: str, names: Sequence[str]) -> bool:
        """Whether an operation with these names is wanted."""
        named = [pattern for pattern in self.allow if not pattern.startswith("!")]
        if _any(names, [pattern[1:] for pattern in self.allow if pattern.startswith("!")]):
            return False
        return _any(names, named) if named else method in _SAFE


@dataclass(frozen=True, slots=True)
class Offered:
    """An operation that is a tool of this name."""

    name: str
    operation: Operation
    credentials: list[Credential] | Missing


@dataclass(frozen=True, slots=True)
class Offer:
    """What a document comes to. `problem` says what is wrong with it; "" for nothing."""

    tools: tuple[Offered, ...]
    problem: str


def offer_of(document: Document, wish: Wish, address: str) -> Offer:
    """`address` is the document's, "" for a file."""
    keys = Keys(document, wish.variables)
    problems = [text for text in (keys.unknown(),) if text]
    left_out: list[str] = []
    tools: dict[str, Offered] = {}
    matched: set[str] = set()
    known: list[str] = []
    for path, method, item, node in document.operations():
        names = _names(path, method, node)
        known.append(names[0])
        matched.update(pattern for pattern in wish.allow if _any(names, [pattern.removeprefix("!")]))
        if not wish.wants(method, names):
            continue
        name = _unique(f"{wish.prefix}{names[0]}", tools)
        try:
            operation = read_operation(document, _base(document, wish, address, item, node), path, method, item, node)
            tools[name] = Offered(name, operation, keys.admitting(node))
        except (Unusable, AgentError) as why:
            left_out.append(f"{names[0]} is left out: {why}")
        except (
            AttributeError,
            LookupError,
            RecursionError,
            TypeError,
            ValueError,
        ) as why:  # it may have anything anywhere
            left_out.append(f"{names[0]} is left out: it is not as OpenAPI wants it ({type(why).__name__}: {why})")
    problems += _few(left_out)
    problems += [
        f"allow: {pattern} is the name of no operation; there are {', '.join(known[:20]) or 'none'}"
        for pattern in wish.allow
        if pattern not in matched
    ]
    lacking = {one.credentials.text for one in tools.values() if isinstance(one.credentials, Missing)}
    return Offer(tuple(tools.values()), "; ".join([*problems, *sorted(lacking)]))


def _any(names: Sequence[str], patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for name in names for pattern in patterns)


def _names(path: str, method: str, node: Mapping[str, Any]) -> list[str]:
    """As a tool, and as the document has it."""
    written = node.get("operationId")
    own = written if isinstance(written, str) and written else f"{method}_{path.strip('/')}"
    made = re.sub(r"_{2,}", "_", re.sub(r"[^A-Za-z0-9_-]", "_", own)).strip("_") or method
    return [made, own]


def _unique(name: str, taken: Mapping[str, Any]) -> str:
    made, number = name[:_LONGEST_NAME], 1
    while made in taken:
        number += 1
        ending = f"_{number}"
        made = name[: _LONGEST_NAME - len(ending)] + ending
    return made


def _few(texts: list[str]) -> list[str]:
    more = len(texts) - _TOLD
    return [*texts[:_TOLD], *([f"and {more} more"] if more > 0 else [])]


def _base(document: Document, wish: Wish, address: str, item: Mapping[str, Any], node: Mapping[str, Any]) -> str:
    """Where the operation is. Raises `Unusable` where nobody says so, or where a document from elsewhere names a host that
    is not its own: credentials would go there."""
    if wish.base_url:
        return wish.base_url
    servers = node.get("servers") or item.get("servers") or document.part("servers") or [{"url": "/"}]
    server = document.object(servers[0])
    url = str(server.get("url", ""))
    for name, variable in (server.get("variables") or {}).items():
        url = url.replace(f"{{{name}}}", str(variable.get("default", "")))
    url = urljoin(address, url) if address else url
    if not urlsplit(url).netloc:
        raise Unusable("the document names no server; base_url says where it is")
    if address and urlsplit(url)[:2] != urlsplit(address)[:2]:
        raise Unusable(f"the document names a server elsewhere, {url:.200}; base_url says that this is right")
    return url
