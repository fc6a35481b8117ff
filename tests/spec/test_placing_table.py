"""Where a request stands (CHAT-12, CHAT-13), a row for each line of docs/turns.md and for each clause of the rule.

In a row texts stand between strokes; the last is the user's, before it user and assistant take turns. "@2" is the reply of
turn 2 as it came, "a + b" are two messages in a row, "(greet)" is a request of a system message alone.
"""

from collections.abc import AsyncIterator
from typing import NamedTuple

import pytest
from placing_agent import Diarist
from placing_clients import system
from placing_doors import DOORS, Answer, Message, Request, assistant, user
from placing_model import Fresh, RightAnswer
from whole_sandbox import Sandbox, sandbox


class Row(NamedTuple):
    """After the session's requests, what the last one comes to: after which turn it runs, and how many are adopted."""

    session: list[str]
    says: str
    history: str
    after: int
    adopted: int = 0


HI_YES = ["hi", "hi / @1 / yes"]
HI_YES_GO = [*HI_YES, "hi / @1 / yes / @2 / go"]
TWO_STARTS = [*HI_YES, "hi"]
"""hi(1) yes(2), and hi(3)."""

DOCS: dict[str, Row] = {
    "nothing, and the session is new": Row([], "hi", "new", 0),
    "nothing, and the client has sent no history so far": Row(["hi"], "yes", "next", 1),
    "nothing, in transcript mode": Row(HI_YES, "hi", "started_over", 0),
    "its own conversation, to the newest turn": Row(HI_YES, "hi / @1 / yes / @2 / go", "continued", 2),
    "the last part of it": Row(HI_YES_GO, "yes / @2 / go / @3 / on", "continued", 3),
    "its own conversation, to an earlier turn: an edit": Row(HI_YES_GO, "hi / @1 / no", "went_back", 1),
    "its own conversation, to an earlier turn: a regeneration": Row(HI_YES, "hi / @1 / yes", "went_back", 1),
    "turns that were never here, after known ones": Row(["hi"], "hi / @1 / x / y / go", "adopted", 1, adopted=1),
    "turns that were never here, after none": Row([], "x / y / x / z / go", "adopted", 0, adopted=2),
}
CLAUSES: dict[str, Row] = {
    "white space in user texts is folded": Row(["a  b"], " a\nb  / @1 / go", "continued", 1),
    "the last user text does not count": Row(["hi"], "hi / @1 / hi", "continued", 1),
    "replies may be reworded": Row(HI_YES, "hi / oh / yes / well / go", "continued", 2),
    "replies may be trimmed to nothing": Row(HI_YES, "hi /  / yes /  / go", "continued", 2),
    "several messages in a row are one turn": Row(["a + b"], "a + b / @1 / c + d", "continued", 1),
    "a user text that was split is the same": Row(["a + b"], "a b / @1 / go", "continued", 1),
    "a whole path from a start wins over a window": Row(
        ["yes", "yes / @1 / yes", "yes / @1 / yes / @2 / yes"], "yes / @2 / yes / @3 / go", "went_back", 2
    ),
    "a window wins over a part of a path": Row(
        ["a", "a / @1 / b", "a / @1 / b / @2 / a", "a / @1 / b / @2 / a / @3 / c"],
        "a / @3 / c / @4 / go",
        "continued",
        4,
    ),
    "a window may begin with a reply": Row(HI_YES_GO, "@2 / go / @3 / on", "continued", 3),
    "a window must end at the newest turn": Row(HI_YES_GO, "yes / @2 / on", "adopted", 0, adopted=1),
    "a window is of the current branch alone": Row([*HI_YES_GO, "no"], "go / @3 / on", "adopted", 0, adopted=1),
    "the longest match wins": Row(TWO_STARTS, "hi / @3 / yes / @2 / x / y / go", "adopted", 2, adopted=1),
    "then the branch whose replies match": Row(TWO_STARTS, "hi / @1 / go", "went_back", 1),
    "and that may be the current one": Row(TWO_STARTS, "hi / @3 / go", "continued", 3),
    "then the current branch": Row([*TWO_STARTS, "hi / @1 / go"], "hi / oh / on", "went_back", 1),
    "then the newest": Row([*TWO_STARTS, "no"], "hi / oh / on", "went_back", 3),
    "the current branch also where the replies match on both": Row(
        ["hush", "hush / @1 / yes", "hush", "hush / @1 / yes / @2 / go"], "hush / @1 / on", "went_back", 1
    ),
    "so does it go when only a part is known": Row(
        [*TWO_STARTS, "no"], "hi / @1 / x / y / on", "adopted", 1, adopted=1
    ),
    "equal texts, told apart by their number": Row(
        ["yes", "yes / @1 / yes", "yes / @1 / yes / @2 / yes"], "yes / @1 / yes / @2 / yes", "went_back", 2
    ),
    "equal texts, told apart by their replies": Row(
        ["yes", "yes / @1 / yes", "yes / @1 / yes"], "yes / @1 / yes / @2 / go", "went_back", 2
    ),
    "turns that were never here, between known ones": Row(
        HI_YES, "hi / @1 / x / y / yes / @2 / go", "adopted", 1, adopted=2
    ),
    "adopted turns are recognised": Row(["x / y / hi"], "x / y / hi / @2 / go", "continued", 2),
    "adopted turns can be gone back to": Row(["x / y / hi"], "x / other / no", "went_back", 1),
    "a lone leading assistant message is adopted": Row([], "Welcome! / hi", "adopted", 0, adopted=1),
    "and matched by its text": Row(["Welcome! / hi"], "Welcome! / hi / @2 / go", "continued", 2),
    "another greeting is another start": Row(["Welcome! / hi"], "Hello! / hi / @2 / go", "adopted", 0, adopted=2),
    "one that was left out is a window": Row(["Welcome! / hi"], "hi / @2 / go", "continued", 2),
    "an agent's opening is matched by its text": Row(["(greet)"], "@1 / hi", "continued", 1),
    "and its question is none": Row(["(greet)", "@1 / hi"], "@1 / no", "went_back", 1),
    "after an opening a client may send what is new": Row(["(greet)"], "hi", "next", 1),
    "an opening in transcript mode starts over": Row(HI_YES, "(greet)", "started_over", 0),
    "the first history may come late": Row(["hi", "yes"], "hi / @1 / yes / @2 / go", "continued", 2),
    "what was said before it can be gone back to": Row(["hi", "yes"], "hi / @1 / no", "went_back", 1),
}


