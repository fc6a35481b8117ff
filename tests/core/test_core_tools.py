"""Tools: what they take, how calls are recorded, and calling them by hand (CHAT-10, SEC-08, GRPC-01)."""

import asyncio
import json
from types import SimpleNamespace
from typing import Annotated, Any, Literal

import grpc
import pytest
from core_running import Running, Serve, refused, until
from pydantic import BaseModel, Field

from greenroom.core.agent import AgentError
from greenroom.core.limits import Limits
from greenroom.core.served import Served
from greenroom.sdk import Agent, Call, Tool, ToolError, ToolFailed, Turn, User, World, tool
from greenroom.v1 import tool_pb2, turn_pb2


class Address(BaseModel):
    street: str
    city: str = "Rome"


@tool
async def move(
    world: World, turn: Turn, user: User, call: Call, address: Address, floor: int = 0, mode: Literal["a", "b"] = "a"
) -> dict[str, Any]:
    """Moves somebody.

    It may take a while.

    Args:
        address: Where to.
        floor (int): Which floor.

    Returns:
        What was done.
    """
    world["homes"]["me"] = {"street": address.street, "floor": floor}
    return {"user": user.id, "turn": turn.number, "call": [call.id, call.name], "city": address.city, "mode": mode}


@tool
async def odd(schema: str, json: int, copy: bool, model_config: str, _private: str = "x") -> list[Any]:
    """Has parameters named as nothing should be."""
    return [schema, json, copy, model_config, _private]


@tool(name="renamed", timeout=0.02)
async def slow() -> None:
    """Never ends."""
    await asyncio.Event().wait()


@tool
def plain(n: Annotated[int, Field(ge=0)]) -> int:
    """Runs in a thread."""
    if n == 7:
        raise ToolError("Seven it is not.", code="unlucky")
    return n + 1


@tool
async def outer(turn: Turn, n: int) -> str:
    """Calls another tool."""
    return f"{await turn.call(plain, n=n)}"


@tool
async def result(kind: str) -> Any:
    """Returns what no JSON holds, or too much."""
    return {"big": "x" * 1024 * 1024, "set": {1}, "object": object(), "fits": "x" * (1024 * 1024 - 2)}[kind]


@tool
async def give_up() -> None:
    """Waits for something that was cancelled."""
    waiting = asyncio.ensure_future(asyncio.Event().wait())
    waiting.cancel()
    await waiting


TOOLS = (move, odd, slow, plain, outer, result, give_up)


def scripted() -> Agent:
    """Calls the tools that its user names: a JSON list of [name, arguments]."""
    agent = Agent("scripted", tools=TOOLS, world={"homes": {}})

    @agent.reply
    async def reply(turn: Turn) -> str:
        said = []
        for name, arguments in json.loads(turn.text):
            try:
                said.append(await turn.call(name, **arguments))
            except ToolFailed as failed:
                said.append(f"{failed.type}: {failed.message}")
        return json.dumps(said)

    return agent


async def do(core: Running, *calls: tuple[str, dict[str, Any]], **fields: Any) -> turn_pb2.Reply:
    return await core.say(json.dumps(calls), **fields)


async def test_tools_are_listed_with_schemas_from_signature_and_docstring(serve: Serve) -> None:
    core = await serve(scripted())
    listed = {one.name: one for one in (await core.tools.ListTools(tool_pb2.ListToolsRequest())).tools}
    assert list(listed) == ["move", "odd", "renamed", "plain", "outer", "result", "give_up"]
    assert listed["move"].description == "Moves somebody.\n\nIt may take a while."
    schema = json.loads(listed["move"].parameters_json)
    assert set(schema["properties"]) == {"address", "floor", "mode"}
    assert schema["required"] == ["address"]
    assert schema["properties"]["floor"] == {"type": "integer", "default": 0, "description": "Which floor."}
    assert schema["properties"]["mode"]["enum"] == ["a", "b"]
    assert schema["properties"]["address"]["description"] == "Where to."
    assert schema["$defs"]["Address"]["required"] == ["street"]
    assert json.loads(listed["renamed"].parameters_json)["properties"] == {}
    assert set(json.loads(listed["odd"].parameters_json)["properties"]) == {
        "schema",
        "json",
        "copy",
        "model_config",
        "_private",
    }


