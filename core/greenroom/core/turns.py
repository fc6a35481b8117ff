"""The heart: what happens to a turn between its request and its reply.

    is it in flight already? → wait for the session → was it answered before? → find where in its tree the request stands
    → open world and state there → let the agent reply → commit turn, tool calls and world changes as one → answer

A turn that fails anywhere leaves the session exactly as it was. No transaction is open while the agent thinks; the commit
is a compare-and-set on the session's version, and a turn that lost it is placed and run once more.
"""

import asyncio
import logging
import time
from datetime import UTC, datetime
from time import perf_counter_ns

from greenroom.core import usage
from greenroom.core.branch import Branch, Live
from greenroom.core.errors import GreenroomError, IdempotencyMismatch, SessionBusy, SessionDeleted, TurnTimeout
from greenroom.core.feed import Begun
from greenroom.core.intake import Intake, minted_id, nameless_hash, read_request
from greenroom.core.parts import Parts
from greenroom.core.performer import Performer
from greenroom.core.plan import CompletionIds, Plan, build_commit
from greenroom.core.planner import Planner
from greenroom.core.ports import DuplicateAttempt, MissingSession, StaleSession
from greenroom.core.records import SessionRecord, TurnCommit, TurnRecord
from greenroom.core.repeats import Flight, Repeats
from greenroom.core.request import TurnReply, TurnRequest
from greenroom.core.tickets import Ticket
from greenroom.core.tool_loop import ToolLoop
from greenroom.core.waiting import Capacity, SessionQueue

_log = logging.getLogger(__name__)


