"""A client that runs our tool calls itself and sends their results (CHAT-19)."""

from collections.abc import AsyncIterator, Sequence

from greenroom.core.agents import Agents
from greenroom.core.errors import InvalidRequest, SessionNotFound, UserMismatch
from greenroom.core.ports import Store
from greenroom.core.records import Message, SessionRecord, TurnRecord
from greenroom.core.request import TurnReply, TurnRequest, check_id
from greenroom.core.transcript import conversation_hash, prefix_hashes, read_messages

LOOK_BACK = 8
"""Among how many of a session's last turns the one is looked for whose calls are answered."""


class ToolLoop:
    """Finds the reply whose calls ran already. It is given again, without a run, so that such a loop ends by itself."""

    def __init__(self, store: Store, agents: Agents) -> None:
        self._store = store
        self._agents = agents

    async def answered(self, request: TurnRequest) -> TurnReply:
        """The stored reply whose calls the request's last messages answer. Raises `InvalidRequest` when there is none,
        `SessionNotFound`, `UserMismatch`."""
        wanted = answered_calls(request.messages)
        turns = self._of_session(request) if request.session_id else self._of_conversation(request)
        async for session, turn in turns:
            if wanted <= {call.id for call in turn.tool_calls}:
                return TurnReply(session, turn, replayed=True)
        raise InvalidRequest(
            "messages: the last message must be from the user: its tool_call_id names no call of the session's last replies",
            field=f"messages[{len(request.messages) - 1}].tool_call_id",
        )

    async def _of_session(self, request: TurnRequest) -> AsyncIterator[tuple[SessionRecord, TurnRecord]]:
        """The newest turn, then those shortly before, which another client of the session has overtaken or which were
        superseded."""
        session_id = check_id(request.session_id, "session_id")
        session = await self._store.load_session(request.principal.namespace, session_id)
        if session is None:
            raise SessionNotFound(f"there is no session {session_id}", field="session_id")
        if request.user_id and session.user_id and request.user_id != session.user_id:
            raise UserMismatch(f"session {session_id} belongs to another user", field="user_id")
        earlier = range(session.turn_count, max(0, session.turn_count - LOOK_BACK), -1)
        for number in dict.fromkeys((session.head, *earlier)):
            turn = await self._store.load_turn(session, number) if number else None
            if turn is not None:
                yield session, turn

    async def _of_conversation(self, request: TurnRequest) -> AsyncIterator[tuple[SessionRecord, TurnRecord]]:
        """The turns that the carried texts end with, in conversations without session id (CHAT-14)."""
        carried = read_messages([*request.messages, Message("user", "")])  # as if the user went on
        if not carried.past:
            return
        principal, path_hash = request.principal, prefix_hashes(carried.past)[-1][1]
        agent = self._agents.asked(request.agent)
        wanted = conversation_hash(path_hash, principal.namespace, principal.key_name, request.user_id, agent.id)
        for found in await self._store.find_conversations(wanted):
            turn = await self._store.load_turn(found.session, found.turn)
            if turn is not None and found.session.user_id == request.user_id:
                yield found.session, turn


def answered_calls(messages: Sequence[Message]) -> set[str]:
    """The ids that the tool messages at the end name. Raises `InvalidRequest` for one that names none."""
    ids: set[str] = set()
    for index in range(len(messages) - 1, -1, -1):
        message = messages[index]
        if message.role != "tool":
            break
        if not message.tool_call_id:
            field = f"messages[{index}].tool_call_id"
            raise InvalidRequest(f"{field} must name the call that this message answers", field=field)
        ids.add(message.tool_call_id)
    return ids