@pytest.fixture(scope="module")
async def diary(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Sandbox]:
    async with sandbox(tmp_path_factory.mktemp("diary"), Diarist().agent) as whole:
        yield whole


def messages_of(said: str, replies: dict[int, Message]) -> tuple[Message, ...]:
    """The messages of a row's request."""
    if said.startswith("("):
        return tuple(system(said))
    texts = said.split(" / ")
    messages: list[Message] = []
    for back, text in zip(range(len(texts) - 1, -1, -1), texts, strict=True):
        if text.startswith("@"):
            messages.append(replies[int(text[1:])])
        elif back % 2:
            messages.append(assistant(text))
        else:
            messages += [user(part) for part in text.split(" + ")]
    return tuple(messages)


@pytest.mark.parametrize("door", ["http", "grpc"])
@pytest.mark.parametrize("clause", [*DOCS, *CLAUSES])
async def test_a_request_stands_where_the_rule_says(diary: Sandbox, door: str, clause: str) -> None:
    row, right, replies = {**DOCS, **CLAUSES}[clause], RightAnswer(), dict[int, Message]()
    session_id = f"{door}: {clause}"
    for said in (*row.session, row.says):
        request = Request(messages_of(said, replies), session_id)
        due = right.due(request)
        got = await DOORS[door](diary, request)
        assert isinstance(got, Answer)
        right.settle(request, due, got)
        replies[got.turn] = got.message
    assert isinstance(due, Fresh)  # the model of the right answer is held to the table, too
    assert (got.history, got.turn) == (row.history, due.turn.number)
    assert (due.turn.history, len(due.adopted)) == (row.history, row.adopted)
    turns = (await diary.read(f"/v1/sessions/{session_id}/turns"))["turns"]
    newest = turns[-1 - row.adopted :]
    assert [turn["parent"] for turn in newest] == [row.after, *(turn["turn"] for turn in newest[:-1])]
    assert [turn["adopted"] for turn in newest] == [True] * row.adopted + [False]
    path = right.sessions[session_id].path(got.turn)
    assert [turn["turn"] for turn in turns if not turn["superseded"]] == [turn.number for turn in path]
    told = [turn for turn in path if not turn.adopted and turn.users]
    assert (await diary.read(f"/v1/sessions/{session_id}/world"))["world"]["diary"]["n"] == len(told)
