"""Where a request stands in its session (CHAT-12, CHAT-13): a table of clients, by the rule alone and through a server."""

import json
from dataclasses import dataclass
from typing import Any

import pytest
from core_running import Serve
from hypothesis import given
from hypothesis import strategies as st

from greenroom.core.errors import InvalidRequest
from greenroom.core.records import Message
from greenroom.core.transcript import Carried, prefix_hashes, read_messages, user_key
from greenroom.sdk import Agent, Turn, World, tool
from greenroom.v1 import agent_pb2, turn_pb2

GREETING = "How can I help?"


@tool
async def add(world: World) -> int:
    """Adds one."""
    world["c"]["n"] = world["c"].get("n", 0) + 1
    return int(world["c"]["n"])


def counting() -> Agent:
    """Replies with what it has heard on its path and how often its world was changed there."""
    agent = Agent("counting", tools=[add], world={"c": {}})

    @agent.reply
    async def reply(turn: Turn) -> str:
        if not turn.text:
            return GREETING
        turn.state["heard"] = [*turn.state.get("heard", []), turn.text]
        return f"{turn.text}! {await turn.call(add)}"

    return agent


def history(number: int) -> str:
    return turn_pb2.History.Name(number).removeprefix("HISTORY_").lower()  # type: ignore[arg-type]


@dataclass(frozen=True)
class Step:
    """A request: `says` are role initial and text ("u hello", "a hello! 1", "s be kind"); then what becomes of it."""

    says: list[str]
    history: str
    parent: int
    n: int
    """How often the world was changed on the turn's path; 0: the turn runs no tool."""
    number: int = 0
    """0: one after the turn before."""
    heard: list[str] | None = None


ROLES = {"u": "user", "a": "assistant", "s": "system", "d": "developer"}


def messages(says: list[str]) -> list[turn_pb2.Message]:
    return [turn_pb2.Message(role=ROLES[said[0]], content=said[2:]) for said in says]


