"""API keys: minted, written in settings, and recognised (SEC-01). Only hashes are held."""

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

SCOPES = ("chat", "inspect", "edge")
"""`edge` lets an edge on another machine act for its own callers; it implies nothing else."""

TOOL_TRACES = ("message", "metadata")

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_NAMESPACE = re.compile(r"[A-Za-z0-9_.-]{0,64}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_SHORTEST_KEY = 8


class WrongKey(ValueError):
    """An entry that cannot be used. Its text names the entry by place and name, never by the key."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Whom a key stands for."""

    name: str
    namespace: str
    scopes: frozenset[str]
    tool_trace: str | None = None
    """Where this key's replies carry their tool calls (CHAT-19); None: as the setting says."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One key of the setting, hashed."""

    principal: Principal
    digest: bytes


def mint() -> str:
    """A new key. The prefix lets logs and secret scanners recognise it."""
    return f"gr_{secrets.token_urlsafe(32)}"


def hashed(key: str) -> str:
    """The form for settings that hold no secret."""
    return f"sha256:{hashlib.sha256(key.encode()).hexdigest()}"


def parse_scopes(text: str, entry: str) -> frozenset[str]:
    """`chat+inspect` or `chat,inspect`; `entry` is how a message names what is wrong."""
    scopes = frozenset(scope.strip() for scope in re.split(r"[+,]", text))
    unknown = sorted(scopes - set(SCOPES))
    if unknown:
        raise WrongKey(f"{entry}: no scope is called {unknown[0]!r}; there are {', '.join(SCOPES)}")
    return scopes


def parse_keys(text: str) -> tuple[Entry, ...]:
    """Reads `usertrace:chat:KEY1,ops@team:chat+inspect:sha256:HEX`; raises `WrongKey`."""
    entries: list[Entry] = []
    for place, part in enumerate(filter(None, (piece.strip() for piece in text.split(","))), start=1):
        entry = _parse_entry(part, place)
        for other in entries:
            if other.principal.name == entry.principal.name:
                raise WrongKey(f"entry {place}: the name {entry.principal.name!r} is given twice")
            if other.digest == entry.digest:
                raise WrongKey(f"entry {place} ({entry.principal.name}): has the same key as {other.principal.name!r}")
        entries.append(entry)
    return tuple(entries)


def _parse_entry(part: str, place: int) -> Entry:
    pieces = part.split(":", 2)
    if len(pieces) != 3:
        raise WrongKey(f"entry {place}: must be NAME:SCOPES:KEY, for instance usertrace:chat:KEY")
    full_name, scopes, key = pieces
    name, _, namespace = full_name.partition("@")
    if not _NAME.fullmatch(name):
        raise WrongKey(f"entry {place}: the name must be 1 to 64 letters, digits and _ . -")
    if not _NAMESPACE.fullmatch(namespace):
        raise WrongKey(f"entry {place} ({name}): the namespace must be letters, digits and _ . -")
    shown = f"entry {place} ({name})"
    if key.startswith("sha256:"):
        if not _DIGEST.fullmatch(key):
            raise WrongKey(f"{shown}: sha256: must be followed by 64 hexadecimal digits in lower case")
        digest = bytes.fromhex(key.removeprefix("sha256:"))
    elif len(key) < _SHORTEST_KEY or not key.isascii() or not key.isprintable() or " " in key:
        raise WrongKey(f"{shown}: the key must be at least {_SHORTEST_KEY} printable ASCII characters without spaces")
    else:
        digest = hashlib.sha256(key.encode()).digest()
    return Entry(Principal(name, namespace, parse_scopes(scopes, shown)), digest)


def clear_keys(text: str) -> list[str]:
    """The keys that a setting holds in clear, so that logs can redact them."""
    found = [part.strip().split(":", 2)[-1] for part in text.split(",")]
    return [key for key in found if len(key) >= _SHORTEST_KEY and not key.startswith("sha256:")]


def parse_tool_traces(text: str) -> dict[str, str]:
    """Reads `webui:metadata,ops:message`: where the replies of these keys carry their tool calls."""
    chosen: dict[str, str] = {}
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        name, _, trace = part.partition(":")
        if trace not in TOOL_TRACES:
            raise WrongKey(f"{name!r} must be followed by {' or '.join(':' + known for known in TOOL_TRACES)}")
        chosen[name] = trace
    return chosen


class KeyRing:
    """Recognises tokens. A few microseconds a call; the time does not depend on how much of a key was right, because only
    digests are compared."""

    def __init__(self, entries: Iterable[Entry], tool_traces: Mapping[str, str] = MappingProxyType({})) -> None:
        self._known: dict[bytes, tuple[bytes, Principal]] = {}
        names = set()
        for entry in entries:
            principal = entry.principal
            names.add(principal.name)
            trace = tool_traces.get(principal.name)
            self._known[entry.digest] = (
                entry.digest,
                Principal(principal.name, principal.namespace, principal.scopes, trace),
            )
        unknown = sorted(set(tool_traces) - names)
        if unknown:
            raise WrongKey(f"no key is called {unknown[0]!r}")

    def __len__(self) -> int:
        return len(self._known)

    def authenticate(self, token: str) -> Principal | None:
        """Whose key this is, or None."""
        digest = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
        found = self._known.get(digest)
        if found is None or not hmac.compare_digest(found[0], digest):
            return None
        return found[1]
