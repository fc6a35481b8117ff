"""What is settled before an agent runs, and the records that come of its turn."""

import itertools
import json
import secrets
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from greenroom.core import usage
from greenroom.core.agent import Agent
from greenroom.core.branch import Branch, Live
from greenroom.core.cassettes.tape import Tape
from greenroom.core.chance import turn_seed
from greenroom.core.forks import traces
from greenroom.core.intake import Intake, asked_scenario
from greenroom.core.overlay import Base
from greenroom.core.plain import to_json
from greenroom.core.records import (
    Change,
    History,
    SessionRecord,
    Start,
    ToolCallRecord,
    TurnCommit,
    TurnRecord,
    UserRecord,
)
from greenroom.core.request import Principal
from greenroom.core.scenario import Scenario
from greenroom.core.transcript import Carried, Exchange, Placed, Placement, hashes_after, user_key
from greenroom.core.turn import Scene
from greenroom.core.user_memory import Recollection
from greenroom.core.world import WorldTurn


class Plan(msgspec.Struct):
    """A turn that may run: whose, in which session, after which turn, in which world. Made by `plan_turn`."""

    intake: Intake
    session: SessionRecord
    known: bool
    """Whether the session is stored already."""
    placement: Placement
    branch: Branch
    user: UserRecord | None
    new_user: bool
    copied: tuple[TurnRecord, ...]
    """The turns that a session begins with that is forked now: already in `branch`, not yet stored."""
    adopted: tuple[TurnRecord, ...]
    """Carried turns that were never here: to be stored with the turn."""
    number: int
    parent: int
    users_hash: bytes
    path_hash: bytes
    """Both hashes of the path the turn stands on."""
    depth: int
    """How many turns stand before it on its path."""
    start: Start
    """From where its path begins."""
    context: tuple[str, ...]
    """The system texts that hold for the turn (CHAT-11)."""
    said: str
    """What the turn is recognised by, when it is not the agent that opens."""
    tokens: int
    """Those of the path up to and with what the user just said, system texts left out."""
    superseded: TurnRecord | None = None
    """Where a session starts over: the first turn of the path that it leaves."""

    @property
    def recognised(self) -> Sequence[TurnRecord | None]:
        """The path's turns; where the request carries history, the turn of each carried exchange, None for one that was
        never here."""
        path, carried = self.branch.path, self.intake.carried.past
        if not carried:
            return path
        if self.placement.placed is Placed.WINDOW:
            return path[len(path) - len(carried) :]
        return [*path, *[None] * (len(carried) - len(path))]


def plan_turn(
    intake: Intake,
    here: Live,
    placement: Placement,
    user: UserRecord | None,
    *,
    known: bool,
    new_user: bool,
    copied: tuple[TurnRecord, ...] = (),
) -> Plan:
    """Numbers, hashes and context of the turn that is to run at the end of the branch `here`."""
    session, branch = here.record, here.branch
    start = branch.start or session.start
    adopted: tuple[TurnRecord, ...] = ()
    parent, (users_hash, path_hash) = placement.parent, branch.hashes
    if placement.adopt:
        adopted = adopt(placement.adopt, session, branch, parent)
        parent, users_hash, path_hash = adopted[-1].number, adopted[-1].users_hash, adopted[-1].path_hash
    carried = intake.carried
    return Plan(
        intake=intake,
        session=session,
        known=known,
        placement=placement,
        branch=branch,
        user=user,
        new_user=new_user,
        copied=copied,
        adopted=adopted,
        number=session.turn_count + len(adopted) + 1,
        parent=parent,
        users_hash=users_hash,
        path_hash=path_hash,
        depth=len(branch.path) + len(adopted),
        start=start,
        context=context_of(carried, session, branch),
        said=user_key(carried.input, ""),
        tokens=branch.tokens + usage.of_turns(adopted) + usage.of_messages(carried.input),
    )


def context_of(carried: Carried, session: SessionRecord, branch: Branch) -> tuple[str, ...]:
    """The request's own system texts, or those that hold from earlier: only for a client that sends what is new."""
    if carried.context or carried.has_history or session.transcript_mode or branch.last is None:
        return carried.context
    if branch.last.context_json == "[]":
        return ()
    texts: list[str] = json.loads(branch.last.context_json)
    return tuple(texts)


