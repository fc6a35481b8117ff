"""An agent behind gRPC: what it is told, and what becomes of what it answers."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from core_running import PATIENCE, Running, refused, request
from remote_server import WAY, Context, Joined, Remote, completed, hosting, text

from greenroom.sdk import ToolError, World, tool
from greenroom.v1 import agent_pb2, tool_pb2, tool_pb2_grpc, turn_pb2, user_pb2

Turn = agent_pb2.RunTurnRequest
Events = AsyncIterator[agent_pb2.StreamTurnResponse]


@pytest.fixture(autouse=True, params=[Remote, Joined], ids=["calls", "stream"])
def way(request: pytest.FixtureRequest) -> Iterator[None]:
    """A call for each turn, or one stream for all."""
    token = WAY.set(request.param)
    yield
    WAY.reset(token)


async def echo(turn: Turn, context: Context) -> Events:
    """Repeats what was said last, and keeps how often it was asked in its state."""
    state = json.loads(turn.hosted.state_json)
    yield completed(f"you said {turn.messages[-1].content}", state={"asked": state.get("asked", 0) + 1})


@tool
def take(world: World, item: str) -> int:
    """Takes one of an item."""
    if item not in world["stock"]:
        raise ToolError(f"no {item}", code="unknown_item")
    world["stock"][item] -= 1
    return int(world["stock"][item])


STOCK = {"stock": {"pen": 5}}


async def invoke(turn: Turn, name: str, **arguments: Any) -> turn_pb2.ToolCall:
    """A call of one of the host's tools, as a remote agent makes it."""
    async with grpc.aio.insecure_channel(turn.hosted.tool_service) as channel:
        stub = tool_pb2_grpc.ToolServiceStub(channel)
        call = tool_pb2.InvokeToolRequest(
            name=name, arguments_json=json.dumps(arguments), turn_token=turn.hosted.turn_token
        )
        return (await stub.InvokeTool(call, timeout=PATIENCE)).call


async def test_it_gets_the_whole_conversation_and_all_that_is_known_of_the_turn(tmp_path: Path) -> None:
    async with hosting(echo, tmp_path) as (core, remote):
        await core.users.CreateUser(
            user_pb2.CreateUserRequest(user_id="u1", profile_json='{"tier":"gold"}', metadata_json='{"a":1,"b":1}')
        )
        await core.say("first", user_id="u1")
        first = remote.turns[-1]
        traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        system = turn_pb2.Message(role="system", content="Be brief.")
        asked = request("second", user_id="u1", metadata_json='{"b":2}', options_json='{"temperature":0.5}')
        asked.messages.insert(0, system)
        asked.traceparent, asked.request_id = traceparent, "req_2"
        await core.agents.RunTurn(asked, timeout=PATIENCE)
        turn = remote.turns[-1]
    assert [(message.role, message.content) for message in turn.messages] == [
        ("system", "Be brief."),
        ("user", "first"),
        ("assistant", "you said first"),
        ("user", "second"),
    ]
    assert (turn.session_id, turn.user_id, turn.transcript) == ("s1", "u1", True)
    assert (turn.traceparent, turn.request_id) == (traceparent, "req_2")
    assert json.loads(turn.metadata_json) == {"a": 1, "b": 2}
    assert json.loads(turn.options_json) == {"temperature": 0.5}
    assert 0 < turn.timeout_ms <= (PATIENCE + 1) * 1000  # gRPC rounds up
    hosted = turn.hosted
    assert (hosted.number, json.loads(hosted.state_json)) == (2, {"asked": 1})
    assert (hosted.user_profile_json, hosted.user_metadata_json) == ('{"tier":"gold"}', '{"a":1,"b":1}')
    assert (hosted.chat_id, hosted.turn_token, list(hosted.tools)) == (first.hosted.chat_id, "", [])
    assert hosted.now.ToDatetime().isoformat() == "2024-01-21T10:31:00"
    assert first.attempt_id != turn.attempt_id
    assert first.hosted.key != hosted.key


async def test_its_state_follows_the_transcript(tmp_path: Path) -> None:
    async with hosting(echo, tmp_path) as (core, remote):
        for texts in (["one"], ["one", "you said one", "two"], ["one", "you said one", "other"]):
            await core.say(*texts, transcript=True)
        assert [json.loads(turn.hosted.state_json) for turn in remote.turns] == [{}, {"asked": 1}, {"asked": 1}]


