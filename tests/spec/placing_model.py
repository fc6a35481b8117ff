"""The right answer to a chat request, from the contract alone: CHAT-06, CHAT-07, CHAT-11..15, CHAT-18, SESSION-02, SESSION-03.

Brute force on purpose: whole paths are compared, text by text. Nothing in here knows how the product goes about it.
"""

import copy
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

from placing_agent import OPENING, Page, Sight, Wire, performed, title_page, wired
from placing_doors import Answer, Call, Message, Refusal, Request, assistant


class Feature(Enum):
    """What the contract asks for and the product may not have yet."""

    HISTORY_WITHOUT_ID = "a carried history finds its session without an id (CHAT-14)"
    EXACT_WITHOUT_ID = "and only word for word: white space counts there (CHAT-14)"
    RETRY_COUNT = "x-stainless-retry-count finds what was committed for a lower count (CHAT-15)"
    FORK = "a session is opened from a turn of another one (SESSION-03)"
    FORK_AND_RETRY_OVER_HTTP = "POST /v1/sessions {from}, and the header x-stainless-retry-count"
    ANY_BRANCH = "a branch is found however many others have the same user texts (CHAT-13)"
    STREAMED_REPLAY_IS_MARKED = "a reply that is streamed again says so (CHAT-15)"
    CARRIED_IS_SEEN = "an agent sees the carried texts, not the stored ones (CHAT-12)"


BUILT: frozenset[Feature] = frozenset(
    {
        Feature.HISTORY_WITHOUT_ID,
        Feature.RETRY_COUNT,
        Feature.FORK,
        Feature.ANY_BRANCH,
        Feature.CARRIED_IS_SEEN,
        Feature.FORK_AND_RETRY_OVER_HTTP,
        Feature.STREAMED_REPLAY_IS_MARKED,
    }
)
"""The one place that says what the product has. What is not in here is not asked of it."""


@dataclass(frozen=True)
class Exchange:
    """What a user said, several messages in a row perhaps, and what was answered. No user text: a lone reply."""

    users: tuple[str, ...]
    reply: str
    answers: tuple[Message, ...] = field(default=(), compare=False)
    """All that a client carries between: texts, tool calls, results."""


@dataclass(frozen=True)
class Carried:
    """A request's messages, told apart."""

    context: tuple[str, ...]
    past: tuple[Exchange, ...]
    said: tuple[str, ...]


@dataclass
class Turn:
    """A turn as it must be stored."""

    number: int
    parent: int
    users: tuple[str, ...]
    reply: str
    history: str
    page: Page
    """State and world after it."""
    adopted: bool = False
    calls: tuple[Call, ...] = ()
    context: tuple[str, ...] = ()


@dataclass
class Session:
    """A tree of turns. The newest turn is where the session stands."""

    session_id: str
    user_id: str = ""
    chat_id: str = ""
    named: bool = True
    """Whether a client chose its id."""
    transcript_mode: bool = False
    turns: list[Turn] = field(default_factory=list)

    @property
    def head(self) -> int:
        return self.turns[-1].number if self.turns else 0

    def path(self, number: int) -> list[Turn]:
        """The turns from the start to this one."""
        path = []
        while number:
            path.append(self.turns[number - 1])
            number = path[-1].parent
        return path[::-1]

    def page(self, number: int) -> Page:
        return copy.deepcopy(self.turns[number - 1].page) if number else title_page()

    def children(self, number: int) -> list[Turn]:
        return [turn for turn in self.turns if turn.parent == number]


@dataclass(frozen=True)
class Placement:
    """After which turn a request stands, and which exchanges are to be adopted between."""

    history: str
    after: int
    adopt: tuple[Exchange, ...] = ()


def folded(text: str) -> str:
    return " ".join(text.split())


