"""What is settled before an agent runs: whose turn it is, in which session, and after which of its turns."""

from datetime import UTC, datetime

import msgspec

from greenroom.core.branch import Branch, Live
from greenroom.core.errors import SessionClosed, SessionFull, UserMismatch
from greenroom.core.forks import copied_path, forked
from greenroom.core.intake import Found, Intake, minted_id
from greenroom.core.parts import Parts
from greenroom.core.plain import to_json
from greenroom.core.plan import Opening, Plan, new_session, plan_turn, scenario_of_user
from greenroom.core.records import History, SessionRecord, UserRecord
from greenroom.core.served import Served
from greenroom.core.transcript import (
    START,
    Placed,
    Placement,
    conversation_hash,
    place,
    place_without_candidates,
    prefix_hashes,
    rolled,
)


class Planner:
    """Decides with what the store knows; it writes nothing."""

    def __init__(self, parts: Parts) -> None:
        self._agents = parts.agents
        self._store = parts.store
        self._users = parts.users
        self._limits = parts.limits

    async def recognise(self, intake: Intake) -> None:
        """Finds the conversation that a request without session id carries (CHAT-14): it goes on in the session whose
        newest turn it ends at, else it is forked from another one that has it.

        Several may have said the same words. They are one as long as all else that came with these was the same, too;
        otherwise the request's own is the one that always came with what it brings now. Where there is none such, it cannot
        be told whose it is, and nobody is given another one's session (CHAT-16).
        """
        request = intake.request
        principal = request.principal
        path_hash = prefix_hashes(intake.carried.past)[-1][1]
        agent = self._agents.asked(request.agent).id
        wanted = conversation_hash(path_hash, principal.namespace, principal.key_name, request.user_id, agent)
        same = [one for one in await self._store.find_conversations(wanted) if one.session.user_id == request.user_id]
        if len({one.inputs_hash for one in same}) > 1:
            own = inputs_hash(intake)
            same = [one for one in same if one.inputs_hash == own]
        if not same:
            return
        going_on = (one for one in same if one.session.head == one.turn and one.session.closed_at is None)
        chosen = next(going_on, same[0])
        intake.found = Found(chosen.session.key, chosen.turn)
        intake.session_id = chosen.session.session_id

    async def plan(self, intake: Intake, live: Live | None) -> Plan:
        """Raises `Conflict`s, and `AgentNotFound`."""
        served = self._agents.asked(intake.request.agent)
        found = intake.found
        if found is not None and (live is None or not _goes_on(live.record, found)):
            return await self._plan_fork(intake, live)
        return await self._plan_here(intake, live, served)

    async def _plan_here(self, intake: Intake, live: Live | None, served: Served) -> Plan:
        request = intake.request
        user_id = request.user_id
        if live is not None:
            record = live.record
            if record.closed_at is not None:
                raise SessionClosed(f"session {record.session_id} is closed", field="session_id")
            if user_id and record.user_id and user_id != record.user_id:
                raise UserMismatch(f"session {record.session_id} belongs to another user", field="user_id")
            user_id = record.user_id or user_id
        transcript = request.transcript or (live is not None and live.record.transcript_mode)
        starts = live is None or (transcript and not intake.carried.has_history)
        user, new_user = await self._user(request.principal.namespace, user_id, fresh=starts)
        known = live is not None
        if live is None:
            start = served.begin(intake.scenario_requested or scenario_of_user(user))
            live = Live(new_session(opening_of(intake), served.id, start), Branch.empty())
        if transcript and not live.record.transcript_mode:
            live = Live(msgspec.structs.replace(live.record, transcript_mode=True), live.branch)
        placement = await self._place(intake, live)
        branch = live.branch
        if placement.parent != branch.number:
            branch = await Branch.load(self._store, live.record, placement.parent)
        record = live.record
        if record.user_id != user_id:
            record = msgspec.structs.replace(record, user_id=user_id)
        if known and record.agent != (replies := self._agents.of(record.agent)).id:  # its own is not served any longer
            record = msgspec.structs.replace(record, agent=replies.id)
        if known and not branch.path:
            record = self._begun(record, intake, user)
        plan = plan_turn(intake, Live(record, branch), placement, user, known=known, new_user=new_user)
        if not branch.path and live.branch.path:
            plan.superseded = live.branch.path[0]
        return self._within_bounds(plan)

    async def _plan_fork(self, intake: Intake, live: Live | None) -> Plan:
        """A new session whose past are the turns that the request carries, as they were in the session it was found in."""
        found, request = intake.found, intake.request
        assert found is not None
        intake.session_id = minted_id(intake.attempt_id)
        if live is None or live.record.key != found.session_key:  # deleted since it was found
            intake.found = None
            return await self._plan_here(intake, None, self._agents.asked(request.agent))
        path = (await self._store.load_path(live.record, found.turn, whole=True)).turns
        user, new_user = await self._user(request.principal.namespace, request.user_id, fresh=True)
        opened = new_session(opening_of(intake), live.record.agent, live.record.start)
        session = forked(opened, live.record, path)
        turns = copied_path(path, session)
        placement = Placement(len(turns), History.CONTINUED, Placed.FORK)
        here = Live(session, Branch.of(turns))
        return self._within_bounds(
            plan_turn(intake, here, placement, user, known=False, new_user=new_user, copied=turns)
        )

    def _within_bounds(self, plan: Plan) -> Plan:
        if plan.number > self._limits.session_turns:
            raise SessionFull(f"a session holds {self._limits.session_turns} turns at most", field="session_id")
        return plan

    def _begun(self, record: SessionRecord, intake: Intake, user: UserRecord | None) -> SessionRecord:
        """A known session at a start: opened without a scenario it takes the one that is asked for now; one that starts
        over takes it anew (USER-06)."""
        asked = intake.scenario_requested
        if record.turn_count:
            asked = asked or scenario_of_user(user)
        elif not asked or record.start.scenario.requested:
            return record
        return msgspec.structs.replace(record, start=self._agents.of(record.agent).begin(asked))

    async def _user(self, namespace: str, user_id: str, *, fresh: bool) -> tuple[UserRecord | None, bool]:
        """The user, and whether this turn creates it (CHAT-18). `fresh`: what starts sees what was prepared."""
        if not user_id:
            return None, False
        user = await self._users.find(namespace, user_id, fresh=fresh)
        if user is not None:
            return user, False
        return UserRecord(namespace, user_id, datetime.now(UTC)), True

    async def _place(self, intake: Intake, live: Live) -> Placement:
        """The placement; a look at the session's other branches only where its current one does not decide."""
        standing = live.standing()
        placement = place_without_candidates(intake.carried, standing)
        if placement is None:
            candidates = await self._store.find_candidates(live.record, prefix_hashes(intake.carried.past))
            placement = place(intake.carried, standing, candidates)
        if intake.found is not None:
            placement = msgspec.structs.replace(placement, placed=Placed.CONVERSATION)
        return placement


def inputs_hash(intake: Intake) -> bytes:
    """That of a conversation whose every turn came with what the request brings."""
    request, context = intake.request, intake.carried.context
    inputs = (request.metadata_json or "{}", request.options_json or "{}", to_json(context) if context else "[]")
    rolling = START
    for _ in intake.carried.past:
        rolling = rolled(rolling, *inputs)
    return rolling


def _goes_on(record: SessionRecord, found: Found) -> bool:
    return record.key == found.session_key and record.head == found.turn and record.closed_at is None


def opening_of(intake: Intake) -> Opening:
    """The session that a request opens."""
    request = intake.request
    return Opening(
        principal=request.principal,
        session_id=intake.session_id,
        minted=intake.minted,
        user_id=request.user_id,
        metadata_json=request.metadata_json,
    )
