"""From settings to a core: its agents with their scenarios, and its bounds. It knows no gRPC."""

import dataclasses
import os

from greenroom.cli.agents import explained, load_agents
from greenroom.cli.process import CannotStart
from greenroom.cli.scenarios import scenario_sources, tell
from greenroom.cli.settings import Settings
from greenroom.cli.setup import secrets_in
from greenroom.core.agent import Agent, AgentError
from greenroom.core.agents import Agents
from greenroom.core.cassettes.deck import Deck
from greenroom.core.cassettes.rule import CassetteRule
from greenroom.core.core import Core
from greenroom.core.limits import Limits
from greenroom.core.ports import Store
from greenroom.core.redaction import DocumentRedactor, secrets_of
from greenroom.core.served import Served
from greenroom.core.tracing import Tracer


def assemble(settings: Settings, store: Store, tracer: Tracer | None = None) -> Core:
    """The core that these settings ask for, not yet started; the log says what its scenarios are. Raises `CannotStart`."""
    named = {field.name for field in dataclasses.fields(Limits)}
    limits = Limits(**{name: getattr(settings, name) for name in named if hasattr(settings, name)})
    served = [_served(agent, id, limits, settings) for id, agent in load_agents(settings).items()]
    agents = Agents(served, strict=settings.agents_strict, deck=_deck(settings))
    tell(agents)
    return Core(
        agents,
        store,
        limits,
        replace_existing_users=settings.users_existing == "replace",
        evaluation_keys=settings.evaluation_keys,
        tracer=tracer,
    )


def _deck(settings: Settings) -> Deck:
    replay, record = ("" if path is None else str(path.absolute()) for path in (settings.replay, settings.record))
    if settings.replay_until is not None and not replay:
        raise CannotStart("replay_until: it says how long a cassette is replayed, and none is: give --replay FILE")
    rule = CassetteRule(replay, record, settings.replay_until) if replay or record else None
    try:
        return Deck(rule, DocumentRedactor([*secrets_in(settings), *secrets_of(os.environ)], settings.log_redact))
    except ValueError as problem:
        raise CannotStart(f"{'replay' if replay else 'record'}: {problem}") from None


def _served(agent: Agent, id: str, limits: Limits, settings: Settings) -> Served:
    sources, strict = scenario_sources(settings), settings.scenarios_strict
    try:
        return Served(agent, id, limits, sources, strict=strict, memory=settings.user_memory)
    except AgentError as problem:
        raise CannotStart(explained(id, problem)) from None
