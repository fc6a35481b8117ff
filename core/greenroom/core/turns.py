"""The heart: what happens to a turn between its request and its reply.

    wait for the session → find where in its tree the request stands → open world and state there → let the agent reply
    → commit turn, tool calls and world changes as one → answer

A turn that fails anywhere leaves the session exactly as it was. No transaction is open while the agent thinks; the commit
is a compare-and-set on the session's version, and a turn that lost it is placed and run once more.
"""

import asyncio
import logging
from datetime import UTC, datetime
from time import perf_counter_ns

import msgspec

from greenroom.core import usage
from greenroom.core.agent import produce
from greenroom.core.bounded import Overrun, bounded
from greenroom.core.branch import Branch, Cache, Live
from greenroom.core.errors import (
    AgentFailed,
    GreenroomError,
    IdempotencyMismatch,
    LimitExceeded,
    SessionBusy,
    SessionClosed,
    SessionDeleted,
    SessionFull,
    TurnTimeout,
    UserMismatch,
)
from greenroom.core.evaluation import evaluation_json
from greenroom.core.intake import Intake, read_request
from greenroom.core.limits import Limits
from greenroom.core.plain import well_formed
from greenroom.core.plan import (
    CompletionIds,
    Opening,
    Outcome,
    Plan,
    build_commit,
    new_session,
    plan_turn,
    scenario_of_user,
    set_scene,
)
from greenroom.core.ports import DuplicateAttempt, MissingSession, StaleSession, Store
from greenroom.core.records import FailedTurn, SessionRecord, ToolCallRecord, TurnCommit, UserRecord
from greenroom.core.request import TurnReply, TurnRequest
from greenroom.core.served import Served
from greenroom.core.tickets import Ticket, Tickets
from greenroom.core.transcript import Placement, place, place_without_candidates, prefix_hashes
from greenroom.core.turn import Turn
from greenroom.core.users import Users
from greenroom.core.waiting import Capacity, SessionQueue

_log = logging.getLogger(__name__)


