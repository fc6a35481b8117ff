"""Reads an agent's scenarios: what is right is loaded, and every mistake of every file is told."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import ValidationError

from greenroom.core.agent import Agent
from greenroom.core.cassettes.rule import CassetteRule
from greenroom.core.overlay import Seed
from greenroom.core.scenario import DEFAULT, ClockRule, Scenario, Scenarios
from greenroom.core.scenario_files.explain import explained
from greenroom.core.scenario_files.mistake import Mistake, meant
from greenroom.core.scenario_files.scripting import check_names, check_rules, rules_of
from greenroom.core.scenario_files.sources import Document, Folder, Source, read_source
from greenroom.core.scenario_files.starting_world import StartingWorlds
from greenroom.core.scenario_files.written import CassettePart, ClockPart, WorldFile, WrittenScenario
from greenroom.core.script import Rules

_LONGEST_CHAIN = 50


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a scenario and its parts come from."""

    file: str
    """"" for the default one of an agent that brings no other."""
    chain: tuple[str, ...]
    """The scenarios it stands on and itself, the lowest first."""
    parts: Mapping[str, str]
    """By part (`clock`, `user.profile`, `tools.NAME`, …): the scenario that gives it."""
    world: tuple[str, ...]
    """How the world came about, step by step."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """The scenarios that can be used, and what is wrong with the others."""

    scenarios: Scenarios
    origins: Mapping[str, Origin]
    files: int
    mistakes: tuple[Mistake, ...]
    elsewhere: Mapping[str, Mistake]
    """By agent: the first file that is for it and was left out here; a mistake where there is no such agent."""


@dataclass(frozen=True, slots=True)
class _Stage:
    """What a chain of scenarios has come to so far."""

    seed: Seed
    clock: ClockRule
    profile: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    instructions: str = ""
    tools: Rules = field(default_factory=dict)
    memory: bool | None = None
    cassette: CassetteRule | None = None
    chain: tuple[str, ...] = ()
    parts: Mapping[str, str] = field(default_factory=dict)
    world: tuple[str, ...] = ("the agent's",)


@dataclass(slots=True)
class _Entry:
    document: Document
    written: WrittenScenario


def load_scenarios(agent: Agent, sources: Sequence[Source], agent_id: str | None = None) -> Loaded:
    """The agent's own scenarios and those of the sources, without those for agents of another id (None: without none); of
    equal ids a later source's is used. Raises `AgentError` when the agent's world or folder cannot be read."""
    elsewhere: dict[str, Mistake] = {}
    read: list[tuple[list[Document], list[Mistake]]] = []
    entries: dict[str, _Entry | None] = {}
    for source in _each_once(agent, sources):
        found, mistakes_of_source = read_source(source)
        documents = [document for document in found if not _is_elsewhere(document, agent_id, elsewhere)]
        read.append((documents, mistakes_of_source))
        entries |= _entries(documents)
    resolver = _Resolver(agent, entries)
    documents = [document for documents, _ in read for document in documents]
    for document in documents:
        resolver.check_names(document)
    resolved = {id: stage for id in entries if (stage := resolver.stage(id)) is not None}
    mistakes = [mistake for _, found in read for mistake in found]
    mistakes += [mistake for document in documents for mistake in document.mistakes]
    origins = {DEFAULT: Origin("", (), {}, resolver.base.world)}
    scenarios = {DEFAULT: _scenario(DEFAULT, "", resolver.base)}
    for id, stage in resolved.items():
        entry = entries[id]
        if entry is not None and not entry.document.mistakes:
            scenarios[id] = _scenario(id, entry.written.title or "", stage)
            origins[id] = Origin(entry.document.file, stage.chain, stage.parts, stage.world)
    default = scenarios.pop(DEFAULT)
    return Loaded(Scenarios(default, scenarios.values()), origins, len(documents), tuple(sorted(mistakes)), elsewhere)


def _is_elsewhere(document: Document, agent_id: str | None, elsewhere: dict[str, Mistake]) -> bool:
    """Whether the file is for another agent, which is then noted."""
    named = document.data.get("agent") if isinstance(document.data, dict) else None
    if agent_id is None or not isinstance(named, str) or named == agent_id:
        return False
    line = document.lines.get(("agent",), 0)
    elsewhere.setdefault(named, Mistake(document.file, line, "agent", f"no agent {named} is served"))
    return True


def _each_once(agent: Agent, sources: Sequence[Source]) -> Iterator[Source]:
    """The agent's own folder may be the one that is named, too."""
    own = agent.scenario_folder()
    if own is not None:
        yield Folder(own)
    for source in sources:
        if own is None or not isinstance(source, Folder) or source.path.resolve() != own.resolve():
            yield source


def _entries(documents: Iterable[Document]) -> dict[str, _Entry | None]:
    """By id; None stands for one whose file cannot be used."""
    entries: dict[str, _Entry | None] = {}
    first: dict[str, Document] = {}
    for document in documents:
        id = document.data.get("id") if isinstance(document.data, dict) else None
        if isinstance(id, str) and id in first:
            other = first[id]
            document.complain(("id",), f"{id} is the id of {other.file}:{other.lines.get(('id',), 1)} too")
            continue
        written = None if document.data is None else _written(document)
        if isinstance(id, str):
            first[id] = document
            entries[id] = _Entry(document, written) if written and not document.mistakes else None
    return entries


def _written(document: Document) -> WrittenScenario | None:
    if not isinstance(document.data, dict):
        return None
    try:
        return WrittenScenario.model_validate(document.data)
    except ValidationError as error:
        for place, text in explained(error):
            document.complain(place, text)
        return None


