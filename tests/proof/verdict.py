"""Did a session come out right? Pure: it compares what a client was told with what is stored, and names what is wrong.

The session's tool adds one to a counter on every turn, and the reply is the counter. Every message has a text of its own, so
a message that was applied twice can be told from two messages.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Answer:
    """What a client said, and what it was told in the end."""

    text: str
    reply: str


@dataclass(slots=True)
class History:
    """One session: the client's side, then what is stored, as `/v1/sessions/{id}`, `…/turns` and `…/world` show it."""

    session: str
    answers: list[Answer] = field(default_factory=list)
    unanswered: str = ""
    """The last message, when the client had to give up on it."""
    refused: str = ""
    """An answer that no client can cure by repeating."""
    record: Mapping[str, Any] = field(default_factory=dict)
    turns: Sequence[Mapping[str, Any]] = ()
    world: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Violation:
    """`kind` is one of a few names: "lost update", "double application", "gap", …"""

    session: str
    kind: str
    detail: str

    def __str__(self) -> str:
        return f"VIOLATION {self.kind}: session {self.session}: {self.detail}"


def verdict(history: History) -> list[Violation]:
    """All that is wrong with a session; nothing, when it is right."""
    return [Violation(history.session, kind, detail) for check in _CHECKS for kind, detail in check(history)]


Findings = Iterator[tuple[str, str]]


def answered(history: History) -> Findings:
    if history.refused:
        yield "refused", history.refused
    elif history.unanswered:
        yield "unanswered", f"{history.unanswered!r} was repeated until the end"


def replies_count_on(history: History) -> Findings:
    """1, 2, 3, …"""
    expected = 1
    for answer in history.answers:
        said = int(answer.reply) if answer.reply.isdecimal() else -1
        if said < expected:
            yield "repeat", f"{answer.text!r} was answered {answer.reply!r} where {expected} was next"
        elif said > expected:
            yield "gap", f"{answer.text!r} was answered {answer.reply!r} where {expected} was next"
        expected = max(said + 1, expected)


def counter_of(history: History) -> int:
    n = history.world.get("counters", {}).get("n")
    return n if isinstance(n, int) else -1


def counter_equals_replies(history: History) -> Findings:
    counter, replies = counter_of(history), len(history.answers)
    # the message that was given up may have been applied
    applied = {replies, replies + 1} if history.unanswered else {replies}
    if counter < min(applied):
        yield "lost update", f"{replies} replies, and the counter is {counter}"
    elif counter > max(applied):
        yield "double application", f"{replies} replies, and the counter is {counter}"


def record_fits_turns(history: History) -> Findings:
    numbers = [turn["turn"] for turn in history.turns]
    if numbers != list(range(1, len(numbers) + 1)):
        yield "half-written turn", f"the turns are numbered {numbers}"
    if history.answers and history.record.get("head") != max(numbers, default=0):
        yield "head", f"it is {history.record.get('head')}, and the newest turn {max(numbers, default=0)}"
    if history.answers and history.record.get("turn_count") != len(numbers):
        yield "half-written turn", f"{history.record.get('turn_count')} are counted, and there are {len(numbers)}"


def path_of(history: History) -> list[Mapping[str, Any]]:
    """The turns from the start to the head; a path that breaks off begins where it does."""
    turns = {turn["turn"]: turn for turn in history.turns}
    path: list[Mapping[str, Any]] = []
    number = history.record.get("head", 0)
    while number in turns and len(path) < len(turns):
        path.append(turns[number])
        number = turns[number]["parent"]
    return path[::-1]


def path_alternates(history: History) -> Findings:
    path = path_of(history)
    if path and path[0]["parent"] != 0:
        yield "half-written turn", f"the parent of turn {path[0]['turn']} is {path[0]['parent']}, which there is not"
    for turn in path:
        users = [message for message in turn["messages"] if message["role"] == "user"]
        if len(users) > 1:
            yield "two users in a row", f"turn {turn['turn']} has {[user['content'] for user in users]}"
        elif not users:
            yield "half-written turn", f"turn {turn['turn']} has no user's message"
        if not turn.get("reply", {}).get("content"):
            yield "half-written turn", f"turn {turn['turn']} has no reply"


def path_is_what_was_said(history: History) -> Findings:
    stored = [message["content"] for turn in path_of(history) for message in turn["messages"]]
    said = [answer.text for answer in history.answers]
    times = Counter(stored)
    for text in said:
        if times[text] == 0:
            yield "lost turn", f"{text!r} was answered, and is not stored"
    for text, count in times.items():
        if count > 1:
            yield "double application", f"{text!r} is stored {count} times on the path"
    if not times.keys() ^ set(said) and len(stored) == len(said) and stored != said:
        yield "order", f"said {said}, stored {stored}"


def answers_are_those_stored(history: History) -> Findings:
    replies = {
        message["content"]: turn.get("reply", {}).get("content")
        for turn in path_of(history)
        for message in turn["messages"]
    }
    for answer in history.answers:
        if replies.get(answer.text, answer.reply) != answer.reply:
            yield "other reply", f"{answer.text!r}: answered {answer.reply!r}, stored {replies[answer.text]!r}"


def nothing_ran_twice(history: History) -> Findings:
    path = {turn["turn"] for turn in path_of(history)}
    for turn in history.turns:
        if turn["turn"] not in path:
            texts = [message["content"] for message in turn["messages"]]
            yield "ran twice", f"turn {turn['turn']}, {texts}, was superseded though the client never went back"
        elif turn.get("adopted"):
            yield "lost turn", f"turn {turn['turn']} was adopted: what had run was not there"


def turns_are_whole(history: History) -> Findings:
    """Reply, tool call, state and world changes of a turn say the same number."""
    calls = 0
    for turn in path_of(history):
        reply = turn.get("reply", {}).get("content")
        results = [str(call["function"]["result"]) for call in turn["tool_calls"] if call["ok"]]
        state = str((turn.get("state") or {}).get("n"))
        changes = [str(change.get("after")) for change in turn["changes"]]
        calls += len(results)
        if not (results == changes == [state] == [reply]):
            told = f"reply {reply!r}, calls {results}, state {state!r}, world {changes}"
            yield "half-written turn", f"turn {turn['turn']}: {told}"
    if calls != counter_of(history):
        yield "tool calls", f"there are {calls} on the path, and the counter is {counter_of(history)}"


_CHECKS: tuple[Callable[[History], Findings], ...] = (
    answered,
    replies_count_on,
    counter_equals_replies,
    record_fits_turns,
    path_alternates,
    path_is_what_was_said,
    answers_are_those_stored,
    nothing_ran_twice,
    turns_are_whole,
)
