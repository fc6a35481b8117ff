"""Every kind of client, and a parallel twin of each, against the right answer (placing_model).

Two users make the same moves, each in sessions of their own, at once or one after the other, through any door. After each
move the reply, what the agent was shown and what it worked on are compared with what is due; turns and worlds are read back
in between and at the end.
"""

import asyncio
import hashlib
import itertools
import json
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from placing_agent import Diarist
from placing_clients import Manner, carried, system
from placing_doors import DOORS, Answer, Message, Refusal, Request, assistant, http, user
from placing_model import BUILT, Due, Feature, Fresh, RightAnswer, Session, Stored, Turn, changed_records, forked
from whole_sandbox import Sandbox

from greenroom.v1 import CreateSessionRequest, Origin

TEXTS = st.sampled_from(["yes", "no", "yes", "hush", "talk", "spill", "a  b", "a b", "ü\u0000"])
SAID = st.lists(TEXTS, min_size=1, max_size=2).map(tuple) | TEXTS.map(lambda text: (text,))
CONTEXT = st.sampled_from([(), (), ("be kind",), ("be brief", "a document")])
MANNERS = st.builds(
    Manner,
    st.sampled_from(["as it came", "text alone", "trimmed", "reworded", "in pieces", "opened up"]),
    st.booleans(),
)
WHICH = st.integers(0, 30)
"""One of several, counted round."""
DOOR = st.sampled_from([*DOORS])
WHO = st.sampled_from(["both at once", "both at once", "one after the other", "the first", "the second"])

LONG = 60
"""Turns of a session that is long enough."""


@dataclass
class Client:
    """One of the twins: its user, where it talks at present, and all that it remembers."""

    name: str
    session_id: str = ""
    named_user: bool = True
    carries: bool = True
    """Whether it ever sends history in this session."""
    kept: dict[tuple[str, int], Message] = field(default_factory=dict)
    under_keys: list[Request] = field(default_factory=list)
    failed: list[Request] = field(default_factory=list)


Ask = Callable[[Client], Request]


@dataclass(frozen=True)
class Stage:
    """What the machine plays on: a running sandbox with the diarist, and its event loop's way in."""

    whole: Sandbox
    diarist: Diarist
    run: Callable[[Coroutine[Any, Any, Any]], Any]


