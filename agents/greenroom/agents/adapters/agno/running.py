"""One run of an agent or a team, in one turn."""

import copy
import json
from collections.abc import Mapping
from functools import wraps
from typing import Any

from agno.db.in_memory import InMemoryDb
from agno.models.message import Message
from pydantic_core import to_json

from greenroom.agents.adapters.agno.runs import KeptRun, put_back, taken_out
from greenroom.agents.adapters.agno.tools import KnownTools
from greenroom.agents.adapters.memory import Memory
from greenroom.agents.adapters.speech import Speech
from greenroom.agents.adapters.system import system_texts
from greenroom.agents.adapters.tokens import Tokens
from greenroom.agents.adapters.tools import AS_JSON, as_json
from greenroom.agents.too_long import says_too_long
from greenroom.sdk import AgentError, AgentUnavailable, ConversationTooLong, Reply, Turn

__all__ = ["KnownTools", "Run"]

_OPENING = "Begin the conversation."
_UNAVAILABLE = frozenset({
    "model_authentication_error", "model_provider_error", "model_rate_limit_error", "remote_server_unavailable_error",
})  # fmt: skip
"""Types of errors where a backend is down, refuses or is overloaded."""
_CHECKS = frozenset({"input_check_error", "output_check_error"})
"""Types of errors where a guardrail stopped the run."""
_OWN = ("current_session_id", "current_run_id", "current_user_id")
"""What agno lays into a session's state for a run."""


class Run:
    """A run of a copy of an agent, whose memory is put back from `turn.state` and kept there."""

    def __init__(self, turn: Turn, agent: Any, known: KnownTools) -> None:
        self._turn = turn
        self._memory = Memory(turn, "agno")
        self._kept: Any = self._memory.recall()
        self._db = None if agent.db is None else InMemoryDb()
        self._agent = _copied(agent, known, self._db, "\n\n".join(system_texts(turn)))
        self._tokens = Tokens()
        self._speech = Speech(turn)
        self._request = 0
        self._told = agent.output_schema is None and not agent.post_hooks
        """Whether text is told as it comes: nothing may yet refuse it, and it is text."""

    async def reply(self, given: Mapping[str, Any], refusal: str) -> Reply:
        """Raises `AgentUnavailable` and `ConversationTooLong`, and `AgentError` for what agno only tells as an event."""
        turn, guardrail, ended = self._turn, "", None
        state = self._restore()
        ids = {"session_id": turn.session_id, "user_id": turn.user.id or None}
        events = self._agent.arun(self._input(), stream=True, stream_events=True, session_state=state, **ids, **given)
        async for event in events:
            kind = event.event.removeprefix("Team")
            if kind == "RunCompleted" and event.metrics is not None:
                self._tokens.add(event.metrics.input_tokens or None, event.metrics.output_tokens or None)
            if event.parent_run_id:
                continue  # a member's, and what it said is the result of a call
            if kind == "RunError":
                guardrail = self._stopped(event)
                await self._speech.whole("refusal", refusal)
            elif kind == "RunPaused":
                raise AgentError("a tool waits for a confirmation or an input, which nobody gives here")
            elif kind == "RunCompleted":
                ended = event
            else:
                await self._hear(kind, event)
        if ended is not None and (not self._speech.begun or not self._told):
            await self._speech.whole("output", _text(ended.content))
        self._keep(ended)
        metadata = {"agno": {"guardrail": guardrail}} if guardrail else None
        return Reply("", usage=self._tokens.usage, metadata=metadata)

    async def _hear(self, kind: str, event: Any) -> None:
        if kind == "ModelRequestStarted":
            self._request += 1
        elif kind == "RunContent" and self._told and isinstance(event.content, str):
            await self._speech.piece(str(self._request), event.content)

    def _stopped(self, event: Any) -> str:
        """The guardrail that stopped the run. Raises for any other error."""
        if event.error_type in _CHECKS:
            return str(event.error_id or event.error_type)
        if event.error_type == "model_provider_error" and says_too_long(event.content):
            raise ConversationTooLong(f"{event.error_type}: {event.content}")
        if event.error_type in _UNAVAILABLE:
            raise AgentUnavailable(f"{event.error_type}: {event.content}")
        raise AgentError(f"the run failed: {event.error_type or 'error'}: {event.content}")

    def _input(self) -> Any:
        """What the user said, for an agent that remembers; else the whole conversation."""
        if self._db is not None and (self._kept is not None or not self._memory.before):
            return self._turn.text or _OPENING
        return [_message(one) for one in self._turn.messages] or _OPENING

    def _restore(self) -> dict[str, Any] | None:
        if self._kept is None:
            return None
        if self._db is not None:
            _fill(self._db, self._kept["sessions_json"], self._kept.get("runs", {}))
            self._db._memories.extend(self._kept["memories"])
            return None
        state: dict[str, Any] = self._kept["session_state"]
        return state

    def _keep(self, ended: Any) -> None:
        if self._db is not None:
            # as texts: they are most of a turn's state, nothing but agno reads them, and old runs it mostly does not
            sessions = self._db._sessions
            bare = {name: {**session, "runs": None} for name, session in sessions.items()}
            runs = {name: [taken_out(run) for run in session["runs"] or ()] for name, session in sessions.items()}
            text = to_json(bare, **AS_JSON).decode()
            self._memory.keep({"sessions_json": text, "runs": runs, "memories": as_json(self._db._memories)})
        else:
            state = (self._kept or {}).get("session_state", {}) if ended is None else ended.session_state or {}
            self._memory.keep({"session_state": as_json({key: state[key] for key in state if key not in _OWN})})


