"""Runs an agent's turns without a server, for its author's tests.

from greenroom.sdk.testing import play

async def test_it_knows_the_order() -> None:
    [reply] = await play(agent, ["Where is 12345?"])
    assert "preparing" in reply.text
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from greenroom.core.agent import Agent, AgentError, as_agent
from greenroom.core.agents import Agents
from greenroom.core.core import Core
from greenroom.core.limits import Limits
from greenroom.core.memory import MemoryStore
from greenroom.core.records import Message, ToolCallRecord
from greenroom.core.request import NOBODY, TurnReply, TurnRequest
from greenroom.core.scenario_files.sources import Folder
from greenroom.core.served import Served

Said = str | Sequence[Mapping[str, Any]]
"""What one request says: a user's text, or whole messages in OpenAI's form."""


@dataclass(frozen=True, slots=True)
class PlayedReply:
    """A reply with its evidence."""

    text: str
    tool_calls: tuple[ToolCallRecord, ...]
    confidence: float | None
    evaluation: dict[str, Any]
    metadata: dict[str, Any]
    """What the agent added to its reply's metadata."""
    turn: int
    history: str
    """Where the turn was placed: "new", "next", "continued", …"""
    world: dict[str, Any]
    """The world after the turn."""


async def play(
    agent: Agent | Callable[..., Any],
    requests: Sequence[Said],
    *,
    user_id: str = "",
    session_id: str = "",
    metadata: Mapping[str, Any] | None = None,
    user_metadata: Mapping[str, Any] | None = None,
    profile: Mapping[str, Any] | None = None,
    scenarios: str | Path | Sequence[Mapping[str, Any]] | None = None,
) -> list[PlayedReply]:
    """Runs a session of an agent in memory, one turn a request, and returns the replies.

    `metadata` goes with every request; `profile` and `user_metadata` are what `POST /users` would have given. `scenarios`
    are those that `metadata["scenario_id"]` may name beside the agent's own: a folder of files, or what stands in such
    files; then an id that none has is refused. Raises what a client would be told, a `GreenroomError`, and `AgentError`
    with every mistake of the scenarios.
    """
    limits = Limits()
    source = Folder(Path(scenarios)) if isinstance(scenarios, str | Path) else scenarios
    sources = [] if source is None else [source]
    served = Served(as_agent(agent, "agent"), "agent", limits, sources, strict=bool(sources))
    if served.loaded.mistakes:
        raise AgentError("\n".join(map(str, served.loaded.mistakes)))
    core = Core(Agents([served]), MemoryStore(), limits)
    await core.start()
    try:
        if user_id and (profile is not None or user_metadata is not None):
            await core.users.create(NOBODY, user_id, json.dumps(user_metadata or {}), json.dumps(profile or {}))
        replies: list[PlayedReply] = []
        for said in requests:
            request = TurnRequest(
                messages=_messages(said),
                session_id=session_id or "played",
                user_id=user_id,
                metadata_json=json.dumps(metadata) if metadata else "",
            )
            replies.append(await _played(core, await core.turns.run(request)))
        return replies
    finally:
        await core.stop()


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
