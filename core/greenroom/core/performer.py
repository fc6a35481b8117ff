"""Lets an agent reply, within bounds, and keeps the evidence when it fails."""

import hashlib
import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from time import perf_counter_ns

import msgspec

from greenroom.core import usage
from greenroom.core.agent import AgentUnavailable, ConversationTooLong, Reply, produce
from greenroom.core.bounded import Overrun, bounded
from greenroom.core.cassettes.own_ids import ids_given
from greenroom.core.conversation import conversation_of, is_stored
from greenroom.core.errors import (
    AgentDown,
    AgentFailed,
    ContextExceeded,
    GreenroomError,
    LimitExceeded,
    NotRecorded,
    SessionFull,
    TurnTimeout,
)
from greenroom.core.parts import Parts
from greenroom.core.plain import size_of, to_json, well_formed
from greenroom.core.plan import Outcome, Plan, set_scene
from greenroom.core.recall import Recall
from greenroom.core.records import FailedTurn, Message, ToolCallRecord
from greenroom.core.request import TurnRequest
from greenroom.core.served import Served
from greenroom.core.tracing import AgentSpan
from greenroom.core.transcript import spoken
from greenroom.core.turn import Scene, Turn

_log = logging.getLogger(__name__)


class Performer:
    """Runs the agent of planned turns. Nothing of a turn is in its session when this is done, or fails."""

    def __init__(self, parts: Parts) -> None:
        self._agents = parts.agents
        self._store = parts.store
        self._limits = parts.limits
        self._evaluation = parts.evaluation
        self._tracer = parts.tracer
        self._recall = Recall(parts.store, parts.limits)

    async def perform(self, plan: Plan, arrived: int) -> Outcome:
        """What the turn came to. Raises a `GreenroomError`; the attempt is then kept as evidence. `arrived`: when its
        request did, by `perf_counter_ns`."""
        served = self._agents.of(plan.session.agent)
        if served.places is None:
            return await self._perform(served, plan, arrived)
        request = plan.intake.request
        key_name, patience = request.principal.key_name, None
        if request.timeout is not None:
            patience = max(request.timeout - (perf_counter_ns() - arrived) / 1e9, 0)
        await served.places.enter(key_name, patience)
        try:
            return await self._perform(served, plan, arrived)
        finally:
            served.places.leave(key_name)

    async def _perform(self, served: Served, plan: Plan, arrived: int) -> Outcome:
        limits, request = self._limits, plan.intake.request
        scenario = await served.scenario_of(plan.start, self._store)
        memory = await self._recall.of(plan) if served.remembers(scenario) and plan.session.user_id else None
        deck, tape = self._agents.deck, None
        if deck.rule_of(scenario) is not None:
            tape = await deck.tape(
                served.agent,
                scenario,
                plan.depth + 1,
                plan.session,
                said=_said(plan),
                again=plan.number - 1 - plan.depth,
                given=_given(plan),
            )
        waited = perf_counter_ns() - arrived
        time_left = limits.turn_timeout
        if request.timeout is not None:
            time_left = min(time_left, request.timeout - waited / 1e9)
        scene = set_scene(plan, served.agent, scenario, time_left, memory, tape)
        span = self._span(served, scene, request)
        turn = Turn(scene, served.backstage, request.feed, request.traceparent, span)
        try:
            reply = await bounded(produce(served.agent, turn, served.executor), time_left)
            outcome = self._outcome(plan, turn, reply, scenario.instructions, waited)
            if span is not None:
                span.replied(outcome.prompt_tokens, outcome.completion_tokens)
        except Overrun:
            late = TurnTimeout(f"the turn took longer than {time_left:g} s")
            raise await self._failed(plan, turn, late, None) from None
        except (LimitExceeded, NotRecorded, SessionFull) as error:
            raise await self._failed(plan, turn, error, error) from None
        except AgentUnavailable as error:
            _log.warning("the agent is not available: session %s: %s", plan.session.session_id, error)
            raise await self._failed(plan, turn, AgentDown(error.retry_after), error) from None
        except ConversationTooLong as error:
            _log.warning("the conversation is too long: session %s: %s", plan.session.session_id, error)
            raise await self._failed(plan, turn, ContextExceeded(), error) from None
        except Exception as error:  # the agent is the author's: its text stays in the log
            if (refused := turn.toolbox.refused) is not None:  # what came of it in the agent says nothing more
                raise await self._failed(plan, turn, refused, refused) from None
            _log.exception("agent failed: session %s, request %s", plan.session.session_id, request.request_id)
            raise await self._failed(plan, turn, AgentFailed(), error) from None
        finally:
            turn.end()
        if outcome.ran_us > limits.slow_turn * 1e6:
            seconds = outcome.ran_us / 1e6
            _log.warning("slow turn: %.1f s, session %s, request %s", seconds, scene.session_id, request.request_id)
        return outcome

    def _outcome(self, plan: Plan, turn: Turn, reply: Reply, scenario_instructions: str, waited: int) -> Outcome:
        """What the turn came to, checked. `waited`: nanoseconds. Raises `LimitExceeded`, `SessionFull` or `WorldError`."""
        turn.toolbox.end()
        if turn.toolbox.refused is not None:
            raise turn.toolbox.refused
        limits, calls = self._limits, turn.toolbox.records
        tape, told = turn.scene.tape, reply.metadata
        if tape is not None:
            told = {**(told or {}), "cassette": {"replayed": tape.replayed, "recorded": tape.recorded}}
        metadata = to_json(told, "the reply's metadata") if told else "{}"
        evaluation = self._evaluation.of(calls, plan.depth + 1, reply.evaluation)
        state, used, remembers = turn.state_after(), reply.usage, turn.scene.memory is not None
        check_reply(limits.reply_bytes, reply.text, evaluation + metadata, calls)
        if size_of(state) > limits.reply_bytes:
            raise LimitExceeded(f"turn.state may be {limits.reply_bytes} bytes of JSON at most")
        outcome = Outcome(
            text=reply.text,
            confidence=reply.confidence,
            evaluation_json=evaluation,
            metadata_json=metadata,
            tool_calls=calls,
            state_json=state,
            memory_json=turn.notes_after(reply.text) if remembers else _noted(plan),
            changes=turn.world_turn.changes(),
            seen_json=seen_json(
                turn.scene, [*turn.guidance, scenario_instructions], turn.seen_of_memory() if remembers else ""
            ),
            prompt_tokens=prompt_tokens(plan, turn.scene) if used is None else used.prompt_tokens,
            completion_tokens=usage.of_reply(reply.text) if used is None else used.completion_tokens,
            waited_us=waited // 1000,
            ran_us=(perf_counter_ns() - turn.started_ns) // 1000,
            tape=tape,
        )
        self._check_room(plan, outcome)
        return outcome

    def _span(self, served: Served, scene: Scene, request: TurnRequest) -> AgentSpan | None:
        if self._tracer is None:
            return None
        whose = (served.id, served.agent.name, scene.session_id, scene.number)
        return self._tracer.agent(*whose, request.request_id, request.traceparent)

    def _check_room(self, plan: Plan, outcome: Outcome) -> None:
        limit = self._limits.session_world_bytes
        if plan.session.changed_bytes + outcome.changed_bytes > limit:
            raise SessionFull(f"a session holds {limit} bytes of world changes at most", field="session_id")

    async def _failed(self, plan: Plan, turn: Turn, error: GreenroomError, cause: Exception | None) -> GreenroomError:
        """Keeps the evidence beside the session, and gives back what to raise."""
        if turn.span is not None:
            turn.span.failed(type(cause).__name__ if isinstance(error, AgentFailed) else error.reason.lower())
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