def told_apart(messages: Sequence[Message]) -> Carried:
    """CHAT-12: what stands before the last reply is past; system and developer texts are context wherever they stand."""
    context = tuple(m["content"] for m in messages if m["role"] in ("system", "developer"))
    spoken = [m for m in messages if m["role"] in ("user", "assistant", "tool")]
    past: list[Exchange] = []
    users: tuple[str, ...] = ()
    for asks, group in itertools.groupby(spoken, key=lambda m: m["role"] == "user"):
        told = tuple(group)
        if asks:
            users = tuple(m["content"] for m in told)
        else:
            texts = [m["content"] for m in told if m["role"] == "assistant" and m["content"] is not None]
            past.append(Exchange(users, "\n".join(texts), told))
            users = ()
    return Carried(context, tuple(past), users)


def recognisable(users: Sequence[str], reply: str) -> tuple[str, str]:
    """By what an exchange is known: its user texts, or the text of a lone reply; white space folded."""
    return ("user", folded(" ".join(users))) if users else ("lone", folded(reply))


def word_for_word(users: Sequence[str], reply: str) -> tuple[Any, ...]:
    """What must be equal for a conversation to be found without a session id."""
    if Feature.EXACT_WITHOUT_ID in BUILT:
        return tuple(users), reply
    return recognisable(users, reply), folded(reply)


def placed(session: Session, carried: Carried) -> Placement:
    """CHAT-12 and CHAT-13."""
    past = carried.past
    if not past:
        if not session.turns:
            return Placement("new", 0)
        return Placement("started_over", 0) if session.transcript_mode else Placement("next", session.head)
    for length in range(len(past), 0, -1):
        known = best_branch(session, past[:length])
        if known and length == len(past):
            return Placement("continued" if known == session.head else "went_back", known)
        if length == len(past) and ends_newest(session, past):
            return Placement("continued", session.head)
        if known:
            return Placement("adopted", known, past[length:])
    return Placement("adopted", 0, past)


def best_branch(session: Session, past: Sequence[Exchange]) -> int:
    """The turn whose whole path says this: the branch whose replies match, then the current one, then the newest; 0: none."""
    current = {turn.number for turn in session.path(session.head)}
    found = []
    for turn in session.turns:
        path = session.path(turn.number)
        if [recognisable(t.users, t.reply) for t in path] == [recognisable(e.users, e.reply) for e in past]:
            replies_match = [folded(t.reply) for t in path] == [folded(e.reply) for e in past]
            found.append((replies_match, turn.number in current, turn.number))
    return max(found)[-1] if found else 0


def ends_newest(session: Session, past: Sequence[Exchange]) -> bool:
    """Whether this is the last part of the current path; it may begin with a reply whose question was cut off."""
    path = session.path(session.head)
    if len(past) > len(path):
        return False
    return all(
        recognisable(t.users, t.reply) == recognisable(e.users, e.reply)
        if e.users
        else folded(t.reply) == folded(e.reply)
        for t, e in zip(path[-len(past) :], past, strict=True)
    )


@dataclass
class Fresh:
    """A turn that must run: what it must come to."""

    session: Session
    adopted: list[Turn]
    turn: Turn
    sight: Sight
    transcript_mode: bool
    user_id: str
    fails: bool


@dataclass(frozen=True)
class Stored:
    """A reply that must be the one that was given before."""

    answer: Answer
    marked: bool
    """Whether it must say so (`Idempotency-Replayed`)."""


Due = Fresh | Stored | Refusal