CLIENTS: dict[str, list[Step]] = {
    "sends its last message only": [
        Step(["u a"], "new", 0, 1),
        Step(["u b"], "next", 1, 2),
        Step(["u b"], "next", 2, 3, heard=["a", "b", "b"]),
    ],
    "carries the conversation": [
        Step(["u a"], "new", 0, 1),
        Step(["u a", "a a! 1", "u b"], "continued", 1, 2),
        Step(["u a", "a a! 1", "u b", "a b! 2", "u c"], "continued", 2, 3, heard=["a", "b", "c"]),
    ],
    "carries it with replies reworded, trimmed or folded": [
        Step(["u a"], "new", 0, 1),
        Step(["u a", "a something else", "u b  c"], "continued", 1, 2),
        Step(["u  a ", "a a!", "u b\n c", "a ", "u d"], "continued", 2, 3, heard=["a", "b  c", "d"]),
    ],
    "regenerates": [
        Step(["u a"], "new", 0, 1),
        Step(["u a", "a a! 1", "u b"], "continued", 1, 2),
        Step(["u a", "a a! 1", "u b"], "went_back", 1, 2),
        Step(["u a", "a a! 1", "u b"], "went_back", 1, 2, heard=["a", "b"]),
    ],
    "edits an earlier message": [
        Step(["u a"], "new", 0, 1),
        Step(["u a", "a a! 1", "u b"], "continued", 1, 2),
        Step(["u a", "a a! 1", "u b", "a b! 2", "u c"], "continued", 2, 3),
        Step(["u a", "a a! 1", "u other"], "went_back", 1, 2),
        Step(["u a", "a a! 1", "u other", "a other! 2", "u d"], "continued", 4, 3, heard=["a", "other", "d"]),
    ],
    "goes back and forth between branches": [
        Step(["u a"], "new", 0, 1),
        Step(["u a", "a a! 1", "u b"], "continued", 1, 2),
        Step(["u a", "a a! 1", "u c"], "went_back", 1, 2),
        Step(["u a", "a a! 1", "u b", "a b! 2", "u d"], "went_back", 2, 3, heard=["a", "b", "d"]),
    ],
    "starts over in transcript mode": [
        Step(["u a"], "new", 0, 1),
        Step(["u a", "a a! 1", "u b"], "continued", 1, 2),
        Step(["u a"], "started_over", 0, 1),
        Step(["u a", "a a! 1", "u c"], "continued", 3, 2, heard=["a", "c"]),
    ],
    "sends a trimmed window": [
        Step(["u a"], "new", 0, 1),
        Step(["u a", "a a! 1", "u b"], "continued", 1, 2),
        Step(["u b", "a b! 2", "u c"], "continued", 2, 3),
        Step(["u b", "a b! 2", "u c", "a c! 3", "u d"], "continued", 3, 4, heard=["a", "b", "c", "d"]),
    ],
    "sends a window that begins with a reply": [
        Step(["u a"], "new", 0, 1),
        Step(["u a", "a a! 1", "u b"], "continued", 1, 2),
        Step(["a a! 1", "u b", "a b! 2", "u c"], "continued", 2, 3),
        Step(["a c! 3", "u d"], "continued", 3, 4, heard=["a", "b", "c", "d"]),
    ],
    "brings a past that was never here": [
        Step(["u x", "a y", "u a"], "adopted", 1, 1, number=2),
        Step(["u x", "a y", "u a", "a a! 1", "u b"], "continued", 2, 2, heard=["a", "b"]),
        Step(["u x", "a y", "u c"], "went_back", 1, 1),
    ],
    "brings turns in the middle that were never here": [
        Step(["u a"], "new", 0, 1),
        Step(["u a", "a a! 1", "u x", "a y", "u x2", "a y2", "u b"], "adopted", 3, 2, number=4),
        Step(["u a", "a a! 1", "u x", "a y", "u x2", "a y2", "u b", "a b! 2", "u c"], "continued", 4, 3),
    ],
    "shares no word with what was here": [
        Step(["u a"], "new", 0, 1),
        Step(["u p", "a q", "u b"], "adopted", 2, 1, number=3, heard=["b"]),
    ],
    "says the same again and again": [
        Step(["u yes"], "new", 0, 1),
        Step(["u yes", "a yes! 1", "u yes"], "continued", 1, 2),
        Step(["u yes", "a yes! 1", "u yes", "a yes! 2", "u yes"], "continued", 2, 3),
        Step(["u yes", "a yes! 1", "u yes"], "went_back", 1, 2),
        Step(["u yes", "a yes! 1", "u yes", "a yes! 2", "u yes"], "continued", 4, 3, heard=["yes"] * 3),
    ],
    "is told apart by its replies, then by the current branch": [
        Step(["u a"], "new", 0, 1),
        Step(["u a", "a a! 1", "u b"], "continued", 1, 2),
        Step(["u x", "a y", "u a"], "adopted", 3, 1, number=4),
        Step(["u a"], "started_over", 0, 1),
        Step(["u a", "a reworded", "u z"], "continued", 5, 2, heard=["a", "z"]),
    ],
    "lets the agent open": [
        Step(["s be kind"], "new", 0, 0),
        Step(["s be kind", f"a {GREETING}", "u a"], "continued", 1, 1),
        Step([f"a {GREETING}", "u a", "a a! 1", "u b"], "continued", 2, 2, heard=["a", "b"]),
    ],
    "brings a greeting of its own": [
        Step(["a Welcome!", "u a"], "adopted", 1, 1, number=2),
        Step(["a Welcome!", "u a", "a a! 1", "u b"], "continued", 2, 2),
        Step(["a Welcome!", "u c"], "went_back", 1, 1),
    ],
    "says several things in a row": [
        Step(["u a", "u b"], "new", 0, 1, heard=["a\nb"]),
        Step(["u a", "u b", "a a\nb! 1", "u c", "u d"], "continued", 1, 2),
        Step(["u a", "u b", "a ?", "u c", "u d", "a !", "u e"], "continued", 2, 3, heard=["a\nb", "c\nd", "e"]),
    ],
    "changes its system message": [
        Step(["s one", "u a"], "new", 0, 1),
        Step(["s two", "u a", "a a! 1", "d three", "u b"], "continued", 1, 2),
    ],
    "learns to carry history in mid-session": [
        Step(["u a"], "new", 0, 1),
        Step(["u b"], "next", 1, 2),
        Step(["u a", "a a! 1", "u b", "a b! 2", "u c"], "continued", 2, 3),
        Step(["u a"], "started_over", 0, 1),
    ],
}


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("restart", [False, True], ids=["cached", "read"])
async def test_a_client_that(serve: Serve, client: str, restart: bool) -> None:
    core = await serve(counting())
    number = 0
    for step in CLIENTS[client]:
        if restart:  # nothing is remembered between turns that cannot be read
            core.core.turns._cache.drop(("", "s1"))
        turn = agent_pb2.RunTurnRequest(messages=messages(step.says), session_id="s1")
        reply = (await core.agents.RunTurn(turn)).reply
        number = step.number or number + 1
        turns = (await core.turns()).turns
        assert (history(reply.history), reply.number, turns[-1].parent) == (step.history, number, step.parent)
        assert (await core.world()) == {"c": {"n": step.n} if step.n else {}}
        if step.heard is not None:
            assert json.loads(turns[-1].state_json)["heard"] == step.heard
        assert [one.number for one in turns] == list(range(1, number + 1))
    path, at = set[int](), number
    parents = {one.number: one.parent for one in turns}
    while at:
        path.add(at)
        at = parents[at]
    assert {one.number for one in turns if not one.superseded} == path
    assert all(not one.changes and not one.reply.tool_calls for one in turns if one.adopted)