class Turns:
    """Runs turns. One per core; everything that is remembered between turns is in the store, or can be read from it."""

    def __init__(self, parts: Parts) -> None:
        self._store = parts.store
        self._users = parts.users
        self._cache = parts.cache
        self._tickets = parts.tickets
        self._limits = parts.limits
        self._planner = Planner(parts)
        self._performer = Performer(parts)
        self._queue = SessionQueue(parts.limits)
        self._repeats = Repeats()
        self._tool_loop = ToolLoop(parts.store, parts.agents)
        self._completion_ids = CompletionIds()
        self.capacity = Capacity(parts.limits)

    async def run(self, request: TurnRequest) -> TurnReply:
        """Runs one turn and returns it stored. Raises a `GreenroomError`; then nothing of it is in the session."""
        arrived = perf_counter_ns()
        if request.messages and request.messages[-1].role == "tool":
            return await self._tool_loop.answered(request)
        intake = read_request(request, self._limits)
        self.capacity.admit()
        try:
            if not request.session_id:
                stray = await self._recognise(intake)
                if stray is not None:
                    return stray
            return await self._answer_once(intake, arrived)
        finally:
            self.capacity.dismiss()

    async def _answer_once(self, intake: Intake, arrived: int) -> TurnReply:
        """The reply of the same request in flight, if there is one; else this one flies. One that was stopped by its own
        caller is taken over, as the same attempt."""
        flights, key, waits = self._repeats.flights, intake.flight_key, intake.attempt_id
        while (flight := flights.get(key)) is not None:
            reply = await self._join(flight, intake, arrived)
            if reply is not None:
                return given_again(reply)
            intake.attempt_id, intake.request.resent = flight.attempt_id, True
        flight = flights[key] = Flight(key, intake.attempt_id, waits)
        try:
            return await self._fly(flight, intake, arrived)
        finally:
            del flights[key]
            flight.land(None)

    async def left(self, attempt_id: str) -> None:
        """The client of this attempt has left. Its turn goes on; a reply that nobody has then is kept for the same request
        (CHAT-15)."""
        turn_attempt = self._repeats.left(attempt_id)
        if turn_attempt is not None:
            found = await self._store.find_attempt(turn_attempt)
            if found is not None and not self._repeats.wanted(turn_attempt):
                await self._note_delivery(found[0], found[1], undelivered=True)

    def is_waited_for(self, attempt_id: str) -> bool:
        """Whether somebody waits for the reply of the turn that this attempt runs now."""
        return self._repeats.is_waited_for(attempt_id)

    async def _recognise(self, intake: Intake) -> TurnReply | None:
        """A request without session id: its conversation is found by its texts (CHAT-14). The reply of one that ran before
        and whose client has left."""
        request = intake.request
        known = nameless_hash(request)
        stray = self._repeats.stray(known)
        if stray is not None:
            for flight in self._repeats.flights.values():
                if flight.attempt_id == stray:
                    reply = await flight.join(intake.attempt_id)
                    if reply is not None:
                        return given_again(reply)
            found = await self._store.find_attempt(stray)
            if found is not None:
                return await self._give_again(*found, intake)
        self._repeats.nameless(intake.attempt_id, known)
        if intake.carried.has_history:
            if intake.idempotency_key and (kept := await self._under_key(intake)) is not None:
                return kept
            await self._planner.recognise(intake)
        return None

    async def _join(self, flight: Flight, intake: Intake, arrived: int) -> TurnReply | None:
        """What the same request in flight comes to; None when it was stopped."""
        try:
            async with asyncio.timeout(time_left(intake, arrived)):
                return await flight.join(intake.attempt_id)
        except TimeoutError:
            raise TurnTimeout("the same request is in flight, and took longer") from None

    async def _fly(self, flight: Flight, intake: Intake, arrived: int) -> TurnReply:
        """The reply, also for those who joined."""
        began_us = time.time_ns() // 1000
        intake.sent_us = began_us - intake.request.held_us
        try:
            reply = await self._admitted(intake, arrived)
        except BaseException as error:
            if not intake.request.retry_count and not intake.request.resent:  # else it may have run before
                self._repeats.refused(flight.key, began_us)
            if isinstance(error, GreenroomError):
                flight.land(None, error)
            raise
        self._repeats.accepted(flight.key)
        turn = reply.turn
        if flight.waiting != {turn.attempt_id}:
            self._repeats.given_to(flight.waiting, turn.attempt_id)
            if not flight.waiting:
                await self._note_delivery(reply.session, turn, undelivered=True)
        flight.land(reply)
        return reply

    async def _admitted(self, intake: Intake, arrived: int) -> TurnReply:
        """The reply, once it is this request's turn in its session and there is a place to run."""
        key_name, name = intake.request.principal.key_name, intake.name
        ticket = self._tickets.take(name, intake.request.user_id)
        try:
            await self._queue.enter(name, time_left(intake, arrived))
            try:
                await self.capacity.enter(key_name, time_left(intake, arrived))
                try:
                    return await self._answer(intake, ticket, arrived)
                finally:
                    self.capacity.leave(key_name)
            finally:
                self._queue.leave(name)
        except asyncio.CancelledError:
            deleted = ticket.cancelled()
            if deleted is None:
                raise
            raise deleted from None
        finally:
            self._tickets.give_back(name, ticket)

    async def _answer(self, intake: Intake, ticket: Ticket, arrived: int) -> TurnReply:
        head = -1
        for attempt in (1, 2):
            live = await self._live(intake)
            stored = await self._answered_before(intake, live, head)
            if stored is not None:
                return stored
            if (
                live is not None and intake.minted and intake.idempotency_key and intake.found is None
            ):  # the key's of more than a day ago
                intake.session_id, live = minted_id(intake.attempt_id), None
            head = live.record.head if live is not None else 0
            try:
                return await self._run(intake, live, ticket, arrived)
            except StaleSession:  # another process wrote to this session: read it again and decide anew
                self._cache.drop(intake.name)
                ticket.committing = False
                _log.info("session %s changed under a turn (attempt %d)", intake.session_id, attempt)
            except MissingSession:
                self._cache.drop(intake.name)
                raise SessionDeleted("the session was deleted while this turn was in flight") from None
            except DuplicateAttempt:
                self._cache.drop(intake.name)
                intake.request.resent = True
        raise SessionBusy("other writers keep changing this session")

    async def _answered_before(self, intake: Intake, live: Live | None, head: int) -> TurnReply | None:
        """The stored reply, where the request is a repeated one (CHAT-15). `head`: of the session, when the request was run
        and lost its place to another writer; -1 before."""
        request, store = intake.request, self._store
        if request.resent:
            found = await store.find_attempt(self._repeats.turn_of(intake.attempt_id))
            if found is not None:
                check_same(found, intake)
                return await self._give_again(*found, intake)
        if intake.idempotency_key:
            found = await store.find_idempotent(request.principal.namespace, request.session_id, intake.idempotency_key)
            if found is not None:
                if found[1].request_hash != intake.request_hash:
                    raise IdempotencyMismatch(
                        "this idempotency key was used with another body", field="idempotency_key"
                    )
                return await self._give_again(*found, intake)
        if live is None:
            return None
        last = live.branch.last
        if last is not None and last.request_hash == intake.request_hash:
            if live.undelivered is None:
                live.undelivered = await store.is_undelivered(live.record, last.number)
            if live.undelivered:
                return await self._give_again(live.record, last, intake)
        overtaken_by = self._overtaken(intake, live)
        if overtaken_by is not None:
            return await self._give_again(live.record, overtaken_by, intake)
        if request.retry_count or head >= 0:
            turn = await store.find_request(live.record, intake.request_hash)
            if turn is not None:
                meanwhile = 0 <= head < turn.number  # another process was asked the same at the same time
                if meanwhile or self._is_repeated(turn, intake):
                    return await self._give_again(live.record, turn, intake)
        return None

    def _overtaken(self, intake: Intake, live: Live) -> TurnRecord | None:
        """The turn of the same request, when that was sent again and answered while this one was on its way."""
        for turn in reversed(live.branch.path):
            if int(turn.created_at.timestamp() * 1e6) < intake.sent_us:
                return None
            if turn.request_hash == intake.request_hash:
                return turn
        return None

    async def _under_key(self, intake: Intake) -> TurnReply | None:
        """The reply that is stored under the request's idempotency key."""
        request = intake.request
        found = await self._store.find_idempotent(
            request.principal.namespace, request.session_id, intake.idempotency_key
        )
        if found is None:
            return None
        if found[1].request_hash != intake.request_hash:
            raise IdempotencyMismatch("this idempotency key was used with another body", field="idempotency_key")
        return await self._give_again(*found, intake)

    def _is_repeated(self, turn: TurnRecord, intake: Intake) -> bool:
        """Whether this stored turn is the one that the request repeats: committed for a lower count, and not before the
        request was first sent (the same words may have been said earlier)."""
        request = intake.request
        sent_us = max(request.refused_at_us, self._repeats.first_refusal(intake.flight_key))
        committed_us = int(turn.created_at.timestamp() * 1e6)
        return turn.retry_count < request.retry_count and committed_us >= sent_us

    async def _give_again(self, session: SessionRecord, turn: TurnRecord, intake: Intake) -> TurnReply:
        """A stored reply for one more attempt, which is the one that waits for it now."""
        self._repeats.given_to((intake.attempt_id,), turn.attempt_id)
        await self._note_delivery(session, turn, undelivered=False)
        return TurnReply(session, turn, replayed=True)

    async def _note_delivery(self, session: SessionRecord, turn: TurnRecord, *, undelivered: bool) -> None:
        live = self._cache.get((session.namespace, session.session_id))
        if live is not None and live.record.key == session.key and live.record.head == turn.number:
            live.undelivered = undelivered
        await self._store.set_undelivered(session, turn.number, undelivered)

    async def _live(self, intake: Intake) -> Live | None:
        """The session as it stands, kept in memory from now on; None where it is to be opened."""
        live = self._cache.get(intake.name)
        if live is None and (intake.found is not None or not intake.minted or intake.request.idempotency_key):
            record = await self._store.load_session(*intake.name)
            if record is not None:
                live = Live(record, await Branch.load(self._store, record, record.head))
                self._cache.put(intake.name, live)
        return live

    async def _run(self, intake: Intake, live: Live | None, ticket: Ticket, arrived: int) -> TurnReply:
        plan = await self._planner.plan(intake, live)
        ticket.user_id = plan.session.user_id
        completion_id, feed = self._completion_ids.new(), intake.request.feed
        if feed is not None:
            feed.begin(begun(plan.session, completion_id))
        outcome = await self._performer.perform(plan, arrived)
        took_us = (perf_counter_ns() - arrived) // 1000
        commit = build_commit(plan, outcome, completion_id, took_us)
        ticket.committing = True
        try:
            await self._store.commit_turn(commit)
        except BaseException:
            self._cache.drop(intake.name)  # whatever became of it, the store knows
            raise
        self._committed(plan, commit)
        if outcome.tape is not None:
            outcome.tape.keep()
        return TurnReply(commit.session, commit.turns[-1])

    def _committed(self, plan: Plan, commit: TurnCommit) -> None:
        """Brings what is in memory up to what is stored."""
        name = plan.intake.name
        if plan.new_user and plan.user is not None:
            self._users.created(plan.user)
        live = self._cache.get(name)
        added = commit.turns[len(plan.copied) :]
        plan.branch.extend(added, plan.tokens + usage.of_texts((commit.turns[-1].reply,)))
        if live is not None and live.branch is plan.branch:
            live.record, live.undelivered = commit.session, False
            self._cache.grew(name, live, added)
        else:
            self._cache.put(name, Live(commit.session, plan.branch, undelivered=False))


def begun(session: SessionRecord, completion_id: str) -> Begun:
    """How a streamed reply begins."""
    return Begun(session.session_id, session.chat_id, completion_id, session.agent, datetime.now(UTC))


def time_left(intake: Intake, arrived: int) -> float | None:
    """Of the caller's patience, in seconds; None: it named none."""
    timeout = intake.request.timeout
    return None if timeout is None else max(timeout - (perf_counter_ns() - arrived) / 1e9, 0)


def given_again(reply: TurnReply) -> TurnReply:
    """The reply as another request gets it."""
    return reply if reply.replayed else TurnReply(reply.session, reply.turn, replayed=True)


def check_same(found: tuple[SessionRecord, TurnRecord], intake: Intake) -> None:
    """Attempt ids are their callers' own, and two callers may hit upon one. Raises `IdempotencyMismatch`."""
    session, turn = found
    request = intake.request
    elsewhere = session.namespace != request.principal.namespace or request.session_id not in ("", session.session_id)
    if elsewhere or turn.request_hash != intake.request_hash:
        raise IdempotencyMismatch("this attempt id was used for another request", field="attempt_id")