async def test_what_it_says_is_streamed_as_it_comes(tmp_path: Path) -> None:
    gate = asyncio.Event()

    async def halting(turn: Turn, context: Context) -> Events:
        yield text("one ")
        await gate.wait()
        yield text("two")
        yield completed("one two three")

    async with hosting(halting, tmp_path) as (core, _):
        stream = core.agents.StreamTurn(agent_pb2.StreamTurnRequest(turn=request("go")), timeout=PATIENCE)
        events = aiter(stream)
        assert (await anext(events)).HasField("started")
        assert (await anext(events)).text_delta == "one "
        gate.set()
        rest = [event async for event in events]
    assert "".join(event.text_delta for event in rest) == "two three"
    assert rest[-1].completed.text == "one two three"


async def test_the_reply_does_not_wait_for_what_it_does_after_it_and_does_not_break_that_off(tmp_path: Path) -> None:
    gate, done = asyncio.Event(), asyncio.Event()

    async def tidying(turn: Turn, context: Context) -> Events:
        yield completed("done")
        await gate.wait()
        done.set()

    async with hosting(tidying, tmp_path) as (core, remote):
        assert (await core.say("go")).text == "done"
        gate.set()
        await asyncio.wait_for(done.wait(), PATIENCE)
        assert not remote.gone.is_set()


async def test_confidence_usage_evaluation_and_metadata_are_taken_over(tmp_path: Path) -> None:
    async def knowing(turn: Turn, context: Context) -> Events:
        yield completed(
            "yes",
            confidence=0.25,
            usage=turn_pb2.Usage(prompt_tokens=11, completion_tokens=3),
            evaluation_json='{"found":true}',
            metadata_json='{"model":"m"}',
        )

    async with hosting(knowing, tmp_path) as (core, _):
        reply = await core.say("well?")
    assert (reply.confidence, reply.usage.prompt_tokens, reply.usage.completion_tokens) == (0.25, 11, 3)
    assert json.loads(reply.evaluation_json)["found"] is True
    assert json.loads(reply.metadata_json) == {"model": "m"}


async def test_what_it_does_not_say_is_left_to_the_host(tmp_path: Path) -> None:
    async with hosting(echo, tmp_path) as (core, _):
        reply = await core.say("hello")
    assert not reply.HasField("confidence")
    assert reply.usage.completion_tokens > 0


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[tuple[Running, Remote]]:
    """An agent that takes what it is told to, with a tool of its host's."""
    at: list[str] = []

    async def taking(turn: Turn, context: Context) -> Events:
        turn.hosted.tool_service = at[0]
        words = turn.messages[-1].content.split()
        calls = [await invoke(turn, "take", item=word) for word in words if word not in ("report", "tell")]
        if "tell" in words:
            for call in calls:
                yield agent_pb2.StreamTurnResponse(tool_call=called("take", {"item": "pen"}, 0, id=f"own_{call.id}"))
        left = [call.result_json for call in calls]
        yield completed(" ".join(left), tool_calls=calls if "report" in words else ())

    async with hosting(taking, tmp_path, tools=[take], world=STOCK) as (core, remote):
        at.append(f"127.0.0.1:{core.server.port}")
        yield core, remote


async def test_its_calls_of_the_hosts_tools_are_part_of_the_turn(shop: tuple[Running, Remote]) -> None:
    core, remote = shop
    reply = await core.say("pen pen")
    assert (reply.text, [call.ok for call in reply.tool_calls]) == ("4 3", [True, True])
    assert reply.tool_calls[0].changes[0].collection == "stock"
    assert await core.world() == {"stock": {"pen": 3}}
    [described] = remote.turns[0].hosted.tools
    assert (described.name, described.description) == ("take", "Takes one of an item.")
    assert json.loads(described.parameters_json)["required"] == ["item"]


async def test_a_failed_call_is_data_and_recorded_as_such(shop: tuple[Running, Remote]) -> None:
    core, _ = shop
    reply = await core.say("ink")
    assert json.loads(reply.text) == {"error": {"type": "unknown_item", "message": "no ink"}}
    assert [(call.name, call.ok) for call in reply.tool_calls] == [("take", False)]


