"""Requests that end with tool messages: the reply whose calls they answer, without a run (CHAT-19)."""

import json
from typing import Any

import pytest
from core_running import Serve, request

from greenroom.sdk import Agent, Turn, World, tool
from greenroom.v1 import turn_pb2


@tool
async def count(world: World) -> int:
    """Counts up."""
    world["counter"]["n"] += 1
    return int(world["counter"]["n"])


def counting() -> Agent:
    agent = Agent("counting", tools=[count], world={"counter": {"n": 0}})

    @agent.reply
    async def reply(turn: Turn) -> str:
        return f"{turn.text}: {await turn.call(count)}"

    return agent


def answering(*ids: str) -> list[turn_pb2.Message]:
    return [turn_pb2.Message(role="tool", content="{}", tool_call_id=id) for id in ids]


def looping(reply: turn_pb2.Reply, said: str, *, content: str | None = None, sid: str = "s1", **fields: Any) -> Any:
    """What a client sends that ran the calls of this reply itself."""
    calls = [
        {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments_json}}
        for call in reply.tool_calls
    ]
    asked = request(said, sid=sid, **fields)
    asked.messages.add(role="assistant", content=content, tool_calls_json=json.dumps(calls))
    asked.messages.extend(answering(*(call.id for call in reply.tool_calls)))
    return asked


async def test_the_newest_reply_is_given_again_and_nothing_runs(serve: Serve) -> None:
    core = await serve(counting())
    reply = await core.say("a")
    again = (await core.agents.RunTurn(looping(reply, "a"))).reply
    assert again.replayed
    again.replayed = False
    assert again == reply
    assert await core.world() == {"counter": {"n": 1}}


async def test_the_answered_calls_may_be_those_of_a_turn_shortly_before(serve: Serve) -> None:
    core = await serve(counting())
    replies = [await core.say(f"m{n}") for n in range(10)]
    for number, found in ((9, True), (5, True), (2, True), (1, False)):
        asked = looping(replies[number], "x")
        if found:
            assert (await core.agents.RunTurn(asked)).reply.number == number + 1
        else:
            failure = await core.refuses_turn(asked)
            assert (failure.reason, list(failure.fields)) == ("BAD_REQUEST", ["messages[2].tool_call_id"])


async def test_calls_of_two_replies_are_no_calls_of_one(serve: Serve) -> None:
    core = await serve(counting())
    first, second = await core.say("a"), await core.say("b")
    asked = request("a")
    asked.messages.extend(answering(first.tool_calls[0].id, second.tool_calls[0].id))
    assert (await core.refuses_turn(asked)).fields.keys() == {"messages[2].tool_call_id"}


@pytest.mark.parametrize(
    ("ids", "sid", "reason", "field"),
    [
        (["call_other"], "s1", "BAD_REQUEST", "messages[1].tool_call_id"),
        ([""], "s1", "BAD_REQUEST", "messages[1].tool_call_id"),
        (["call_other", ""], "s1", "BAD_REQUEST", "messages[2].tool_call_id"),
        (["call_other"], "", "BAD_REQUEST", "messages[1].tool_call_id"),
        (["call_other"], "nobody", "SESSION_NOT_FOUND", "session_id"),
    ],
)
async def test_what_answers_nothing_is_refused_and_stores_nothing(
    serve: Serve, ids: list[str], sid: str, reason: str, field: str
) -> None:
    core = await serve(counting())
    await core.say("a")
    asked = request("a", sid=sid)
    asked.messages.extend(answering(*ids))
    failure = await core.refuses_turn(asked)
    assert (failure.reason, list(failure.fields)) == (reason, [field])
    assert len((await core.turns()).turns) == 1


async def test_another_users_session_is_not_looked_into(serve: Serve) -> None:
    core = await serve(counting())
    reply = await core.say("a", user_id="ann")
    assert (await core.refuses_turn(looping(reply, "a", user_id="bob"))).reason == "USER_MISMATCH"
    assert (await core.agents.RunTurn(looping(reply, "a", user_id="ann"))).reply.number == 1


async def test_without_a_session_id_it_is_found_by_the_conversation_that_ends_with_it(serve: Serve) -> None:
    core = await serve(counting())
    reply = await core.say("a", sid="", user_id="ann")
    asked = looping(reply, "a", content=reply.text, sid="", user_id="ann")
    assert (await core.agents.RunTurn(asked)).reply.completion_id == reply.completion_id
    for other in (
        looping(reply, "b", content=reply.text, sid="", user_id="ann"),
        looping(reply, "a", content="otherwise", sid="", user_id="ann"),
        looping(reply, "a", content=reply.text, sid="", user_id="bob"),
    ):
        assert (await core.refuses_turn(other)).fields.keys() == {"messages[2].tool_call_id"}
    named = await core.say("a", sid="s1")  # one with an id is found by that alone
    assert (await core.refuses_turn(looping(named, "a", content=named.text, sid=""))).reason == "BAD_REQUEST"