class Outcome(msgspec.Struct, frozen=True, gc=False):
    """What an agent's turn came to, ready to be stored. Times in microseconds."""

    text: str
    confidence: float | None
    evaluation_json: str
    metadata_json: str
    tool_calls: tuple[ToolCallRecord, ...]
    state_json: str
    memory_json: str
    changes: tuple[Change, ...]
    seen_json: str
    prompt_tokens: int
    completion_tokens: int
    waited_us: int
    ran_us: int
    tape: Tape | None = None
    """What it has recorded, to be kept once it is committed."""

    @property
    def changed_bytes(self) -> int:
        return sum([len(change.before or "") + len(change.after or "") for change in self.changes])


class Opening(msgspec.Struct, frozen=True, gc=False):
    """What a caller says of the session that it opens. `minted`: the id is ours, not the caller's."""

    principal: Principal
    session_id: str
    minted: bool
    user_id: str
    metadata_json: str


def new_session(opening: Opening, agent_id: str, start: Start) -> SessionRecord:
    """A session that is not stored yet."""
    now = datetime.now(UTC)
    return SessionRecord(
        key=new_key(),
        namespace=opening.principal.namespace,
        session_id=opening.session_id,
        chat_id="chat_" + secrets.token_hex(12),
        user_id=opening.user_id,
        agent=agent_id,
        minted=opening.minted,
        opened_by=opening.principal.key_name,
        metadata_json=opening.metadata_json or "{}",
        start=start,
        created_at=now,
        updated_at=now,
    )


class CompletionIds:
    """Unique without asking the system for chance each time: this core's share of it, and a number."""

    def __init__(self) -> None:
        self._start = "chatcmpl-" + secrets.token_hex(8)
        self._numbers = itertools.count(1)

    def new(self) -> str:
        return f"{self._start}{next(self._numbers):012x}"


def new_key() -> int:
    """63 bits, growing with time: milliseconds, then chance."""
    return (int(time.time() * 1000) << 20) | secrets.randbits(20)


def scenario_of_user(user: UserRecord | None) -> str:
    """The scenario that a user's metadata asks for; "" when none (USER-06)."""
    if user is None or '"scenario_id"' not in user.metadata_json:
        return ""
    return asked_scenario(json.loads(user.metadata_json))


_NO_INPUTS = ("{}", "{}", "[]")


def adopt(exchanges: Sequence[Exchange], session: SessionRecord, branch: Branch, parent: int) -> tuple[TurnRecord, ...]:
    """Carried turns that were never seen here, as records without effects; the agent's state passes through them."""
    turns: list[TurnRecord] = []
    users, path = branch.hashes
    start = branch.start or session.start
    state, memory = (branch.last.state_json, branch.last.memory_json) if branch.last else ("{}", "")
    number = session.turn_count
    now = datetime.now(UTC)
    for exchange in exchanges:
        users, path = hashes_after(users, path, exchange.key, exchange.reply)
        number += 1
        conversation, inputs_hash = traces(session, turns[-1] if turns else branch.last, path, _NO_INPUTS)
        turns.append(
            TurnRecord(
                number=number,
                parent=turns[-1].number if turns else parent,
                adopted=True,
                attempt_id=secrets.token_hex(16),
                users_hash=users,
                path_hash=path,
                conversation_hash=conversation,
                inputs_hash=inputs_hash,
                scenario=start.scenario,
                start=None if parent or turns else start,
                messages=exchange.messages,
                reply=exchange.reply,
                history=History.ADOPTED,
                state_json=state,
                memory_json=memory,
                created_at=now,
            )
        )
    return tuple(turns)