def _fill(db: Any, sessions_json: str, kept: Mapping[str, Any]) -> None:
    """Puts sessions into an empty database, and the objects of their runs where agno looks for them."""
    db._sessions.update(json.loads(sessions_json))
    for name, runs in kept.items():
        made = [KeptRun(head, text) for head, text in runs]
        db._sessions[name]["runs"] = made
        db._run_object_cache[name] = {run["run_id"]: (run, put_back(run)) for run in made}


def _copied(agent: Any, known: KnownTools, db: Any, system: str) -> Any:
    """A copy for one turn; of a team, its members too. What its author shares on purpose (models, clients) stays shared."""
    made = copy.copy(agent)
    made.telemetry = False
    made.db = db
    made._cached_session = None
    made.tool_hooks = [*(agent.tool_hooks or ()), known.call]
    for name in ("session_state", "metadata", "dependencies"):
        setattr(made, name, copy.deepcopy(getattr(agent, name)))
    if isinstance(agent.tools, list):
        made.tools = list(agent.tools)
    if isinstance(getattr(agent, "members", None), list):
        made.members = [_copied(member, known, db, "") for member in agent.members]
    if system and agent.system_message is None:
        made.additional_context = f"{agent.additional_context}\n\n{system}" if agent.additional_context else system
    elif system:
        made.system_message = _layered(agent.system_message, system)
    return made


def _layered(own: Any, system: str) -> Any:
    """A system message of the author's, and the turn's texts after it."""
    if isinstance(own, Message):
        made = copy.copy(own)
        made.content = f"{own.content}\n\n{system}"
        return made
    if not callable(own):
        return f"{own}\n\n{system}"

    @wraps(own)
    def layered(*arguments: Any, **keywords: Any) -> str:
        return f"{own(*arguments, **keywords)}\n\n{system}"

    return layered


def _message(one: Any) -> Message:
    calls = json.loads(one.tool_calls_json) if one.tool_calls_json else None
    return Message(role=one.role, content=one.content, tool_calls=calls, tool_call_id=one.tool_call_id or None)


def _text(output: Any) -> str:
    if isinstance(output, str):
        return output
    return "" if output is None else json.dumps(as_json(output), ensure_ascii=False)
