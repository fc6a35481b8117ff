"""Runs an agent's turns without a server, for its author's tests: docs/testing.md.

from greenroom.sdk.testing import play_sync

def test_it_knows_the_order() -> None:
    [reply] = play_sync(agent, ["Where is 12345?"])
    assert "preparing" in reply.text
    assert reply.called("get_order_status", order_id="12345")
"""

import asyncio
import json
import os
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from types import TracebackType
from typing import Any, ParamSpec, TypeVar

from greenroom.core.agent import Agent, AgentError, as_agent
from greenroom.core.agents import Agents
from greenroom.core.cassettes.deck import Deck
from greenroom.core.cassettes.rule import CassetteRule
from greenroom.core.core import Core
from greenroom.core.errors import AgentDown, AgentFailed, GreenroomError
from greenroom.core.limits import Limits
from greenroom.core.memory import MemoryStore
from greenroom.core.records import Message
from greenroom.core.redaction import DocumentRedactor, secrets_of
from greenroom.core.request import NOBODY, TurnReply, TurnRequest
from greenroom.core.scenario_files.sources import Folder, Source
from greenroom.core.scenario_files.yaml_reader import read_yaml
from greenroom.core.served import Served
from greenroom.sdk.played import Calls, Changes, PlayedCall, PlayedChange, PlayedReply, played_changes

__all__ = ["Calls", "Changes", "PlayedCall", "PlayedChange", "PlayedReply", "Said", "play", "play_sync"]

Said = str | Sequence[Mapping[str, Any]]
"""What one request says: a user's text, or whole messages in OpenAI's form."""

P = ParamSpec("P")
T = TypeVar("T")


async def play(
    agent: Agent | Callable[..., Any],
    requests: Sequence[Said],
    *,
    user_id: str = "",
    session_id: str = "",
    metadata: Mapping[str, Any] | None = None,
    user_metadata: Mapping[str, Any] | None = None,
    profile: Mapping[str, Any] | None = None,
    scenario: str | Path | Mapping[str, Any] | None = None,
    scenarios: str | Path | Sequence[Mapping[str, Any]] | None = None,
    record: str | Path | None = None,
    replay: str | Path | None = None,
) -> list[PlayedReply]:
    """Runs a session of an agent in memory, one turn a request, and returns the replies.

    `scenario` is the one it plays in: an id, the path of a file (`.yaml`), or what stands in such a file (its `id` may be left
    out). `scenarios` are those that an id may name beside the agent's own: a folder of files, or what stands in such files;
    left out, the folder `scenarios` in the current one, where there is one. An id that none has is refused. `metadata` goes
    with every request; `profile` and `user_metadata` are what `POST /users` would have given. `record` and `replay` are
    cassettes, as `greenroom serve` takes them (docs/cassettes.md).

    Raises what a client would be told, a `GreenroomError`, with what the agent raised as its cause; `AgentError` with every
    mistake of the scenarios; `ValueError` for a cassette that cannot be used.
    """
    __tracebackhide__ = True
    stage = _staged(scenario, scenarios)
    metadata = {**(metadata or {}), **({"scenario_id": stage.id} if stage.id else {})}
    limits = Limits()
    served = Served(as_agent(agent, "agent"), "agent", limits, stage.sources, strict=stage.strict)
    if mistakes := stage.mistakes(served):
        raise AgentError("\n".join(mistakes))
    core = Core(Agents([served], deck=_deck(record, replay)), MemoryStore(), limits)
    await core.start()
    try:
        if user_id and (profile is not None or user_metadata is not None):
            await core.users.create(NOBODY, user_id, json.dumps(user_metadata or {}), json.dumps(profile or {}))
        replies: list[PlayedReply] = []
        for said in requests:
            request = TurnRequest(
                messages=_messages(said),
                session_id=session_id or "played-1",
                user_id=user_id,
                metadata_json=json.dumps(metadata) if metadata else "",
            )
            replies.append(await _played(core, await _run(core, request)))
        return replies
    finally:
        await core.stop()


def _deck(record: str | Path | None, replay: str | Path | None) -> Deck:
    rule = CassetteRule(str(replay or ""), str(record or "")) if replay or record else None
    return Deck(rule, DocumentRedactor(secrets_of(os.environ)))  # a scenario may record where this says nothing