async def test_injected_parameters_are_filled_in_by_type_and_arguments_are_recorded_as_given(serve: Serve) -> None:
    core = await serve(scripted())
    answer = await do(core, ("move", {"address": {"street": "Main"}, "floor": 2}), user_id="ann")
    [call] = answer.tool_calls
    assert json.loads(answer.text) == [
        {"user": "ann", "turn": 1, "call": [call.id, "move"], "city": "Rome", "mode": "a"}
    ]
    assert call.arguments_json == '{"address": {"street": "Main"}, "floor": 2}'
    assert json.loads(call.result_json) == json.loads(answer.text)[0]
    assert [(change.collection, change.key, change.after_json) for change in call.changes] == [
        ("homes", "me", '{"street":"Main","floor":2}')
    ]
    assert (call.ok, call.id.startswith("call_"), call.duration_us >= 0, call.started_us >= 0) == (
        True,
        True,
        True,
        True,
    )


async def test_a_parameter_may_have_any_name(serve: Serve) -> None:
    core = await serve(scripted())
    answer = await do(core, ("odd", {"schema": "s", "json": 1, "copy": True, "model_config": "m"}))
    assert json.loads(answer.text) == [["s", 1, True, "m", "x"]]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({}, ["address"]),
        ({"address": {}}, ["address.street"]),
        ({"address": {"street": "x"}, "floor": "high", "mode": "c"}, ["floor", "mode"]),
        ({"address": {"street": "x"}, "unknown": 1}, ["unknown"]),
        ({"address": {"street": "x"}, "world": {}}, ["world"]),
    ],
)
async def test_wrong_arguments_fail_the_call_and_are_each_named(
    serve: Serve, arguments: dict[str, Any], named: list[str]
) -> None:
    core = await serve(scripted())
    answer = await do(core, ("move", arguments))
    error = json.loads(answer.tool_calls[0].result_json)["error"]
    assert error["type"] == "invalid_arguments"
    assert [part.partition(":")[0] for part in error["message"].split("; ")] == named
    assert not answer.tool_calls[0].ok


async def test_names_and_codes_that_have_no_utf_8_fail_the_call_and_not_the_turn(serve: Serve) -> None:
    @tool
    def coded() -> str:
        """Fails with a code that is no text."""
        raise ToolError("no", code="a\ud800")

    agent = Agent("odd", tools=[coded])

    @agent.reply
    async def reply(turn: Turn) -> str:
        calls = [{"id": "c", "function": {"name": name, "arguments": "{}"}} for name in ("l\ud800k", "coded")]
        return "\n".join(json.loads(answer["content"])["error"]["type"] for answer in await turn.tools.run(calls))

    core = await serve(agent)
    answer = await core.say("hi")
    assert answer.text.splitlines() == ["invalid_arguments", "a?"]
    assert [call.name for call in answer.tool_calls] == ["l?k", "coded"]


async def test_each_way_of_failing_has_its_type_and_message(serve: Serve) -> None:
    core = await serve(scripted())
    answer = await do(
        core,
        ("plain", {"n": 7}),
        ("outer", {"n": 7}),
        ("renamed", {}),
        ("unknown", {"a": 1}),
        ("plain", {"n": -1}),
        ("result", {"kind": "set"}),
        ("result", {"kind": "none"}),
        ("give_up", {}),
        ("plain", {"n": 1}),
    )
    assert json.loads(answer.text) == [
        "unlucky: Seven it is not.",
        "unlucky: Seven it is not.",
        "timeout: renamed did not answer within 0.02 s",
        "invalid_arguments: there is no tool named 'unknown'",
        "invalid_arguments: n: Input should be greater than or equal to 0",
        "WorldError: the tool's result is not JSON: Object of type set is not JSON serializable",
        "KeyError: 'none'",
        "cancelled: it was cancelled before it had an answer",
        2,
    ]
    calls = [(call.name, call.ok) for call in answer.tool_calls]
    assert calls == [
        ("plain", False),
        ("outer", False),
        ("plain", False),
        ("renamed", False),
        ("unknown", False),
        ("plain", False),
        ("result", False),
        ("result", False),
        ("give_up", False),
        ("plain", True),
    ]
    evaluation = json.loads(answer.evaluation_json)
    assert evaluation == {"tool_called": "plain", "tool_success": False, "resolution_step": 1}