class Turns:
    """Runs turns. One per core; everything that is remembered between turns is in the store, or can be read from it."""

    def __init__(
        self, served: Served, store: Store, users: Users, cache: Cache, tickets: Tickets, limits: Limits
    ) -> None:
        self._served = served
        self._store = store
        self._users = users
        self._cache = cache
        self._tickets = tickets
        self._limits = limits
        self._queue = SessionQueue(limits)
        self._completion_ids = CompletionIds()
        self.capacity = Capacity(limits)

    async def run(self, request: TurnRequest) -> TurnReply:
        """Runs one turn and returns it stored. Raises a `GreenroomError`; then nothing of it is in the session."""
        arrived = perf_counter_ns()
        intake = read_request(request, self._limits)
        key = request.principal.key_name
        patience = request.timeout
        name = intake.name
        self.capacity.admit()
        ticket = self._tickets.take(name, request.user_id)
        try:
            await self._queue.enter(intake.queue_name, patience)
            try:
                if patience is not None:
                    patience = max(patience - (perf_counter_ns() - arrived) / 1e9, 0)
                await self.capacity.enter(key, patience)
                try:
                    return await self._answer(intake, ticket, arrived)
                finally:
                    self.capacity.leave(key)
            finally:
                self._queue.leave(intake.queue_name)
        except asyncio.CancelledError:
            deleted = ticket.cancelled()
            if deleted is None:
                raise
            raise deleted from None
        finally:
            self._tickets.give_back(name, ticket)
            self.capacity.dismiss()

    async def _answer(self, intake: Intake, ticket: Ticket, arrived: int) -> TurnReply:
        if intake.request.resent or intake.request.idempotency_key:
            stored = await self._stored(intake)
            if stored is not None:
                return stored
        for attempt in (1, 2):
            try:
                return await self._run(intake, ticket, arrived)
            except StaleSession:  # another process wrote to this session: read it again and decide anew
                self._cache.drop(intake.name)
                ticket.committing = False
                _log.info("session %s changed under a turn (attempt %d)", intake.session_id, attempt)
            except MissingSession:
                self._cache.drop(intake.name)
                raise SessionDeleted("the session was deleted while this turn was in flight") from None
            except DuplicateAttempt:
                self._cache.drop(intake.name)
                committed = await self._attempt(intake)
                if committed is not None:
                    return committed
        raise SessionBusy("other writers keep changing this session")

    async def _stored(self, intake: Intake) -> TurnReply | None:
        """The reply of an attempt, or of an idempotency key, that was committed before (CHAT-15)."""
        request = intake.request
        if request.resent:
            committed = await self._attempt(intake)
            if committed is not None:
                return committed
        if intake.idempotency_key:
            found = await self._store.find_idempotent(
                request.principal.namespace, request.session_id, intake.idempotency_key
            )
            if found is not None:
                if found[1].request_hash != intake.request_hash:
                    raise IdempotencyMismatch(
                        "this idempotency key was used with another body", field="idempotency_key"
                    )
                return TurnReply(*found, replayed=True)
        return None

    async def _attempt(self, intake: Intake) -> TurnReply | None:
        """The reply that this attempt came to. Attempt ids are their callers' own, and two callers may hit upon one."""
        found = await self._store.find_attempt(intake.attempt_id)
        if found is None:
            return None
        session, turn = found
        if (session.namespace, session.session_id) != intake.name or turn.request_hash != intake.request_hash:
            raise IdempotencyMismatch("this attempt id was used for another request", field="attempt_id")
        return TurnReply(session, turn, replayed=True)

    async def _run(self, intake: Intake, ticket: Ticket, arrived: int) -> TurnReply:
        live = self._cache.get(intake.name)
        if live is None and not intake.minted:
            live = await self._read_session(intake)
        plan = await self._plan(intake, live)
        ticket.user_id = plan.session.user_id
        outcome = await self._perform(plan, arrived)
        took_us = (perf_counter_ns() - arrived) // 1000
        commit = build_commit(plan, outcome, self._served.agent.instructions, self._completion_ids.new(), took_us)
        self._check_room(commit)
        ticket.committing = True
        try:
            await self._store.commit_turn(commit)
        except BaseException:
            self._cache.drop(intake.name)  # whatever became of it, the store knows
            raise
        self._committed(plan, commit)
        return TurnReply(commit.session, commit.turns[-1])

    async def _read_session(self, intake: Intake) -> Live | None:
        """The session as it is stored, kept in memory from now on."""
        record = await self._store.load_session(*intake.name)
        if record is None:
            return None
        live = Live(record, await Branch.load(self._store, record, record.head))
        self._cache.put(intake.name, live)
        return live

    async def _plan(self, intake: Intake, live: Live | None) -> Plan:
        """Settles whose turn it is, in which session, and after which of its turns. Raises `Conflict`s."""
        request = intake.request
        user_id = request.user_id
        if live is not None:
            record = live.record
            if record.closed_at is not None:
                raise SessionClosed(f"session {record.session_id} is closed", field="session_id")
            if user_id and record.user_id and user_id != record.user_id:
                raise UserMismatch(f"session {record.session_id} belongs to another user", field="user_id")
            user_id = record.user_id or user_id
        starts = live is None or (live.record.transcript_mode and not intake.carried.has_history)
        user, new_user = await self._user(request.principal.namespace, user_id, fresh=starts)
        known = live is not None
        if live is None:
            opening = Opening(
                principal=request.principal,
                session_id=intake.session_id,
                minted=intake.minted,
                user_id=request.user_id,
                metadata_json=request.metadata_json,
                scenario_requested=intake.scenario_requested,
            )
            live = Live(new_session(opening, self._served, user), Branch.empty())
        placement = place_without_candidates(intake.carried, live.standing())
        if placement is None:
            placement = await self._place(intake, live)
        branch = live.branch
        if placement.parent != branch.number:
            branch = await Branch.load(self._store, live.record, placement.parent)
        record = (
            live.record if live.record.user_id == user_id else msgspec.structs.replace(live.record, user_id=user_id)
        )
        if known and not branch.path:
            record = self._begun(record, intake, user)
        here = Live(record, branch)
        plan = plan_turn(intake, here, placement, user, known=known, new_user=new_user)
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
        return msgspec.structs.replace(record, start=self._served.begin(asked))

    async def _user(self, namespace: str, user_id: str, *, fresh: bool) -> tuple[UserRecord | None, bool]:
        """The user, and whether this turn creates it (CHAT-18). `fresh`: what starts sees what was prepared."""
        if not user_id:
            return None, False
        user = await self._users.find(namespace, user_id, fresh=fresh)
        if user is not None:
            return user, False
        return UserRecord(namespace, user_id, datetime.now(UTC)), True

    async def _place(self, intake: Intake, live: Live) -> Placement:
        """The placement that takes a look at the session's other branches."""
        candidates = await self._store.find_candidates(live.record, prefix_hashes(intake.carried.past))
        return place(intake.carried, live.standing(), candidates)

    async def _perform(self, plan: Plan, arrived: int) -> Outcome:
        """Lets the agent reply. Whatever it raises, the session has not been touched; the attempt is kept as evidence."""
        served, limits, request = self._served, self._limits, plan.intake.request
        scenario = await served.scenario_of(plan.start, self._store)
        time_left = limits.turn_timeout
        if request.timeout is not None:
            time_left = min(time_left, request.timeout - (perf_counter_ns() - arrived) / 1e9)
        turn = Turn(set_scene(plan, served.agent, scenario, time_left), served.backstage)
        try:
            reply = await bounded(produce(served.agent, turn, served.executor), time_left)
            turn.toolbox.end()
            if turn.toolbox.refused is not None:
                raise turn.toolbox.refused
            calls = turn.toolbox.records
            evaluation, state = evaluation_json(reply.evaluation, calls, plan.depth + 1), turn.state_after()
            check_reply(limits.reply_bytes, reply.text, evaluation, calls)
            if size_of(state) > limits.reply_bytes:
                raise LimitExceeded(f"turn.state may be {limits.reply_bytes} bytes of JSON at most")
            outcome = Outcome(reply.text, reply.confidence, evaluation, calls, state, turn.world_turn.changes())
        except Overrun:
            raise await self._failed(
                plan, turn, TurnTimeout(f"the turn took longer than {time_left:g} s"), None
            ) from None
        except LimitExceeded as error:
            raise await self._failed(plan, turn, error, error) from None
        except Exception as error:  # the agent is the author's: its text stays in the log
            _log.exception("agent failed: session %s, request %s", plan.session.session_id, request.request_id)
            raise await self._failed(plan, turn, AgentFailed(), error) from None
        finally:
            turn.end()
        took = (perf_counter_ns() - turn.started_ns) / 1e9
        if took > limits.slow_turn:
            _log.warning("slow turn: %.1f s, session %s, request %s", took, plan.session.session_id, request.request_id)
        return outcome

    async def _failed(self, plan: Plan, turn: Turn, error: GreenroomError, cause: Exception | None) -> GreenroomError:
        """Keeps the evidence beside the session, and gives back what to raise."""
        turn.end()
        session = plan.session
        evidence = FailedTurn(
            namespace=session.namespace,
            session_id=session.session_id,
            user_id=session.user_id,
            attempt_id=plan.intake.attempt_id,
            request_id=plan.intake.request.request_id,
            reason=error.reason,
            detail=error.message if cause is None else well_formed(f"{type(cause).__name__}: {cause}"),
            messages=plan.intake.carried.input,
            tool_calls=turn.toolbox.records,
            failed_at=datetime.now(UTC),
            duration_us=(perf_counter_ns() - turn.started_ns) // 1000,
        )
        try:
            await self._store.record_failure(evidence)
        except GreenroomError as unavailable:
            _log.warning("a failed turn could not be recorded: %s", unavailable)
        return error

    def _check_room(self, commit: TurnCommit) -> None:
        if commit.session.changed_bytes > self._limits.session_world_bytes:
            limit = self._limits.session_world_bytes
            raise SessionFull(f"a session holds {limit} bytes of world changes at most", field="session_id")

    def _committed(self, plan: Plan, commit: TurnCommit) -> None:
        """Brings what is in memory up to what is stored."""
        name = plan.intake.name
        if plan.new_user and plan.user is not None:
            self._users.created(plan.user)
        live = self._cache.get(name)
        plan.branch.extend(commit.turns, plan.tokens + usage.of_texts((commit.turns[-1].reply,)))
        if live is not None and live.branch is plan.branch:
            live.record = commit.session
            self._cache.grew(name, live, commit.turns)
        else:
            self._cache.put(name, Live(commit.session, plan.branch))


def size_of(text: str) -> int:
    """Its bytes in UTF-8."""
    return len(text) if text.isascii() else len(text.encode())


def check_reply(limit: int, text: str, evaluation: str, calls: tuple[ToolCallRecord, ...]) -> None:
    """Raises `LimitExceeded` for a reply that is too large with its tool calls, as it goes out (SEC-08)."""
    size = size_of(text) + size_of(evaluation)
    for call in calls:
        size += size_of(call.arguments_json) + size_of(call.result_json)
    if size > limit:
        raise LimitExceeded(f"a reply with its tool calls may be {limit} bytes at most")
