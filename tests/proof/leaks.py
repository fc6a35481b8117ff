"""What was seen of canaries, where, and what of it is a leak. Pure: it is told of every document, header and log line."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from canaries import Canaries, Canary, strings

_PARTS = ("world", "state", "changes")
"""Parts of a record that are channels of their own, by the name of their field."""
_INDEX = re.compile(r"\[\d+\]")
_TURN = re.compile(r"^turns\[(\d+)\]")
_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Sighting:
    """A session shows a canary that is not its own. `turn` is 0 where none can be told."""

    where: str
    session: int
    planted_by: int
    through: str
    turn: int
    path: str
    canary: str


@dataclass(frozen=True, slots=True)
class Leak:
    """All sightings of one kind; `first` is the earliest by turn."""

    where: str
    through: str
    sightings: int
    sessions: int
    first: Sighting
    examples: tuple[Sighting, ...]

    def __str__(self) -> str:
        first = self.first
        turn = f"turn {first.turn}, " if first.turn else ""
        return (
            f"LEAK {self.where}: session {first.session} shows what session {first.planted_by} planted through"
            f" {self.through} (first at {turn}{first.path}; {self.sightings} times, in {self.sessions} sessions)"
        )


class Watch:
    """Looks at whatever a run is shown. `arrived` counts the sessions whose own canaries came to be seen: how far the
    planting went, without which no leak could have been seen either."""

    def __init__(self, canaries: Canaries) -> None:
        self._canaries = canaries
        self._sightings: list[Sighting] = []
        self._own: defaultdict[tuple[str, str], set[int]] = defaultdict(set)

    def document(self, where: str, session: int, document: Any, turn: int = 0) -> None:
        """A reply or a record that belongs to one session; any JSON."""
        for path, text in strings(document):
            for canary in self._canaries.found_in(text):
                part = next((part for part in _PARTS if re.search(rf"\b{part}\b", path)), where)
                self._seen(part if where != "reply" else where, session, canary, turn or _turn_of(path, document), path)

    def headers(self, session: int, headers: Mapping[str, str], turn: int) -> None:
        """The headers of an answer to one session's request."""
        for name, value in headers.items():
            for canary in self._canaries.found_in(value):
                self._seen("reply header", session, canary, turn, name)

    def log(self, lines: Iterable[str]) -> None:
        """Lines of a log: each may speak of one session. It is taken for that of the session whose id it names."""
        for number, line in enumerate(lines, 1):
            found = self._canaries.found_in(line)
            if len({canary.session for canary in found}) > 1:
                own = next((canary for canary in found if canary.through == "session id"), found[0])
                for canary in found:
                    if canary.session != own.session:
                        self._seen("log line", own.session, canary, 0, f"line {number}")

    def _seen(self, where: str, session: int, canary: Canary, turn: int, path: str) -> None:
        if canary.session == session:
            self._own[canary.through, where].add(session)
        else:
            sighting = Sighting(where, session, canary.session, canary.through, turn, path, canary.text)
            self._sightings.append(sighting)

    @property
    def arrived(self) -> dict[str, dict[str, int]]:
        """How many sessions saw their own: by how it was planted, then by where it was seen."""
        counts: dict[str, dict[str, int]] = {}
        for (through, where), sessions in sorted(self._own.items()):
            counts.setdefault(through, {})[where] = len(sessions)
        return counts

    @property
    def leaks(self) -> list[Leak]:
        """By where and through what, the most sightings first."""
        groups: defaultdict[tuple[str, str], list[Sighting]] = defaultdict(list)
        for sighting in self._sightings:
            groups[sighting.where, sighting.through].append(sighting)
        return sorted((_leak(group) for group in groups.values()), key=lambda leak: -leak.sightings)


def _leak(group: list[Sighting]) -> Leak:
    group = sorted(group, key=lambda one: (one.turn, one.session, one.planted_by))
    # one example of every place comes before more of the same
    places = Counter[str]()
    ranked = []
    for one in group:
        place = _INDEX.sub("[]", one.path)
        places[place] += 1
        ranked.append((places[place], one))
    examples = [one for _, one in sorted(ranked, key=lambda pair: pair[0])[:_SHOWN]]
    sessions = {one.session for one in group}
    return Leak(group[0].where, group[0].through, len(group), len(sessions), group[0], tuple(examples))


def _turn_of(path: str, document: Any) -> int:
    """The number of the turn that a place in a record belongs to."""
    found = _TURN.match(path)
    if found is None:
        return 0
    turn = document["turns"][int(found[1])]
    number = turn.get("turn") if isinstance(turn, dict) else None
    return number if isinstance(number, int) else 0


def as_json(leaks: Iterable[Leak]) -> list[dict[str, Any]]:
    """For a report that machines read."""
    return [asdict(leak) for leak in leaks]