async def test_sixty_four_calls_are_a_turns_bound(serve: Serve) -> None:
    core = await serve(scripted())
    many = [("plain", {"n": 1})] * 64
    assert len((await do(core, *many)).tool_calls) == 64
    failure = await core.refuses(json.dumps([*many, ("plain", {"n": 1})]))
    assert (failure.code, failure.reason, failure.retryable) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "LIMIT_EXCEEDED",
        False,
    )
    assert len((await core.turns()).failed[0].tool_calls) == 64


async def test_a_result_of_a_mebibyte_is_the_bound(serve: Serve) -> None:
    core = await serve(scripted())
    assert len((await do(core, ("result", {"kind": "fits"}))).tool_calls[0].result_json) == 1024 * 1024
    assert (await core.refuses(json.dumps([("result", {"kind": "big"})]))).reason == "LIMIT_EXCEEDED"


async def test_a_models_tool_calls_run_side_by_side_and_are_answered_in_their_order(serve: Serve) -> None:
    agent, answers = Agent("model", tools=TOOLS), list[Any]()
    calls: list[Any] = [
        {"id": "c1", "type": "function", "function": {"name": "renamed", "arguments": "{}"}},
        {"id": "c2", "type": "function", "function": {"name": "plain", "arguments": '{"n": 1}'}},
        {"id": "c3", "type": "function", "function": {"name": "plain", "arguments": "{"}},
        {"id": "c4", "type": "function", "function": {"name": "none", "arguments": ""}},
    ]
    dumped = calls[1]
    calls[1] = SimpleNamespace(model_dump=lambda: dumped)

    @agent.reply
    async def reply(turn: Turn) -> str:
        schemas = turn.tools.openai()
        answers.extend(await turn.tools.run(calls))
        return json.dumps([schema["function"]["name"] for schema in schemas])

    core = await serve(agent)
    answer = await core.say("go")
    assert json.loads(answer.text) == [one.name for one in TOOLS]
    assert [(one["role"], one["tool_call_id"]) for one in answers] == [("tool", f"c{n}") for n in range(1, 5)]
    contents = [json.loads(one["content"]) for one in answers]
    assert contents[1] == 2
    assert [contents[n]["error"]["type"] for n in (0, 2, 3)] == ["timeout", "invalid_arguments", "invalid_arguments"]
    assert [call.name for call in answer.tool_calls] == ["renamed", "plain", "plain", "none"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ('{"n": 1', "no JSON: Expecting ',' delimiter: line 1 column 8 (char 7)"),
        ("[1]", "JSON, but no object"),
        ("7", "JSON, but no object"),
        ("[" * 100_000, "no JSON: "),
    ],
)
async def test_a_models_arguments_that_are_no_json_object_never_reach_a_tool(
    serve: Serve, arguments: str, said: str
) -> None:
    ran, answers = list[Any](), list[Any]()

    async def take(arguments: dict[str, Any]) -> str:
        ran.append(arguments)
        return "all of it"

    agent = Agent("model", tools=[Tool.described("take", take, parameters={"type": "object"})])

    @agent.reply
    async def reply(turn: Turn) -> str:
        answers.extend(await turn.tools.run([{"id": "c", "function": {"name": "take", "arguments": arguments}}]))
        return "tried"

    core = await serve(agent)
    [call] = (await core.say("go")).tool_calls
    error = json.loads(answers[0]["content"])["error"]
    assert (error["type"], error["message"][: len(said) + 18]) == ("invalid_arguments", f"the arguments are {said}")
    assert (call.ok, json.loads(call.arguments_json), ran) == (False, {"arguments": arguments}, [])


async def test_a_models_arguments_may_be_an_object_already(serve: Serve) -> None:
    agent, answers = Agent("model", tools=TOOLS), list[Any]()

    @agent.reply
    async def reply(turn: Turn) -> str:
        answers.extend(await turn.tools.run([{"id": "c", "function": {"name": "plain", "arguments": {"n": 1}}}]))
        return "ran"

    [call] = (await (await serve(agent)).say("go")).tool_calls
    assert (call.ok, answers[0]["content"]) == (True, "2")


def unannotated(turn: Turn) -> None: ...


@tool
def vague(what) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
    """Says not what it takes."""


@tool
def greedy(*everything: str) -> None:
    """Takes anything."""


@tool
def impossible(thing: object, other: "Missing") -> None:  # type: ignore[name-defined]  # noqa: F821
    """Takes what does not exist."""