def set_scene(
    plan: Plan,
    agent: Agent,
    scenario: Scenario,
    time_left: float,
    memory: Recollection | None = None,
    tape: Tape | None = None,
) -> Scene:
    """What the agent gets to see and to hold."""
    request, session, user, last = plan.intake.request, plan.session, plan.user, plan.branch.last
    seed = turn_seed(scenario.id, session.session_id, plan.path_hash, plan.said)
    if plan.intake.key_source is None:
        # every attempt to open a session mints another chat id
        plan.intake.key_source = (session.chat_id if plan.known else f"/{session.namespace}", seed)
    return Scene(
        session_id=session.session_id,
        chat_id=session.chat_id,
        number=plan.number,
        input=plan.intake.carried.input,
        past=plan.recognised,
        carried=plan.intake.carried.past,
        context=(scenario.instructions, *plan.context) if scenario.instructions else plan.context,
        instructions=agent.instructions,
        user_id=session.user_id,
        user_metadata_json=laid_over(user.metadata_json if user else "{}", scenario.metadata),
        user_profile_json=laid_over(user.profile_json if user else "{}", scenario.profile),
        metadata_json=request.metadata_json or "{}",
        options_json=request.options_json or "{}",
        state_json=last.state_json if last else "{}",
        seed=seed,
        key_source=plan.intake.key_source,
        clock=scenario.clock.after(plan.depth),
        world=WorldTurn(Base(scenario.seed, plan.branch.overlay)),
        time_left=time_left,
        request_id=request.request_id,
        script=scenario.script(plan.depth + 1, plan.branch.calls),
        memory=memory,
        tape=tape,
    )


def laid_over(own_json: str, defaults: Mapping[str, Any]) -> str:
    """A JSON object laid over a scenario's defaults, top-level key by key."""
    return to_json({**defaults, **json.loads(own_json)}) if defaults else own_json


def build_commit(plan: Plan, outcome: Outcome, completion_id: str, duration_us: int) -> TurnCommit:
    """The one atomic write of a turn."""
    session, turn = plan.session, _turn_record(plan, outcome, completion_id, duration_us)
    after = msgspec.structs.replace(
        session,
        version=session.version + 1,
        start=plan.start,
        head=turn.number,
        turn_count=turn.number,
        transcript_mode=session.transcript_mode or plan.intake.carried.has_history,
        changed_bytes=session.changed_bytes + outcome.changed_bytes,
        updated_at=turn.created_at,
    )
    return TurnCommit(
        session=after,
        expected_version=session.version if plan.known else None,
        turns=(*plan.copied, *plan.adopted, turn),
        snapshot=plan.branch.snapshot() if plan.branch.wants_snapshot() else None,
        new_user=plan.user if plan.new_user else None,
        user_must_exist=not plan.known and plan.user is not None and not plan.new_user,
    )


def _turn_record(plan: Plan, outcome: Outcome, completion_id: str, duration_us: int) -> TurnRecord:
    intake, session = plan.intake, plan.session
    now = datetime.now(UTC)
    carried = intake.carried
    key = plan.said if carried.input else user_key((), outcome.text)
    users_hash, path_hash = hashes_after(plan.users_hash, plan.path_hash, key, outcome.text)
    request = intake.request
    metadata, options = request.metadata_json or "{}", request.options_json or "{}"
    context = to_json(plan.context) if plan.context else "[]"
    before = plan.adopted[-1] if plan.adopted else plan.branch.last
    conversation, inputs_hash = traces(session, before, path_hash, (metadata, options, context))
    return TurnRecord(
        number=plan.number,
        parent=plan.parent,
        attempt_id=intake.attempt_id,
        idempotency_key=intake.idempotency_key,
        request_hash=intake.request_hash,
        retry_count=request.retry_count,
        users_hash=users_hash,
        path_hash=path_hash,
        conversation_hash=conversation,
        inputs_hash=inputs_hash,
        scenario=plan.start.scenario,
        start=None if plan.parent else plan.start,
        completion_id=completion_id,
        request_id=request.request_id,
        messages=carried.input,
        context_json=context,
        metadata_json=metadata,
        options_json=options,
        reply=outcome.text,
        confidence=outcome.confidence,
        evaluation_json=outcome.evaluation_json,
        reply_metadata_json=outcome.metadata_json,
        history=plan.placement.history,
        placed=plan.placement.placed,
        seen_json=outcome.seen_json,
        scenario_applied=_scenario_applied(plan),
        prompt_tokens=outcome.prompt_tokens,
        completion_tokens=outcome.completion_tokens,
        state_json=outcome.state_json,
        memory_json=outcome.memory_json,
        changes=outcome.changes,
        tool_calls=outcome.tool_calls,
        created_at=now,
        duration_us=duration_us,
        waited_us=outcome.waited_us,
        ran_us=outcome.ran_us,
    )


def _scenario_applied(plan: Plan) -> bool | None:
    """False: the turn asks for another scenario in mid-session, which is reported and not obeyed (USER-06)."""
    asked = plan.intake.scenario_requested
    return False if asked and plan.branch.path and asked != plan.start.scenario.requested else None