class RightAnswer:
    """All sessions of a sandbox, as they must be. `due` says what a request must come to, `settle` compares and remembers."""

    def __init__(self) -> None:
        self.sessions: dict[str, Session] = {}
        self.failures: dict[str, int] = {}
        """Failed attempts by session id; those of a session that was never opened wait for it."""
        self._keys: dict[tuple[str, str], tuple[Request, Answer]] = {}
        self._sent: dict[str, list[tuple[Request, Answer | None]]] = {}
        """What ran in a session, in order; no answer: it failed."""

    def due(self, request: Request) -> Due:
        """What must become of a request, should it be sent now."""
        session = self.sessions.get(request.session_id) or Session(request.session_id, named=bool(request.session_id))
        earlier = self._earlier(request)
        if earlier is not None:
            return earlier
        if request.user_id and session.user_id not in ("", request.user_id):
            return Refusal(409)
        carried = told_apart(request.messages)
        if not request.session_id and carried.past and Feature.HISTORY_WITHOUT_ID in BUILT:
            session = self._found_without_id(request) or session
        return self._fresh(session, request, carried)

    def settle(self, request: Request, due: Due, got: Answer | Refusal) -> None:
        """Holds what came against what was due."""
        if isinstance(due, Stored):
            assert isinstance(got, Answer), got
            assert replace(got, replayed=due.answer.replayed, message=due.answer.message) == due.answer
            assert got.replayed == due.marked or not due.marked
        elif isinstance(due, Refusal) or due.fails:
            assert got == (due if isinstance(due, Refusal) else Refusal(500)), got
            if isinstance(due, Fresh) and request.session_id:
                self._sent.setdefault(request.session_id, []).append((request, None))
                self.failures[request.session_id] = self.failures.get(request.session_id, 0) + 1
        else:
            assert isinstance(got, Answer), got
            self._commit(request, due, got)

    def _fresh(self, session: Session, request: Request, carried: Carried) -> Fresh:
        where = placed(session, carried)
        page, parent, number = session.page(where.after), where.after, len(session.turns) + 1
        adopted = []
        for exchange in where.adopt:
            turn = Turn(number, parent, exchange.users, exchange.reply, "adopted", copy.deepcopy(page), adopted=True)
            adopted.append(turn)
            parent, number = number, number + 1
        context = carried.context
        if not context and not carried.past and not session.transcript_mode and session.turns:
            context = session.turns[-1].context
        user_id = session.user_id or request.user_id
        sight = Sight(self._seen(session, where, carried), context, copy.deepcopy(page))
        done = performed("\n".join(carried.said) if carried.said else OPENING, user_id, number, page)
        turn = Turn(number, parent, carried.said, done.reply, where.history, done.page, False, done.calls, context)
        return Fresh(
            session=session,
            adopted=adopted,
            turn=turn,
            sight=sight,
            transcript_mode=session.transcript_mode or bool(carried.past),
            user_id=user_id,
            fails=bool(request.metadata.get("fails")),
        )

    def _seen(self, session: Session, where: Placement, carried: Carried) -> list[Wire]:
        """CHAT-12: the carried transcript, completed with the stored tool calls of the turns that are recognised."""
        stored = session.path(where.after)
        seen: list[Wire] = []
        if carried.past and Feature.CARRIED_IS_SEEN in BUILT:
            known = len(carried.past) - len(where.adopt)
            for exchange, turn in zip(carried.past[:known], stored[len(stored) - known :], strict=True):
                seen += self._seen_turn(exchange.users, turn, exchange.answers)
            for exchange in where.adopt:
                seen += [*(("user", text, ()) for text in exchange.users), *map(wired, exchange.answers)]
        else:
            for turn in stored:
                seen += self._seen_turn(turn.users, turn, (assistant(turn.reply),))
            for exchange in where.adopt:
                seen += [*(("user", text, ()) for text in exchange.users), ("assistant", exchange.reply, ())]
        return seen + [("user", text, ()) for text in carried.said]

    def _seen_turn(self, users: Sequence[str], turn: Turn, answers: Sequence[Message]) -> Iterator[Wire]:
        """One that is recognised: its own tool calls stand between what was said and what is carried as its reply."""
        yield from (("user", text, ()) for text in users)
        if turn.calls:
            yield ("assistant", None, tuple((c.id, c.name, c.arguments) for c in turn.calls))
            yield from (("tool", json.dumps(c.result, sort_keys=True), ((c.id, "", ""),)) for c in turn.calls)
            answers = [
                assistant(m["content"]) for m in answers if m["role"] == "assistant" and m["content"] is not None
            ]
        yield from map(wired, answers)

    def _earlier(self, request: Request) -> Due | None:
        """CHAT-15: what was answered before, under the same key or for a lower count."""
        if request.key:
            found = self._keys.get((request.session_id, request.key))
            if found is not None:
                same = body_of(found[0]) == body_of(request)
                return Stored(found[1], marked=True) if same else Refusal(409)
        if request.retry and Feature.RETRY_COUNT in BUILT:
            for sent, answer in reversed(self._sent.get(request.session_id, [])):
                if body_of(sent) == body_of(request):  # what became of it when it was last sent decides
                    repeats = answer is not None and sent.retry < request.retry
                    return Stored(answer, marked=False) if answer is not None and repeats else None
        return None

    def _found_without_id(self, request: Request) -> Session | None:
        """CHAT-14: the session opened without id that has exactly this path, at its end or forked from within. Where several
        have it that differ in what came with their turns, it is the one that always came with what the request brings."""
        carried = told_apart(request.messages)
        past = [word_for_word(one.users, one.reply) for one in carried.past]
        exact = [
            (turn.number == session.head, number, session, turn.number)
            for number, session in enumerate(self.sessions.values())
            if not session.named and session.user_id == request.user_id
            for turn in session.turns
            if [word_for_word(one.users, one.reply) for one in session.path(turn.number)] == past
        ]
        if len({self._context_of(session, turn) for _, _, session, turn in exact}) > 1:
            own = (tuple(carried.context),) * len(past)
            exact = [one for one in exact if self._context_of(*one[2:]) == own]
        if not exact:
            return None
        at_end, _, session, turn_number = max(exact, key=lambda one: one[:2])
        return session if at_end else forked(session, turn_number, "")

    def _context_of(self, session: Session, number: int) -> tuple[tuple[str, ...], ...]:
        """What came with each turn of a path beside its words."""
        return tuple(tuple(turn.context) for turn in session.path(number))

    def _commit(self, request: Request, due: Fresh, got: Answer) -> None:
        session, turn = due.session, due.turn
        assert (got.text, got.turn, got.history) == (turn.reply, turn.number, turn.history)
        assert [(c.name, json.loads(c.arguments), c.result) for c in got.calls] == [
            (c.name, json.loads(c.arguments), c.result) for c in turn.calls
        ]
        known = {call.id for one in session.turns for call in one.calls}
        ids = [call.id for call in got.calls]
        assert len(set(ids)) == len(ids)
        assert known.isdisjoint(ids)
        if session.session_id:
            assert got.session_id == session.session_id  # echoed (CHAT-06)
        else:
            assert got.session_id not in self.sessions
            session.session_id = got.session_id
        if session.chat_id:
            assert got.chat_id == session.chat_id
        else:
            assert got.chat_id not in {other.chat_id for other in self.sessions.values()}
            session.chat_id = got.chat_id
        turn.calls = got.calls
        session.turns += [*due.adopted, turn]
        session.transcript_mode, session.user_id = due.transcript_mode, due.user_id
        self.sessions[session.session_id] = session
        if request.key:
            self._keys[request.session_id, request.key] = (request, got)
        self._sent.setdefault(request.session_id, []).append((request, got))

    def forget(self, session_id: str) -> None:
        """The session was deleted, with all that was known of it."""
        del self.sessions[session_id]
        self.failures.pop(session_id, None)
        self._sent.pop(session_id, None)
        self._keys = {name: kept for name, kept in self._keys.items() if kept[1].session_id != session_id}


def body_of(request: Request) -> tuple[Any, ...]:
    """What makes two requests one; under a key all of the body does."""
    return request.messages, request.user_id, request.key, dict(request.metadata) if request.key else {}


def forked(session: Session, number: int, session_id: str) -> Session:
    """SESSION-03: a new session whose past, state and world are those after that turn."""
    path = session.path(number)
    turns = [replace(turn, number=i, parent=i - 1) for i, turn in enumerate(copy.deepcopy(path), 1)]
    return Session(session_id, session.user_id, named=bool(session_id), turns=turns)


def changed_records(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[dict[str, Any]]:
    """SESSION-02: record by record, what differs between two worlds."""
    changes = []
    for collection in sorted({*before, *after}):
        old, new = before.get(collection, {}), after.get(collection, {})
        for key in sorted({*old, *new}):
            if old.get(key) != new.get(key):
                sides = {"before": old.get(key), "after": new.get(key)}
                shown = {side: value for side, value in sides.items() if value is not None}
                changes.append({"collection": collection, "key": key, **shown})
    return changes