@pytest.mark.parametrize("bad", [vague, greedy, impossible])
def test_a_tool_that_no_model_could_call_is_refused_at_the_start(bad: Any) -> None:
    agent = Agent("bad", tools=[plain, bad])
    with pytest.raises(AgentError, match=bad.name):
        Served(agent, "bad", Limits())


def test_two_tools_of_one_name_are_refused_at_the_start() -> None:
    twin = tool(name="plain")(lambda: None)
    with pytest.raises(AgentError, match="plain"):
        Served(Agent("twins", tools=[plain, twin]), "twins", Limits())


# ToolService


async def invoke(core: Running, name: str, arguments: Any = None, **fields: str) -> turn_pb2.ToolCall:
    text = "" if arguments is None else json.dumps(arguments)
    request = tool_pb2.InvokeToolRequest(name=name, arguments_json=text, **fields)
    return (await core.tools.InvokeTool(request)).call


async def test_a_tool_called_aside_shows_what_it_does_and_does_nothing(serve: Serve) -> None:
    core = await serve(scripted())
    await do(core, ("move", {"address": {"street": "Main"}}), user_id="ann")
    before = await core.world()
    call = await invoke(core, "move", {"address": {"street": "Side"}}, session_id="s1")
    assert json.loads(call.result_json)["user"] == "ann"
    assert [(json.loads(change.before_json), json.loads(change.after_json)) for change in call.changes] == [
        ({"street": "Main", "floor": 0}, {"street": "Side", "floor": 0})
    ]
    fresh = await invoke(core, "move", {"address": {"street": "Side"}}, user_id="bob")
    assert (json.loads(fresh.result_json)["user"], fresh.changes[0].HasField("before_json")) == ("bob", False)
    assert await core.world() == before
    assert len((await core.turns()).turns) == 1
    listed = await core.tools.ListToolCalls(tool_pb2.ListToolCallsRequest(session_id="s1"))
    assert [(one.turn, one.superseded, one.call.name) for one in listed.tool_calls] == [(1, False, "move")]


async def test_a_tools_own_failure_is_data_and_wrong_json_is_not(serve: Serve) -> None:
    core = await serve(scripted())
    call = await invoke(core, "plain", {"n": 7})
    assert (call.ok, json.loads(call.result_json)["error"]["type"]) == (False, "unlucky")
    assert json.loads((await invoke(core, "plain", {})).result_json)["error"]["type"] == "invalid_arguments"
    wrong = core.tools.InvokeTool(tool_pb2.InvokeToolRequest(name="plain", arguments_json="[]"))
    assert list((await refused(wrong)).fields) == ["arguments"]


async def test_numbers_reach_a_tool_as_they_were_sent(serve: Serve) -> None:
    @tool
    async def same(value: Any) -> Any:
        """Returns it."""
        return value

    core = await serve(scripted_with(same))
    for text in ("9007199254740993", "1.5", "123456789012345678901234567890", '"\\u0000"'):
        request = tool_pb2.InvokeToolRequest(name="same", arguments_json=f'{{"value": {text}}}')
        assert json.loads((await core.tools.InvokeTool(request)).call.result_json) == json.loads(text)


def scripted_with(*tools: Any) -> Agent:
    agent = Agent("with", tools=tools)

    @agent.reply
    async def reply(turn: Turn) -> str:
        return "unused"

    return agent


async def test_a_tool_called_with_a_turns_token_is_part_of_that_turn(serve: Serve) -> None:
    agent, gate, tokens = Agent("remote", tools=TOOLS, world={"homes": {}}), asyncio.Event(), list[str]()

    @agent.reply
    async def reply(turn: Turn) -> str:
        tokens.append(turn.token)
        await gate.wait()
        return str(turn.world["homes"]["me"]["street"])

    core = await serve(agent)
    turn = asyncio.ensure_future(core.say("go"))
    await until(lambda: bool(tokens))
    call = await invoke(core, "move", {"address": {"street": "Main"}}, turn_token=tokens[0])
    failed = await invoke(core, "plain", {"n": 7}, turn_token=tokens[0])
    gate.set()
    answer = await turn
    assert answer.text == "Main"
    assert [(one.id, one.ok) for one in answer.tool_calls] == [(call.id, True), (failed.id, False)]
    assert (await core.world())["homes"] == {"me": {"street": "Main", "floor": 0}}
    over = core.tools.InvokeTool(tool_pb2.InvokeToolRequest(name="plain", turn_token=tokens[0]))
    assert (await refused(over)).code is grpc.StatusCode.NOT_FOUND
