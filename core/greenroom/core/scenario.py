"""Scenarios: the world a session starts from, its clock, and what else belongs to its stage (USER-06)."""

import difflib
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import msgspec

from greenroom.core.cassettes.rule import CassetteRule
from greenroom.core.chance import STORY_START, Clock
from greenroom.core.overlay import Seed
from greenroom.core.plain import to_json
from greenroom.core.script import Rule, Rules, TurnScript

DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class ClockRule:
    """How a world's time passes. `real`: it is the machine's."""

    start: datetime = STORY_START
    per_turn: timedelta = timedelta(minutes=1)
    per_call: timedelta = timedelta(seconds=1)
    real: bool = False

    def after(self, turns: int) -> Clock:
        """The clock of a turn that has this many before it on its path."""
        return Clock(self.start, turns, self.per_turn, self.per_call, real=self.real)


@dataclass(frozen=True, slots=True)
class Scenario:
    """A resolved scenario: nothing in it refers to a file or to another one. Equal content has an equal `sha`."""

    id: str
    seed: Seed
    title: str = ""
    clock: ClockRule = ClockRule()
    profile: Mapping[str, Any] = field(default_factory=dict)
    """The user's profile where neither `POST /users` nor the request says otherwise, top-level key by key."""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """The same for the user's metadata."""
    instructions: str = ""
    """Context for the agent, ahead of the request's own."""
    tools: Rules = field(default_factory=dict)
    """How tools behave that do not behave as they are."""
    memory: bool | None = None
    """Whether a session knows its user from earlier ones; None leaves it to the setting."""
    cassette: CassetteRule | None = None
    """What is recorded and replayed; None leaves it to the settings."""
    text: str = field(init=False)
    """As JSON, the starting world by its hash: what `Store.put_seed` keeps for the sessions that run in it."""
    sha: str = field(init=False)

    def __post_init__(self) -> None:
        text = to_json(_resolved(self), f"scenario {self.id}")
        object.__setattr__(self, "text", text)
        object.__setattr__(self, "sha", hashlib.sha256(text.encode()).hexdigest())

    def script(self, turn: int, earlier: Mapping[str, int]) -> TurnScript | None:
        """For the n-th turn of a path on which each tool was called so often before; None: all tools are as they are."""
        return TurnScript(self.tools, turn, earlier) if self.tools else None


def _resolved(scenario: Scenario) -> dict[str, Any]:
    clock = scenario.clock
    resolved = {
        "id": scenario.id,
        "title": scenario.title,
        "seed": scenario.seed.sha,
        "clock": {
            "start": clock.start.isoformat(),
            "per_turn": clock.per_turn.total_seconds(),
            "per_call": clock.per_call.total_seconds(),
            "real": clock.real,
        },
        "profile": scenario.profile,
        "metadata": scenario.metadata,
        "instructions": scenario.instructions,
        "tools": msgspec.to_builtins(scenario.tools),
    }
    # only where they are given: a scenario that does not say them is the one that was stored before it could
    if scenario.memory is not None:
        resolved["memory"] = scenario.memory
    if scenario.cassette is not None:
        resolved["cassette"] = msgspec.to_builtins(scenario.cassette)
    return resolved


def read_scenario(text: str, seed: Seed) -> Scenario:
    """A scenario from its `text`, with the starting world that it names by hash."""
    data = json.loads(text)
    clock = data["clock"]
    return Scenario(
        id=data["id"],
        seed=seed,
        title=data["title"],
        clock=ClockRule(
            datetime.fromisoformat(clock["start"]),
            timedelta(seconds=clock["per_turn"]),
            timedelta(seconds=clock["per_call"]),
            clock["real"],
        ),
        profile=data["profile"],
        metadata=data["metadata"],
        instructions=data["instructions"],
        tools=msgspec.convert(data["tools"], dict[str, tuple[Rule, ...]]),
        memory=data.get("memory"),
        cassette=msgspec.convert(data["cassette"], CassetteRule) if "cassette" in data else None,
    )


class Scenarios:
    """The scenarios that sessions may start in; there is always one named "default"."""

    def __init__(self, default: Scenario, others: Iterable[Scenario] = ()) -> None:
        self.default = default
        self._by_id = {scenario.id: scenario for scenario in (default, *others)}
        self._by_sha = {scenario.sha: scenario for scenario in self._by_id.values()}

    def __iter__(self) -> Iterator[Scenario]:
        return iter(self._by_id.values())

    def find(self, id: str) -> Scenario | None:
        return self._by_id.get(id)

    def by_sha(self, sha: str) -> Scenario | None:
        return self._by_sha.get(sha)

    def nearest(self, id: str) -> list[str]:
        """The names most like this one, for a message; at most three."""
        return difflib.get_close_matches(id, self._by_id, 3, 0.5)