async def seen_by(serve: Serve, *requests: list[turn_pb2.Message]) -> list[Any]:
    agent, seen = Agent("seeing", tools=[add], world={"c": {}}), list[Any]()

    @agent.reply
    async def reply(turn: Turn) -> str:
        n = await turn.call(add)
        seen.append((turn.messages.openai(), list(turn.context)))
        return f"{n}"

    core = await serve(agent)
    for request in requests:
        await core.agents.RunTurn(agent_pb2.RunTurnRequest(messages=request, session_id="s1"))
    return seen


async def test_what_an_agent_sees_is_the_carried_transcript_completed_with_the_stored_tool_calls(serve: Serve) -> None:
    [_, (wire, _)] = await seen_by(serve, messages(["u a"]), messages(["s kind", "u a", "a reworded", "u b"]))
    assert [(one["role"], one["content"]) for one in wire] == [
        ("system", "kind"),
        ("user", "a"),
        ("assistant", None),
        ("tool", "1"),
        ("assistant", "reworded"),
        ("user", "b"),
    ]
    [call] = wire[2]["tool_calls"]
    assert (call["function"], call["id"]) == ({"name": "add", "arguments": "{}"}, wire[3]["tool_call_id"])


async def test_for_a_last_message_client_the_latest_system_messages_hold_until_replaced(serve: Serve) -> None:
    seen = await seen_by(
        serve,
        messages(["s one", "d two", "u a"]),
        messages(["u b"]),
        messages(["s three", "u c"]),
        messages(["u d"]),
        messages(["u a", "a 1", "u b", "a 2", "u c", "a 3", "u d", "a 4", "u e"]),
    )
    assert [context for _, context in seen] == [["one", "two"], ["one", "two"], ["three"], ["three"], []]


@pytest.mark.parametrize("said", [[], ["a x"], ["u x", "a y"], ["s x", "a y"], ["u x", "s y"]])
def test_a_request_with_nothing_to_answer_is_refused(said: list[str]) -> None:
    with pytest.raises(InvalidRequest) as error:
        read_messages([Message(ROLES[one[0]], one[2:]) for one in said])
    assert error.value.field == "messages"


def test_tool_messages_and_calls_without_text_end_an_exchange_too() -> None:
    calls = Message("assistant", None, tool_calls_json='[{"id":"c"}]')
    answer = Message("tool", "{}", tool_call_id="c")
    carried = read_messages([Message("user", "a"), calls, answer, Message("user", "b")])
    assert (len(carried.past), carried.has_history, [one.content for one in carried.input]) == (1, True, ["b"])
    spoken = read_messages([Message("user", "a"), calls, answer, Message("assistant", "x"), Message("user", "b")])
    assert [one.reply for one in spoken.past] == ["x"]


TEXTS = st.text(max_size=4) | st.sampled_from(["yes", "yes ", " yes", "\u0000", "\ud800"])
SAID = st.lists(st.tuples(st.sampled_from(["user", "assistant", "system", "tool"]), TEXTS), max_size=8)


@given(SAID, TEXTS)
def test_cutting_up_a_request_loses_nothing(said: list[tuple[str, str]], last: str) -> None:
    given_messages = [Message(role, text) for role, text in said] + [Message("user", last)]
    carried: Carried = read_messages(given_messages)
    users = [message for exchange in carried.past for message in exchange.messages] + list(carried.input)
    assert users == [message for message in given_messages if message.role == "user"]
    assert list(carried.context) == [text for role, text in said if role == "system"]
    replies = [text for role, text in said if role == "assistant"]
    assert "\n".join([exchange.reply for exchange in carried.past]) == "\n".join(replies)
    assert carried.has_history == ("assistant" in {role for role, _ in said})
    assert len(prefix_hashes(carried.past)) == len(carried.past)


@given(st.lists(TEXTS, min_size=1, max_size=4), st.lists(TEXTS, min_size=1, max_size=4))
def test_two_paths_have_equal_hashes_only_if_their_user_texts_are_equal(one: list[str], two: list[str]) -> None:
    def hashes(texts: list[str]) -> list[tuple[bytes, bytes]]:
        pairs = [Message(role, text) for text in texts for role in ("user", "assistant")]
        return prefix_hashes(read_messages([*pairs, Message("user", "")]).past)

    def keys(texts: list[str]) -> list[str]:
        return [user_key([Message("user", text)], "").replace("\ud800", "?") for text in texts]

    assert (hashes(one)[-1] == hashes(two)[-1]) == (keys(one) == keys(two))
