"""Tools called from outside a reply: by an agent's own process for its turn, or by hand on a throw-away world."""

import secrets
from collections.abc import Sequence
from typing import Any

import msgspec

from greenroom.core.bounded import Overrun, bounded
from greenroom.core.branch import Branch
from greenroom.core.chance import turn_seed
from greenroom.core.errors import NotFound, ToolNotFound, TurnTimeout
from greenroom.core.overlay import Base
from greenroom.core.parts import Parts
from greenroom.core.records import SessionRecord, ToolCallRecord, UserRecord
from greenroom.core.request import Principal, check_id, read_object
from greenroom.core.served import Served
from greenroom.core.sessions import Sessions
from greenroom.core.tools import Tool, ToolFailed
from greenroom.core.turn import Scene, Turn
from greenroom.core.world import WorldTurn


class CallAside(msgspec.Struct, frozen=True):
    """A call that belongs to no turn: on a session's world, or else on the one that an agent's sessions start with."""

    name: str
    arguments_json: str
    session_id: str = ""
    user_id: str = ""
    agent: str = ""
    """"" for the default one."""


class ToolDesk:
    """The agents' tools, for callers other than the agents."""

    def __init__(self, parts: Parts, sessions: Sessions) -> None:
        self._agents = parts.agents
        self._store = parts.store
        self._users = parts.users
        self._sessions = sessions
        self._limits = parts.limits

    def list(self, agent_id: str = "") -> Sequence[Tool[..., Any]]:
        """Those of one agent; "": of the default one. Raises `AgentNotFound`."""
        return self._agents.named(agent_id).agent.tools

    async def invoke_in_turn(self, token: str, name: str, arguments_json: str) -> ToolCallRecord:
        """Calls a tool as part of the turn that gave out the token. Raises `NotFound` when that turn is over."""
        turn = self._agents.turn_of(token)
        if turn is None:
            raise NotFound("no turn in flight has this token", field="turn_token")
        return await self._call(turn, name, arguments_json)

    async def invoke_aside(self, principal: Principal, call: CallAside) -> ToolCallRecord:
        """Calls a tool on a copy of the session's newest world, or of the starting one; nothing is stored."""
        session = await self._sessions.get(principal, call.session_id) if call.session_id else None
        served = self._agents.of(session.agent) if session else self._agents.named(call.agent)
        user_id = session.user_id if session else check_id(call.user_id, "user_id")
        user = await self._users.find(principal.namespace, user_id, fresh=True) if user_id else None
        scene = await self._scene(served, session, user_id, user)
        turn = Turn(scene, served.backstage)
        try:
            return await bounded(self._call(turn, call.name, call.arguments_json), self._limits.turn_timeout)
        except Overrun:
            raise TurnTimeout(f"{call.name} took longer than {self._limits.turn_timeout:g} s") from None
        finally:
            turn.end()

    async def _call(self, turn: Turn, name: str, arguments_json: str) -> ToolCallRecord:
        tool = turn.toolbox.find(name)
        if tool is None:
            known = ", ".join(tool.name for tool in turn.toolbox.tools) or "it has none"
            raise ToolNotFound(f"the agent has no tool {name!r}; its tools: {known}", field="name")
        arguments = read_object(arguments_json, "arguments", self._limits.metadata_bytes)
        call_id = turn.ids.new("call")
        try:
            await turn.toolbox.call(tool, arguments, call_id)
        except ToolFailed:
            return turn.toolbox.record_of(call_id)  # a tool's own failure is data
        return turn.toolbox.record_of(call_id)

    async def _scene(
        self, served: Served, session: SessionRecord | None, user_id: str, user: UserRecord | None
    ) -> Scene:
        session_id = session.session_id if session else ""
        if session is None:
            branch, scenario = Branch.empty(), served.scenarios.default
        else:
            branch = await Branch.load(self._store, session, session.head)
            scenario = await served.scenario_of(branch.start or session.start, self._store)
        last = branch.last
        return Scene(
            session_id=session_id,
            chat_id=session.chat_id if session else "",
            number=session.turn_count + 1 if session else 1,
            input=(),
            past=branch.path,
            carried=(),
            context=(),
            instructions=served.agent.instructions,
            user_id=user_id,
            user_metadata_json=user.metadata_json if user else "{}",
            user_profile_json=user.profile_json if user else "{}",
            metadata_json="{}",
            options_json="{}",
            state_json=last.state_json if last else "{}",
            seed=turn_seed("aside", session_id, branch.hashes[1], ""),
            key_source=(secrets.token_hex(16), b""),  # no attempt of a turn's call
            clock=scenario.clock.after(len(branch.path)),
            world=WorldTurn(Base(scenario.seed, branch.overlay)),
            time_left=self._limits.turn_timeout,
        )