def _waiting(function: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, T]:
    @wraps(function)
    def wait(*args: P.args, **kwargs: P.kwargs) -> T:
        __tracebackhide__ = True
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            alone = True
        else:
            alone = False
        if not alone:
            raise RuntimeError("a loop runs here: in an async test, say `await play(…)`")
        try:
            return asyncio.run(function(*args, **kwargs))
        except (GreenroomError, AgentError) as failed:
            raise failed.with_traceback(None) from failed.__cause__

    return wait


play_sync = _waiting(play)
"""`play` for tests that are plain functions: no plugin of pytest's is needed."""


@dataclass(frozen=True, slots=True)
class _Stage:
    """Which scenario is played, and where it is to be found."""

    id: str
    sources: Sequence[Source]
    strict: bool
    file: Path | None = None
    """The one that is meant; what is wrong with others beside it is another test's affair."""

    def mistakes(self, served: Served) -> list[str]:
        found = served.loaded.mistakes
        if self.file is not None and served.scenarios.find(self.id) is not None:
            found = tuple(mistake for mistake in found if Path(mistake.file).resolve() == self.file)
        return list(map(str, found))


def _staged(
    scenario: str | Path | Mapping[str, Any] | None, scenarios: str | Path | Sequence[Mapping[str, Any]] | None
) -> _Stage:
    sources: list[Source] = []
    if scenarios is not None:
        sources.append(Folder(Path(scenarios)) if isinstance(scenarios, str | Path) else scenarios)
    if scenario is None:
        return _Stage("", sources, strict=bool(sources))
    if isinstance(scenario, Mapping):
        written = {"id": "played", **scenario}
        return _Stage(str(written["id"]), [*sources, [written]], strict=True)
    if isinstance(scenario, Path) or scenario.endswith((".yaml", ".yml")):
        return _in_file(Path(scenario), sources)
    if scenarios is None:
        sources.append(Folder(Path.cwd() / "scenarios", optional=True))
    return _Stage(scenario, sources, strict=True)


def _in_file(file: Path, sources: Sequence[Source]) -> _Stage:
    """Its folder comes with it: it may extend what stands beside it."""
    try:
        data = read_yaml(file.read_text(encoding="utf-8-sig")).data
    except OSError as error:
        raise AgentError(f"cannot read the scenario {file}: {error.strerror}") from None
    id = data.get("id") if isinstance(data, dict) else None
    return _Stage(str(id or file), [*sources, Folder(file.absolute().parent)], strict=True, file=file.resolve())


async def _run(core: Core, request: TurnRequest) -> TurnReply:
    """What an agent raises is told to nobody outside; its author's test says it, from the agent's own code on."""
    __tracebackhide__ = True
    try:
        return await core.turns.run(request)
    except (AgentFailed, AgentDown) as failed:
        raised = failed.__context__
        if raised is None:
            raise
        failed.add_note(f"the agent raised {type(raised).__name__}: {raised}")
        raise failed.with_traceback(None) from raised.with_traceback(_own_part(raised.__traceback__))


def _own_part(trace: TracebackType | None) -> TracebackType | None:
    """Without the frames that led to the agent."""
    inner = trace
    while inner is not None and _is_machinery(str(inner.tb_frame.f_globals.get("__name__"))):
        inner = inner.tb_next
    return inner or trace


def _is_machinery(module: str) -> bool:
    return module.startswith(("greenroom.core.", "asyncio.", "concurrent."))


async def _played(core: Core, reply: TurnReply) -> PlayedReply:
    turn = reply.turn
    world = await core.sessions.world(NOBODY, reply.session.session_id, turn.number, None)
    return PlayedReply(
        turn.reply,
        turn.tool_calls,
        turn.confidence,
        json.loads(turn.evaluation_json),
        json.loads(turn.reply_metadata_json),
        turn.number,
        turn.history.name.lower(),
        json.loads(world.world_json),
        played_changes(turn.changes),
    )


def _messages(said: Said) -> tuple[Message, ...]:
    if isinstance(said, str):
        return (Message("user", said),)
    return tuple(
        Message(
            message["role"],
            message.get("content"),
            tool_calls_json=json.dumps(message["tool_calls"]) if message.get("tool_calls") else "",
            tool_call_id=message.get("tool_call_id", ""),
        )
        for message in said
    )