class _Resolver:
    """Follows `extends`, each scenario once."""

    def __init__(self, agent: Agent, entries: Mapping[str, _Entry | None]) -> None:
        self._entries = entries
        self._tools = {tool.name: tool for tool in agent.tools}
        self._knows_tools = agent.rack.is_complete
        seed = agent.load_world()
        self.base = _Stage(seed, ClockRule(agent.story_start))
        """The agent as it is."""
        self._worlds = StartingWorlds(seed)
        self._stages: dict[str, _Stage | None] = {}
        self._open: list[str] = []

    def check_names(self, document: Document) -> None:
        """Complains of tools and scenarios that there are not."""
        if self._knows_tools:
            check_names(document, self._tools)
        name = document.data.get("extends") if isinstance(document.data, dict) else None
        if isinstance(name, str) and name != DEFAULT and name not in self._entries:
            text = f"there is no scenario {name}{meant(name, {**self._entries, DEFAULT: None})}"
            document.complain(("extends",), text)

    def stage(self, id: str) -> _Stage | None:
        """What this scenario comes to; None where it, or one that it stands on, cannot be used."""
        entry = self._entries[id]
        if entry is None or id in self._stages:
            return self._stages.get(id)
        self._open.append(id)
        check_rules(entry.written, entry.document, self._tools)
        below = self._below(entry)
        stage = self._on(below or self.base, entry)
        self._open.pop()
        self._stages[id] = None if below is None or entry.document.mistakes else stage
        return self._stages[id]

    def _below(self, entry: _Entry) -> _Stage | None:
        name = entry.written.extends
        if name is None or (name == DEFAULT and DEFAULT not in self._entries):
            return self.base
        if name in self._open:
            around = " → ".join((*self._open[self._open.index(name) :], name))
            entry.document.complain(("extends",), f"goes round in a circle: {around}")
            return None
        if name not in self._entries:
            return None
        # the second is for files that come in the order in which they extend each other
        stage = self.stage(name) if len(self._open) <= _LONGEST_CHAIN else None
        if len(self._open) > _LONGEST_CHAIN or (stage is not None and len(stage.chain) >= _LONGEST_CHAIN):
            entry.document.complain(("extends",), f"stands on more than {_LONGEST_CHAIN} others")
            return None
        if stage is None:
            entry.document.complain(("extends",), f"{name} has mistakes of its own")
        return stage

    def _on(self, below: _Stage, entry: _Entry) -> _Stage:
        written = entry.written
        id = written.id
        user = written.user
        profile, metadata = (user.profile, user.metadata) if user else (None, None)
        parts = {
            **{f"user.profile.{key}": id for key in profile or ()},
            **{f"user.metadata.{key}": id for key in metadata or ()},
            **{f"tools.{tool}": id for tool in written.tools or ()},
            **{
                name: id
                for name in ("clock", "instructions", "memory", "cassette")
                if getattr(written, name) is not None
            },
        }
        seed, world = self._world(below, entry)
        return replace(
            below,
            seed=seed,
            clock=below.clock if written.clock is None else self._clock(written.clock),
            profile={**below.profile, **(profile or {})},
            metadata={**below.metadata, **(metadata or {})},
            instructions=below.instructions if written.instructions is None else written.instructions,
            tools={**below.tools, **{tool: rules_of(id, tool, own) for tool, own in (written.tools or {}).items()}},
            memory=below.memory if written.memory is None else written.memory,
            cassette=below.cassette if written.cassette is None else _cassette(written.cassette, entry.document),
            chain=(*below.chain, id),
            parts={**below.parts, **parts},
            world=world,
        )

    def _world(self, below: _Stage, entry: _Entry) -> tuple[Seed, tuple[str, ...]]:
        written, document = entry.written, entry.document
        seed, steps = below.seed, below.world
        place: tuple[str, ...] = ("world",)
        try:
            if isinstance(written.world, WorldFile):
                place = ("world", "file")
                seed, steps = self._worlds.file(document.home / written.world.file), (written.world.file,)
            elif written.world is not None:
                seed, steps = self._worlds.inline(written.world), (f"{written.id}'s",)
            if written.patch is not None:
                place = ("patch",)
                seed, steps = self._worlds.patched(seed, written.patch), (*steps, f"patch of {written.id}")
        except ValueError as error:
            about = f"{written.world.file} " if isinstance(written.world, WorldFile) and place != ("patch",) else ""
            document.complain(place, f"{about}{error}")
        return seed, steps

    def _clock(self, clock: ClockPart | str) -> ClockRule:
        own = self.base.clock
        if not isinstance(clock, ClockPart):
            return replace(own, real=True)
        return ClockRule(
            clock.start or own.start,
            own.per_turn if clock.per_turn is None else clock.per_turn,
            own.per_call if clock.per_call is None else clock.per_call,
        )


def _scenario(id: str, title: str, stage: _Stage) -> Scenario:
    return Scenario(
        id=id,
        seed=stage.seed,
        title=title,
        clock=stage.clock,
        profile=stage.profile,
        metadata=stage.metadata,
        instructions=stage.instructions,
        tools={tool: rules for tool, rules in stage.tools.items() if rules},
        memory=stage.memory,
        cassette=stage.cassette,
    )


def _cassette(written: CassettePart, document: Document) -> CassetteRule:
    replay, record = (
        str((document.home / name).absolute()) if name else "" for name in (written.replay, written.record)
    )
    rule = CassetteRule(replay, record, written.until_turn)
    try:
        rule.check()
    except ValueError as error:
        document.complain(("cassette",), str(error))
    return rule