def prompt_tokens(plan: Plan, scene: Scene) -> int:
    """Those of all that the agent saw (docs/usage.md)."""
    system = usage.of_texts(scene.context) + (usage.of_texts((scene.instructions,)) if scene.instructions else 0)
    if scene.carried:
        return system + usage.of_exchanges(scene.carried) + usage.of_messages(spoken(scene.input))
    return system + plan.tokens


def _said(plan: Plan) -> str:
    """A hash of what the users have said up to now."""
    said = plan.said.encode(errors="replace")
    return hashlib.blake2b(said, key=plan.users_hash[:64], digest_size=8).hexdigest()


def _given(plan: Plan) -> frozenset[str]:
    """Ids that users and system texts have brought."""
    carried = plan.intake.carried
    said = [(_contents(one.messages), one.reply) for one in carried.past]
    said = said or [(_contents(turn.messages), turn.reply) for turn in plan.branch.path]
    return ids_given([*said, ([*_contents(carried.input), *plan.context], "")])


def _contents(messages: Sequence[Message]) -> list[str]:
    return [message.content or "" for message in messages]


def _noted(plan: Plan) -> str:
    """What the path had noted before memory was switched off."""
    last = plan.branch.last
    return last.memory_json if last is not None else ""


def seen_json(scene: Scene, further: Sequence[str], memory: str = "") -> str:
    """What the agent saw beside the stored conversation and the context: see `TurnRecord.seen_json`. `further`: instructions
    beside the agent's own."""
    parts = []
    instructions = [text for text in (scene.instructions, *further) if text]
    if instructions:
        parts.append(f'"instructions":{to_json(instructions)}')
    profile, metadata = scene.user_profile_json, scene.user_metadata_json
    if profile != "{}" or metadata != "{}":
        parts.append(f'"user":{{"profile":{profile},"metadata":{metadata}}}')
    if scene.carried and not is_stored(scene.carried, scene.past):
        seen = conversation_of(scene.carried, scene.past, scene.input)
        parts.append(f'"messages":{msgspec.json.encode(seen).decode()}')
    if memory:
        parts.append(f'"memory":{memory}')
    return f"{{{','.join(parts)}}}"


def check_reply(limit: int, text: str, evaluation: str, calls: tuple[ToolCallRecord, ...]) -> None:
    """Raises `LimitExceeded` for a reply that is too large with its tool calls, as it goes out (SEC-08)."""
    size = size_of(text) + size_of(evaluation)
    for call in calls:
        size += size_of(call.arguments_json) + size_of(call.result_json)
    if size > limit:
        raise LimitExceeded(f"a reply with its tool calls may be {limit} bytes at most")