class Clients(RuleBasedStateMachine):
    """`stage` is set by the test, on a subclass."""

    stage: ClassVar[Stage]
    names: ClassVar["itertools.count[int]"]

    def __init__(self) -> None:
        super().__init__()
        self.stage.diarist.forget()
        self.right = RightAnswer()
        run = next(self.names)
        self.twins = [Client(f"ann-{run}"), Client(f"bob-{run}")]
        self._numbers = itertools.count(1)
        self._sound = True
        """Whether all moves so far went well: else there is no more to read back."""

    # What is done with a request

    def play(self, who: str, door: str, ask: Ask) -> None:
        """Each twin asks, in its own session."""
        self._sound = False
        chosen = {"the first": self.twins[:1], "the second": self.twins[1:]}.get(who, self.twins)
        if who == "both at once":
            self.stage.run(self._at_once(door, [(twin, ask(twin)) for twin in chosen]))
        else:
            for twin in chosen:
                self.stage.run(self._at_once(door, [(twin, ask(twin))]))
        self._sound = True
        if any(len(self.session_of(twin).turns) > LONG for twin in self.twins):
            self.opens(True, True, True)  # what is adopted again and again only grows

    async def _at_once(self, door: str, asked: list[tuple[Client, Request]]) -> None:
        dues = [self.right.due(request) for _, request in asked]
        self.stage.diarist.failures_due.update(str(request.metadata.get("fails")) for _, request in asked)
        answers = await asyncio.gather(*(DOORS[door](self.stage.whole, request) for _, request in asked))
        for (twin, request), due, got in zip(asked, dues, answers, strict=True):
            if isinstance(due, Stored) and door == "http streamed" and Feature.STREAMED_REPLAY_IS_MARKED not in BUILT:
                due = replace(due, marked=False)
            self.right.settle(request, due, got)
            self._remember(twin, request, due, got)
        assert self.stage.diarist.sights == {}  # nobody was shown anything else

    def _remember(self, twin: Client, request: Request, due: Due, got: Answer | Refusal) -> None:
        sights = self.stage.diarist.sights
        if isinstance(got, Answer) and not got.replayed:
            twin.session_id = got.session_id
            twin.kept[got.session_id, got.turn] = got.message
        if isinstance(due, Fresh):
            name = got.session_id if isinstance(got, Answer) else request.session_id
            if name:
                assert sights.pop((name, due.turn.number)) == due.sight
            else:  # it failed in a session that was never opened
                del sights[next(place for place, sight in sights.items() if sight == due.sight)]

    def session_of(self, twin: Client) -> Session:
        return self.right.sessions.get(twin.session_id) or Session(twin.session_id)

    def request(self, twin: Client, messages: Sequence[Message], **more: Any) -> Request:
        given = {"session_id": twin.session_id, "user_id": twin.name if twin.named_user else "", **more}
        if not given["session_id"] and any(message["role"] == "assistant" for message in messages):
            given["user_id"] = twin.name  # all that nobody says without a session id is one nobody's, in every game
        return Request(tuple(messages), **given)

    def path(self, twin: Client, number: int, manner: Manner, last: int = 0) -> list[Message]:
        """The path to a turn (or its last part) as this client keeps it."""
        kept = {turn: message for (session_id, turn), message in twin.kept.items() if session_id == twin.session_id}
        return carried(self.session_of(twin).path(number)[-last:], kept, manner)

    def turn(self, twin: Client, which: int) -> Turn | None:
        """One of the session's turns, counted from the newest; None when there is none."""
        turns = self.session_of(twin).turns
        return turns[-1 - which % len(turns)] if turns else None

    def path_to(self, twin: Client, which: int, manner: Manner) -> list[Message]:
        """The path to one of the session's turns."""
        turn = self.turn(twin, which)
        return self.path(twin, turn.number, manner) if turn else []

    def carrying(self) -> bool:
        return all(twin.carries for twin in self.twins)

    # The clients

    @initialize(named=st.booleans(), named_user=st.booleans(), carries=st.booleans())
    def opens(self, named: bool, named_user: bool, carries: bool) -> None:
        """A session of each twin's own, by a name of its choice or without one."""
        number = next(self._numbers)
        for twin in self.twins:
            twin.session_id = f"{twin.name}-{number}" if named else ""
            twin.named_user, twin.carries = named_user, carries

    @rule(named=st.booleans(), named_user=st.booleans(), carries=st.booleans())
    def opens_another(self, named: bool, named_user: bool, carries: bool) -> None:
        self.opens(named, named_user, carries)

    @rule(which=WHICH)
    def turns_to_an_earlier_session(self, which: int) -> None:
        for twin in self.twins:
            own = [name for name, _ in twin.kept if name in self.right.sessions]
            if own:
                twin.session_id = own[which % len(own)]
                twin.carries = True
                session = self.right.sessions[twin.session_id]
                # what is found by its texts is found for the user it had when they were said
                twin.named_user = twin.named_user if session.named else bool(session.user_id)

    @rule(who=WHO, door=DOOR, said=SAID, context=CONTEXT)
    def says_only_what_is_new(self, who: str, door: str, said: tuple[str, ...], context: tuple[str, ...]) -> None:
        """In transcript mode this is a start over."""
        self.play(who, door, lambda twin: self.request(twin, [*system(*context), *map(user, said)]))

    @precondition(carrying)
    @rule(who=WHO, door=DOOR, said=SAID, context=CONTEXT, manner=MANNERS)
    def carries_the_whole_history(
        self, who: str, door: str, said: tuple[str, ...], context: tuple[str, ...], manner: Manner
    ) -> None:
        def ask(twin: Client) -> Request:
            past = self.path(twin, self.session_of(twin).head, manner)
            return self.request(twin, [*system(*context), *past, *map(user, said)])

        self.play(who, door, ask)

    @precondition(carrying)
    @rule(who=WHO, door=DOOR, said=SAID, which=WHICH, manner=MANNERS)
    def goes_back(self, who: str, door: str, said: tuple[str, ...], which: int, manner: Manner) -> None:
        """To any turn of any branch."""

        def ask(twin: Client) -> Request:
            return self.request(twin, [*self.path_to(twin, which, manner), *map(user, said)])

        self.play(who, door, ask)

    @precondition(carrying)
    @rule(who=WHO, door=DOOR, which=WHICH, edited=st.booleans(), manner=MANNERS)
    def says_an_earlier_message_again(self, who: str, door: str, which: int, edited: bool, manner: Manner) -> None:
        """Edited, or word for word, so that its reply is made anew."""

        def ask(twin: Client) -> Request:
            turn = self.turn(twin, which)
            said = turn.users if turn and turn.users else ("yes",)
            past = self.path(twin, turn.parent, manner) if turn else []
            return self.request(twin, [*past, *(user(f"{text} please" if edited else text) for text in said)])

        self.play(who, door, ask)

    @precondition(carrying)
    @rule(who=WHO, door=DOOR, said=SAID, last=st.integers(1, 3), cut=st.booleans(), which=WHICH, manner=MANNERS)
    def sends_a_window(
        self, who: str, door: str, said: tuple[str, ...], last: int, cut: bool, which: int, manner: Manner
    ) -> None:
        """The last exchanges of the current path (or of another, one time in four), the first question cut off or not."""

        def ask(twin: Client) -> Request:
            session = self.session_of(twin)
            turn = self.turn(twin, which) if which % 4 == 0 else None
            past = self.path(twin, turn.number if turn else session.head, manner, last)
            while cut and past and past[0]["role"] == "user":
                past.pop(0)
            return self.request(twin, [*past, *map(user, said)])

        self.play(who, door, ask)

    @precondition(carrying)
    @rule(who=WHO, door=DOOR, said=SAID, which=WHICH, invented=TEXTS, at=st.integers(0, 3), manner=MANNERS)
    def carries_turns_that_were_never_here(
        self, who: str, door: str, said: tuple[str, ...], which: int, invented: str, at: int, manner: Manner
    ) -> None:
        """Between its own ones, or after them."""

        def ask(twin: Client) -> Request:
            past = self.path_to(twin, which, manner)
            exchange = [user(invented), assistant(f"never said: {invented}")]
            starts = [i for i, m in enumerate(past) if m["role"] == "user" and past[i - 1]["role"] != "user"]
            place = [*starts, len(past)][-1 - at % (len(starts) + 1)]
            return self.request(twin, [*past[:place], *exchange, *past[place:], *map(user, said)])

        self.play(who, door, ask)

    @precondition(carrying)
    @rule(who=WHO, door=DOOR, said=SAID, greeting=st.sampled_from(["Welcome!", "How can I help?"]), manner=MANNERS)
    def brings_a_greeting_of_its_own(
        self, who: str, door: str, said: tuple[str, ...], greeting: str, manner: Manner
    ) -> None:
        def ask(twin: Client) -> Request:
            past = self.path(twin, self.session_of(twin).head, manner)
            greeted = past if past and past[0]["role"] == "assistant" else [assistant(greeting), *past]
            return self.request(twin, [*greeted, *map(user, said)])

        self.play(who, door, ask)

    @rule(who=WHO, door=DOOR, context=CONTEXT)
    def lets_the_agent_open(self, who: str, door: str, context: tuple[str, ...]) -> None:
        """Where there is something to open: a new session, or a start over."""

        def ask(twin: Client) -> Request:
            session = self.session_of(twin)
            opens = session.transcript_mode or not session.turns
            return self.request(twin, system(*context, "Greet.") if opens else [user("yes")])

        self.play(who, door, ask)

    @precondition(carrying)
    @rule(who=WHO, door=DOOR, said=SAID, which=st.integers(0, 2), manner=MANNERS)
    def carries_history_without_a_session_id(
        self, who: str, door: str, said: tuple[str, ...], which: int, manner: Manner
    ) -> None:
        """Its own, where that can be found again (word for word, for the same user); else one that was never here."""
        exact = replace(manner, spaced=False, replies="as it came" if manner.replies == "in pieces" else manner.replies)

        def ask(twin: Client) -> Request:
            past = self.path_to(twin, which, exact)
            if Feature.HISTORY_WITHOUT_ID not in BUILT or not twin.named_user or not past:
                past = [user("hello"), assistant(f"from {twin.name}"), *past]
            return self.request(twin, [*past, *map(user, said)], session_id="")

        self.play(who, door, ask)

    # Repeating

    @rule(who=WHO, door=DOOR, said=SAID, named=st.booleans())
    def sends_with_an_idempotency_key(self, who: str, door: str, said: tuple[str, ...], named: bool) -> None:
        number = next(self._numbers)

        def ask(twin: Client) -> Request:
            key = f"{twin.name}-key-{number}"
            session_id = twin.session_id if named else ""
            twin.under_keys.append(self.request(twin, [*map(user, said)], session_id=session_id, key=key))
            return twin.under_keys[-1]

        self.play(who, door, ask)

    @precondition(lambda self: all(twin.under_keys for twin in self.twins))
    @rule(who=WHO, door=DOOR, which=WHICH, changed=st.booleans())
    def sends_with_that_key_again(self, who: str, door: str, which: int, changed: bool) -> None:
        """The same body, or another one."""

        def ask(twin: Client) -> Request:
            earlier = twin.under_keys[which % len(twin.under_keys)]
            if self._is_gone(earlier.session_id):
                return self.request(twin, [user("yes")])
            return replace(earlier, messages=(*earlier.messages, user("more"))) if changed else earlier

        self.play(who, door, ask)

    @rule(who=WHO, door=DOOR, said=SAID, key=st.booleans(), manner=MANNERS)
    def sends_what_the_agent_fails_at(
        self, who: str, door: str, said: tuple[str, ...], key: bool, manner: Manner
    ) -> None:
        number = next(self._numbers)

        def ask(twin: Client) -> Request:
            past = self.path(twin, self.session_of(twin).head, manner) if self.carrying() else []
            # what calls a tool first, so that there is something to undo
            messages = [*past, *(user(text) for text in said if not text.startswith("talk")), user("yes")]
            fails = {"fails": f"{twin.name}-{number}"}
            request = self.request(twin, messages, key=f"{twin.name}-key-{number}" if key else "", metadata=fails)
            if request.session_id:
                twin.failed.append(replace(request, metadata={}, retry=1))
            return request

        self.play(who, door, ask)

    @precondition(lambda self: all(twin.failed for twin in self.twins))
    @rule(who=WHO, door=DOOR)
    def tries_again_what_failed(self, who: str, door: str) -> None:
        def ask(twin: Client) -> Request:
            request = twin.failed[-1]
            if door.startswith("http") and Feature.FORK_AND_RETRY_OVER_HTTP not in BUILT:
                request = replace(request, retry=0)
            return self.request(twin, [user("yes")]) if self._is_gone(request.session_id) else request

        self.play(who, door, ask)

    @precondition(lambda self: Feature.RETRY_COUNT in BUILT and all(twin.session_id for twin in self.twins))
    @rule(who=WHO, door=DOOR, said=SAID, again=st.integers(1, 2), manner=MANNERS)
    def takes_a_reply_for_lost(self, who: str, door: str, said: tuple[str, ...], again: int, manner: Manner) -> None:
        """And sends the same again, as the official clients do."""
        asked: dict[str, Request] = {}
        if Feature.FORK_AND_RETRY_OVER_HTTP not in BUILT:
            door = "grpc"

        def ask(twin: Client) -> Request:
            if twin.name in asked:
                asked[twin.name] = replace(asked[twin.name], retry=asked[twin.name].retry + 1)
            else:
                past = self.path(twin, self.session_of(twin).head, manner) if self.carrying() else []
                asked[twin.name] = self.request(twin, [*past, *map(user, said)])
            return asked[twin.name]

        for _ in range(1 + again):
            self.play(who, door, ask)

    @precondition(lambda self: all(self.session_of(twin).turns for twin in self.twins))
    @rule(who=WHO, manner=MANNERS)
    def answers_tool_calls_that_ran_already(self, who: str, manner: Manner) -> None:
        """A front end that executes them again is given the reply that it waits for, as text (CHAT-19)."""
        for twin in self.twins if who.startswith("b") else self.twins[:1]:
            session = self.session_of(twin)
            newest = session.turns[-1]
            if not newest.calls:
                continue
            shown = [*self.path(twin, newest.parent, manner), *map(user, newest.users)]
            results = [{"role": "tool", "tool_call_id": call.id, "content": "{}"} for call in newest.calls]
            shown += [twin.kept[twin.session_id, newest.number], *results]
            got = self.stage.run(http(self.stage.whole, self.request(twin, shown, session_id=session.session_id)))
            assert got == Answer(
                session.session_id, session.chat_id, newest.reply, newest.number, newest.history, (), False, {}
            )

    # Refused, deleted, forked

    @precondition(lambda self: any(self.session_of(twin).user_id for twin in self.twins))
    @rule(who=WHO, door=DOOR, said=SAID)
    def comes_as_another_user(self, who: str, door: str, said: tuple[str, ...]) -> None:
        """Where the session is somebody's."""

        def ask(twin: Client) -> Request:
            stranger = "mallory" if self.session_of(twin).user_id else ""
            return self.request(twin, [*map(user, said)], user_id=stranger)

        self.play(who, door, ask)

    @precondition(lambda self: all(twin.session_id in self.right.sessions for twin in self.twins))
    @rule(both=st.booleans())
    def deletes_its_session(self, both: bool) -> None:
        """What comes next under this id is a new conversation; the other twin's goes on."""
        for twin in self.twins if both else self.twins[:1]:
            response = self.stage.run(self.stage.whole.http.delete(f"/v1/sessions/{twin.session_id}"))
            assert response.status_code == 204
            gone = self.right.sessions[twin.session_id].chat_id
            self.right.forget(twin.session_id)
            assert self.stage.run(self.stage.whole.http.get(f"/v1/chats/{gone}")).status_code == 404
            twin.kept = {name: message for name, message in twin.kept.items() if name[0] != twin.session_id}

    @precondition(lambda self: Feature.FORK in BUILT and all(self.session_of(twin).turns for twin in self.twins))
    @rule(which=WHICH, door=DOOR)
    def forks(self, which: int, door: str) -> None:
        """And goes on in the fork."""
        number = next(self._numbers)
        for twin in self.twins:
            session = self.session_of(twin)
            at = which % (session.head + 1)
            fork = forked(session, at, f"{twin.name}-fork-{number}")
            over_http = door.startswith("http") and Feature.FORK_AND_RETRY_OVER_HTTP in BUILT
            fork.chat_id = self.stage.run(
                (fork_over_http if over_http else fork_over_grpc)(self.stage, session, at, fork)
            )
            assert fork.chat_id not in {other.chat_id for other in self.right.sessions.values()}
            self.right.sessions[fork.session_id] = fork
            for old, new in zip(session.path(at), fork.turns, strict=True):
                if (session.session_id, old.number) in twin.kept:
                    twin.kept[fork.session_id, new.number] = twin.kept[session.session_id, old.number]
            twin.session_id = fork.session_id

    # Reading back

    @precondition(lambda self: all(self.session_of(twin).turns for twin in self.twins))
    @rule(which=WHICH, since=WHICH)
    def reads_a_world(self, which: int, since: int) -> None:
        """After any turn, and what changed since another one."""
        for twin in self.twins:
            session = self.session_of(twin)
            turns = session.head + 1
            self.stage.run(self._read_world(session, which % turns, since % turns))

    def _is_gone(self, session_id: str) -> bool:
        return bool(session_id) and session_id not in self.right.sessions

    def teardown(self) -> None:
        for session in self.right.sessions.values() if self._sound else ():
            self.stage.run(self._read_back(session))

    async def _read_back(self, session: Session) -> None:
        read, name = self.stage.whole.read, f"/v1/sessions/{session.session_id}"
        stored = await read(name)
        assert (stored["turn_count"], stored["head"], stored["chat_id"]) == (
            len(session.turns),
            session.head,
            session.chat_id,
        )
        assert (stored["user_id"] or "", stored["transcript_mode"]) == (session.user_id, session.transcript_mode)
        page = await read(f"{name}/turns", page_size=40)
        assert len(page["failed"]) == min(self.right.failures.get(session.session_id, 0), 100)
        turns = page["turns"]
        while page["next_page_token"]:
            page = await read(f"{name}/turns", page_size=40, page_token=page["next_page_token"])
            turns += page["turns"]
        current = {turn.number for turn in session.path(session.head)}
        assert [shown(turn) for turn in turns] == [due_record(turn, current) for turn in session.turns]
        assert (await read(f"/v1/chats/{session.chat_id}"))["session_id"] == session.session_id
        await self._read_world(session, session.head, 0)

    async def _read_world(self, session: Session, number: int, since: int) -> None:
        path = f"/v1/sessions/{session.session_id}/world"
        got = await self.stage.whole.read(path, turn=number, **({"from": since} if since else {}))
        world, before = session.page(number).world, session.page(since).world
        text = json.dumps(world, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        assert got == {
            "session_id": session.session_id,
            "turn": number,
            "world": world,
            "sha256": hashlib.sha256(text.encode()).hexdigest(),
            "changes": changed_records(before, world),
        }


async def fork_over_http(stage: Stage, session: Session, turn: int, fork: Session) -> str:
    """The fork's chat id."""
    body = {"session_id": fork.session_id, "from": {"session_id": session.session_id, "turn": turn}}
    response = await stage.whole.http.post("/v1/sessions", json=body)
    assert response.status_code == 201, response.text
    opened = response.json()
    assert opened["session_id"] == opened["sessionId"] == fork.session_id
    return str(opened["chat_id"])


async def fork_over_grpc(stage: Stage, session: Session, turn: int, fork: Session) -> str:
    origin = Origin(session_id=session.session_id, turn=turn)
    opened = await stage.whole.sessions.CreateSession(CreateSessionRequest(session_id=fork.session_id, origin=origin))
    assert opened.created
    assert opened.session.session_id == fork.session_id
    return str(opened.session.chat_id)


def shown(stored: Any) -> dict[str, Any]:
    """What the right answer knows of a turn that was read back."""
    return {
        **{name: stored[name] for name in ("turn", "parent", "superseded", "adopted", "history", "state")},
        "users": tuple(message["content"] for message in stored["messages"] if message["role"] == "user"),
        "reply": stored["reply"]["content"],
        "calls": [
            (call["id"], call["function"]["name"], call["function"]["arguments"], call["function"]["result"])
            for call in stored["tool_calls"]
        ],
    }


def due_record(turn: Turn, current: set[int]) -> dict[str, Any]:
    return {
        "turn": turn.number,
        "parent": turn.parent,
        "superseded": turn.number not in current,
        "adopted": turn.adopted,
        "history": turn.history,
        "state": turn.page.state,
        "users": turn.users,
        "reply": turn.reply,
        "calls": [(call.id, call.name, call.arguments, call.result) for call in turn.calls],
    }