async def test_a_call_that_came_in_and_is_reported_too_is_recorded_once(shop: tuple[Running, Remote]) -> None:
    core, _ = shop
    assert len((await core.say("pen pen report")).tool_calls) == 2
    assert len((await core.say("pen pen tell report")).tool_calls) == 2


async def test_the_worlds_of_its_sessions_never_meet(shop: tuple[Running, Remote]) -> None:
    core, _ = shop
    replies = await asyncio.gather(*(core.say("pen pen", sid=f"s{number}") for number in range(20)))
    assert {reply.text for reply in replies} == {"4 3"}


async def test_a_scenario_scripts_the_tools_it_calls_and_it_does_not_see_that(tmp_path: Path) -> None:
    seen: list[turn_pb2.ToolCall] = []
    at: list[str] = []

    async def taking(turn: Turn, context: Context) -> Events:
        turn.hosted.tool_service = at[0]
        seen.append(await invoke(turn, "take", item="pen"))
        yield completed("done")

    scenario = {"id": "sold_out", "tools": {"take": [{"error": {"code": "sold_out", "message": "none left"}}]}}
    async with hosting(taking, tmp_path, [[scenario]], tools=[take], world=STOCK) as (core, _):
        at.append(f"127.0.0.1:{core.server.port}")
        reply = await core.say("pen", metadata_json='{"scenario_id":"sold_out"}')
    [recorded] = reply.tool_calls
    assert recorded.scripted_by.startswith("sold_out")
    assert (seen[0].id, seen[0].scripted_by, seen[0].ok) == (recorded.id, "", False)
    assert json.loads(seen[0].result_json)["error"]["type"] == "sold_out"


async def test_its_token_is_dead_once_its_turn_is_over(shop: tuple[Running, Remote]) -> None:
    core, remote = shop
    await core.say("pen")
    call = tool_pb2.InvokeToolRequest(name="take", turn_token=remote.turns[0].hosted.turn_token)
    assert (await refused(core.tools.InvokeTool(call))).code is grpc.StatusCode.NOT_FOUND
    assert await core.world() == {"stock": {"pen": 4}}


def called(name: str, arguments: Any, result: Any, *, ok: bool = True, id: str = "") -> turn_pb2.ToolCall:
    return turn_pb2.ToolCall(
        id=id, name=name, arguments_json=json.dumps(arguments), result_json=json.dumps(result), ok=ok
    )


def shown(reply: turn_pb2.Reply) -> list[tuple[str, Any, Any, bool]]:
    return [
        (call.name, json.loads(call.arguments_json), json.loads(call.result_json), call.ok) for call in reply.tool_calls
    ]


async def test_calls_it_made_itself_are_recorded_once_however_often_it_tells_them(tmp_path: Path) -> None:
    calls = [
        called("look", {"n": 1}, {"found": 2}, id="call_own_1"),
        called("look", {"n": 1}, {"found": 2}, id="call_own_2"),
        called("look", {"n": 1}, None),
        called("pay", {}, {"error": {"type": "declined", "message": "no money"}}, ok=False),
    ]

    async def busy(turn: Turn, context: Context) -> Events:
        for call in calls[1:]:
            yield agent_pb2.StreamTurnResponse(tool_call=call)
        yield completed("done", tool_calls=calls)

    async with hosting(busy, tmp_path) as (core, _):
        reply = await core.say("go")
        assert sorted(shown(reply), key=str) == sorted(
            [
                ("look", {"n": 1}, {"found": 2}, True),
                ("look", {"n": 1}, {"found": 2}, True),
                ("look", {"n": 1}, None, True),
                ("pay", {}, {"error": {"type": "declined", "message": "no money"}}, False),
            ],
            key=str,
        )
        assert {"call_own_1", "call_own_2"} < {call.id for call in reply.tool_calls}


async def test_stored_tool_calls_stand_in_the_next_turns_conversation(tmp_path: Path) -> None:
    async def looking(turn: Turn, context: Context) -> Events:
        yield completed("done", tool_calls=[called("look", {"n": 1}, 2, id="call_1")])

    async with hosting(looking, tmp_path) as (core, remote):
        await core.say("one")
        await core.say("two")
        _, asking, answer, *_ = remote.turns[-1].messages
    assert json.loads(asking.tool_calls_json)[0]["function"] == {"name": "look", "arguments": '{"n": 1}'}
    assert not asking.HasField("content")
    assert (answer.role, answer.tool_call_id, answer.content) == ("tool", "call_1", "2")
