"""Sessions opened ahead of their first turn, empty or as forks of others (SESSION-03)."""

import secrets

import msgspec

from greenroom.core.errors import SessionNotFound, TurnNotFound, UserMismatch
from greenroom.core.forks import copied_path, forked
from greenroom.core.intake import asked_scenario
from greenroom.core.parts import Parts
from greenroom.core.plan import Opening, new_session, scenario_of_user
from greenroom.core.ports import StaleSession
from greenroom.core.records import SessionRecord, TurnRecord, UserRecord
from greenroom.core.request import Principal, check_id, read_object


class Origin(msgspec.Struct, frozen=True, gc=False):
    """What to fork: a session after one of its turns; None: the newest, 0: the start."""

    session_id: str
    turn: int | None = None


class Openings:
    """Opens sessions."""

    def __init__(self, parts: Parts) -> None:
        self._agents = parts.agents
        self._store = parts.store
        self._users = parts.users
        self._limits = parts.limits

    async def create(
        self, principal: Principal, session_id: str, user_id: str, metadata_json: str, agent_id: str = ""
    ) -> tuple[SessionRecord, bool]:
        """Opens a session; True when it is new. `agent_id`: whom it is for, as a turn asks for it. Raises `UserMismatch`
        when it exists for another user, and `AgentNotFound`."""
        served = self._agents.asked(agent_id)
        metadata = read_object(metadata_json, "metadata", self._limits.metadata_bytes)
        opening = self._opening(principal, session_id, user_id, metadata_json)
        known = await self._known(opening)
        if known is not None:
            return known, False
        user = await self._user(opening)
        start = served.begin(asked_scenario(metadata) or scenario_of_user(user))
        return await self._insert(opening, new_session(opening, served.id, start), user)

    async def fork(
        self, principal: Principal, session_id: str, user_id: str, metadata_json: str, origin: Origin
    ) -> tuple[SessionRecord, bool]:
        """A new session with the past, state and world of its origin, for the same user and with the same metadata unless
        others are given. Raises `SessionNotFound`, `TurnNotFound`, `UserMismatch`."""
        read_object(metadata_json, "metadata", self._limits.metadata_bytes)
        source, number = await self._find(principal, origin)
        opening = self._opening(principal, session_id, user_id or source.user_id, metadata_json or source.metadata_json)
        known = await self._known(opening)
        if known is not None:
            return known, False
        path = (await self._store.load_path(source, number, whole=True)).turns
        session = forked(new_session(opening, source.agent, source.start), source, path)
        turns = copied_path(path, session, same_user=session.user_id == source.user_id)
        return await self._insert(opening, session, await self._user(opening), turns)

    def _opening(self, principal: Principal, session_id: str, user_id: str, metadata_json: str) -> Opening:
        return Opening(
            principal=principal,
            session_id=check_id(session_id, "session_id") or "session_" + secrets.token_hex(12),
            minted=not session_id,
            user_id=check_id(user_id, "user_id"),
            metadata_json=metadata_json,
        )

    async def _find(self, principal: Principal, origin: Origin) -> tuple[SessionRecord, int]:
        session_id = check_id(origin.session_id, "origin.session_id")
        source = await self._store.load_session(principal.namespace, session_id)
        if source is None:
            raise SessionNotFound(f"there is no session {session_id}", field="origin.session_id")
        number = source.head if origin.turn is None else origin.turn
        if not 0 <= number <= source.turn_count:
            raise TurnNotFound(f"session {session_id} has no turn {number}", field="origin.turn")
        return source, number

    async def _known(self, opening: Opening) -> SessionRecord | None:
        """The session, where it exists for the same user."""
        if opening.minted:
            return None
        known = await self._store.load_session(opening.principal.namespace, opening.session_id)
        if known is not None and opening.user_id and known.user_id and opening.user_id != known.user_id:
            raise UserMismatch(f"session {opening.session_id} belongs to another user", field="user_id")
        return known

    async def _user(self, opening: Opening) -> UserRecord | None:
        if not opening.user_id:
            return None
        return await self._users.find(opening.principal.namespace, opening.user_id, fresh=True)

    async def _insert(
        self, opening: Opening, session: SessionRecord, user: UserRecord | None, turns: tuple[TurnRecord, ...] = ()
    ) -> tuple[SessionRecord, bool]:
        new_user = None
        if opening.user_id and user is None:
            new_user = UserRecord(session.namespace, opening.user_id, session.created_at)
        try:
            await self._store.create_session(session, new_user, turns)
        except StaleSession:  # somebody opened it meanwhile
            known = await self._known(opening)
            if known is None:
                raise SessionNotFound(f"there is no session {opening.session_id}", field="session_id") from None
            return known, False
        if new_user is not None:
            self._users.created(new_user)
        return session, True
