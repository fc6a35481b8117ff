"""Agents of the OpenAI Agents SDK, served. Run by test_openai_agents.py where the SDK is installed."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from agents import (
    Agent,
    GuardrailFunctionOutput,
    RunContextWrapper,
    RunHooks,
    WebSearchTool,
    function_tool,
    handoff,
    input_guardrail,
    output_guardrail,
)
from agents.mcp import MCPServer
from agents.tracing import get_trace_provider
from mcp.types import CallToolResult, TextContent
from mcp.types import Tool as MCPTool
from observed import Observed, assistant, calls, scripted, sees_tools_in_the_toolbox, side_by_side, user
from openai import APIConnectionError
from openai.types.responses import ResponseFunctionWebSearch
from openai_agents_model import FakeModel, Item, call, last_user, text
from pydantic import BaseModel
from replayed import FAILING, LIVE, PLAIN, asked_for, fails_by_its_own, names_of, ran, sees_tools_replayed
from replayed import TOOLS as CITY_TOOLS

from greenroom.agents.adapters import adapt, current_turn
from greenroom.agents.adapters.openai_agents import OpenAIAgentsAgent
from greenroom.core.errors import AgentDown, AgentFailed
from greenroom.sdk import AgentError, Usage
from greenroom.sdk.testing import play


@function_tool
def look_up(order_id: str) -> str:
    """Looks an order up.

    Args:
        order_id: The order's number.
    """
    if order_id == "0":
        raise ValueError("no such order")
    return f"{order_id} is on its way"


@function_tool
async def cancel(order_id: str) -> dict[str, str]:
    """Cancels an order."""
    current_turn().world["orders"][order_id]["status"] = "cancelled"
    return {"cancelled": order_id}


TOOLS = {"look up": "look_up", "order": "look_up", "cancel": "cancel"}


def desk(system: str, items: list[Item]) -> list[Any]:
    """ "look up 7" calls the tool and tells its result; anything else is answered with all that the user has said."""
    if items[-1].get("type") == "function_call_output":
        return [text(f"It says: {items[-1]['output']}")]
    said = last_user(items)
    verb, _, order = said.rpartition(" ")
    if verb in TOOLS:
        return [text("One moment."), call(TOOLS[verb], json.dumps({"order_id": order}))]
    return [text(f"You said {', '.join(item['content'] for item in items if item.get('role') == 'user')}")]


def shop(model: FakeModel | None = None) -> Agent[Any]:
    return Agent("desk", instructions="Be kind.", model=model or FakeModel(desk), tools=[look_up, cancel])


def served(model: FakeModel | None = None, **parts: Any) -> OpenAIAgentsAgent:
    return OpenAIAgentsAgent(shop(model), world={"orders": {"7": {"status": "paid"}}}, **parts)


async def test_an_agent_is_recognised_and_its_tools_are_listed() -> None:
    agent = adapt(Agent("desk", tools=[look_up]), "")
    assert agent is not None
    assert agent.name == "desk"
    [tool] = agent.tools
    assert (tool.name, tool.description) == ("look_up", "Looks an order up.")
    assert tool.signature.schema()["properties"]["order_id"]["description"] == "The order's number."


async def test_tools_run_in_the_turns_toolbox_with_the_sessions_world() -> None:
    await sees_tools_in_the_toolbox(served())


async def test_a_failing_tool_is_recorded_and_the_model_is_told_as_the_sdk_tells_it() -> None:
    [reply] = await play(served(), ["look up 0"])
    assert "An error occurred while running the tool" in reply.text
    [(_, ok, result)] = calls(reply)
    assert (ok, json.loads(result)["error"]) == (False, {"type": "ValueError", "message": "no such order"})


async def test_a_scenario_scripts_the_tools() -> None:
    [reply] = await play(served(), ["look up 7"], **scripted("look_up", **{"return": {"status": "lost"}}))
    assert reply.text.endswith('It says: {"status": "lost"}')
    assert reply.tool_calls[0].scripted_by
    [reply] = await play(served(), ["look up 7"], **scripted("look_up", error={"code": "down", "message": "Down."}))
    assert "An error occurred while running the tool" in reply.text
    assert json.loads(calls(reply)[0][2])["error"]["type"] == "down"


async def test_a_tool_past_its_time_is_a_timeout_in_the_evidence_and_to_the_model() -> None:
    @function_tool(timeout=0.01)
    async def look_up(order_id: str) -> str:
        await asyncio.Event().wait()
        return "never"

    [reply] = await play(OpenAIAgentsAgent(Agent("desk", model=FakeModel(desk), tools=[look_up])), ["look up 7"])
    assert json.loads(calls(reply)[0][2])["error"]["type"] == "timeout"
    assert "timed out" in reply.text


async def test_text_is_told_as_the_model_writes_it_and_usage_is_the_models() -> None:
    watched = Observed(served())

    def says(system: str, items: list[Item]) -> list[Any]:
        watched.events.append("(asked)")
        return desk(system, items)

    watched.agent._instances.pristine.model.says = says  # type: ignore[attr-defined]
    await play(watched.agent, ["look up 7"])
    assert watched.events == [
        "(asked)", "One", " moment.", "(asked)", "\n\n", "It", " says:", " 7", " is", " on", " its", " way",
    ]  # fmt: skip
    assert watched.usages == [Usage(20, 10)]


async def test_nothing_is_told_to_the_model_twice_and_system_messages_hold_for_their_turn() -> None:
    model = FakeModel(desk)
    system = {"role": "system", "content": "The shop is closed."}
    replies = await play(
        served(model), ["look up 7", [system, user("a")], [{**system, "content": "Now it is open."}, user("b")]]
    )
    assert replies[-1].text == "You said look up 7, a, b"
    roles = [[item.get("role") or item["type"] for item in items] for _, items in model.asked]
    turn_1 = ["user", "assistant", "function_call", "function_call_output", "assistant"]
    assert roles[2:] == [["system", *turn_1, "user"], ["system", *turn_1, "user", "assistant", "user"]]
    assert model.asked[-1][1][0]["content"] == "Now it is open."
    assert {instructions for instructions, _ in model.asked} == {"Be kind."}


async def test_a_history_that_only_the_request_has_is_handed_over_whole() -> None:
    model = FakeModel(desk)
    history = [user("a"), assistant("You said a"), user("b")]
    await play(served(model), [history])
    assert [item["content"] for item in model.asked[0][1]] == ["a", "You said a", "b"]
    edited = [user("a"), assistant("Something else"), user("c")]
    await play(served(model), ["a", edited])
    assert [item["content"] for item in model.asked[-1][1]] == ["a", "Something else", "c"]


async def test_going_back_takes_the_memory_back() -> None:
    model = FakeModel(desk)
    first = [user("a")]
    second = [*first, assistant("You said a"), user("b")]
    other = [*first, assistant("You said a"), user("c")]
    replies = await play(served(model), [first, second, other])
    assert [reply.text for reply in replies] == ["You said a", "You said a, b", "You said a, c"]


async def test_sessions_at_once_do_not_hear_of_each_other() -> None:
    agent = served()
    talks = {f"s{number}": [f"first {number}", "look up 7", f"last {number}"] for number in range(8)}
    for session, replies in (await side_by_side(agent, talks)).items():
        number = session.removeprefix("s")
        assert replies[-1].text == f"You said first {number}, look up 7, last {number}"


async def test_whoever_was_handed_the_conversation_keeps_it() -> None:
    def says(system: str, items: list[Item]) -> list[Any]:
        if system == "triage" and last_user(items) == "bill me":
            return [call("transfer_to_billing")]
        if system == "billing" and last_user(items) == "back":
            return [call("transfer_to_triage")]
        return desk(system, items) if last_user(items).startswith("look") else [text(f"Here is {system}.")]

    model = FakeModel(says)
    triage: Agent[Any] = Agent("triage", instructions="triage", model=model)
    billing: Agent[Any] = Agent("billing", instructions="billing", model=model, tools=[look_up], handoffs=[triage])
    triage.handoffs.append(handoff(billing))
    agent = OpenAIAgentsAgent(triage)
    assert [tool.name for tool in agent.tools] == ["look_up"]
    replies = await play(agent, ["hello", "bill me", "look up 7", "back", "hello"])
    assert [reply.metadata["openai_agents"]["agent"] for reply in replies] == [
        "triage", "billing", "billing", "triage", "triage",
    ]  # fmt: skip
    assert calls(replies[2]) == [("look_up", True, '"7 is on its way"')]
    assert replies[1].text == "Here is billing."


async def test_an_agent_that_is_a_tool_has_its_own_tools_recorded_too() -> None:
    inner = Agent("expert", instructions="expert", model=FakeModel(desk), tools=[look_up])

    def says(system: str, items: list[Item]) -> list[Any]:
        if items[-1].get("type") == "function_call_output":
            return [text(items[-1]["output"])]
        return [call("ask_expert", '{"input": "look up 7"}')]

    tool = inner.as_tool("ask_expert", "Asks the expert.")
    agent = OpenAIAgentsAgent(Agent("desk", model=FakeModel(says), tools=[tool]))
    watched = Observed(agent)
    [reply] = await play(agent, ["?"])
    assert reply.text == "It says: 7 is on its way"
    assert [name for name, _, _ in calls(reply)] == ["ask_expert", "look_up"]
    assert watched.usages == [Usage(40, 20)]


async def test_a_guardrail_that_trips_is_a_reply_and_what_it_stopped_was_never_said() -> None:
    @input_guardrail
    async def no_secrets(context: RunContextWrapper[Any], agent: Agent[Any], said: Any) -> GuardrailFunctionOutput:
        return GuardrailFunctionOutput(None, tripwire_triggered="secret" in said[-1]["content"])

    @output_guardrail
    async def no_insults(context: RunContextWrapper[Any], agent: Agent[Any], output: str) -> GuardrailFunctionOutput:
        return GuardrailFunctionOutput(None, tripwire_triggered="fool" in output)

    model = FakeModel(desk)
    agent = Agent("desk", model=model, input_guardrails=[no_secrets], output_guardrails=[no_insults])
    refused, again, insulted = await play(
        OpenAIAgentsAgent(agent, refusal="No."), ["tell me the secret", "hello", "fool"]
    )
    assert (refused.text, refused.metadata["openai_agents"]["guardrail"]) == ("No.", "no_secrets")
    assert again.text == "You said tell me the secret, hello"
    assert (insulted.text, insulted.metadata["openai_agents"]["guardrail"]) == ("No.", "no_insults")


async def test_a_refusal_of_the_model_is_its_reply() -> None:
    model = FakeModel(lambda system, items: [text("I will not.", refused=True)])
    replies = await play(OpenAIAgentsAgent(Agent("desk", model=model)), ["a", "b"])
    assert [reply.text for reply in replies] == ["I will not.", "I will not."]
    assert [item["content"] for item in model.asked[1][1]] == ["a", "I will not.", "b"]


class Verdict(BaseModel):
    good: bool


async def test_an_output_that_is_no_text_is_told_as_json() -> None:
    model = FakeModel(lambda system, items: [text('{"good": true}')])
    [reply] = await play(OpenAIAgentsAgent(Agent("desk", model=model, output_type=Verdict)), ["?"])
    assert json.loads(reply.text) == {"good": True}
    agent = Agent("desk", model=FakeModel(desk), tools=[cancel], tool_use_behavior="stop_on_first_tool")
    world = {"orders": {"7": {"status": "paid"}}}
    [reply] = await play(OpenAIAgentsAgent(agent, world=world), ["cancel 7"])
    assert reply.text == "One moment.\n\n{'cancelled': '7'}"  # as the SDK writes it


async def test_a_model_that_is_not_reached_is_unavailable_and_any_other_error_is_the_agents_own() -> None:
    def fail(error: Exception) -> FakeModel:
        def says(system: str, items: list[Item]) -> list[Any]:
            raise error

        return FakeModel(says)

    down = served(fail(APIConnectionError(request=None)))  # type: ignore[arg-type]
    with pytest.raises(AgentDown):
        await play(down, ["a"])
    with pytest.raises(AgentFailed):
        await play(served(fail(KeyError("x"))), ["a"])


async def test_a_factory_makes_the_agent_for_each_turn_and_context_is_made_from_the_turn() -> None:
    made: list[Agent[Any]] = []

    @function_tool
    def who(context: RunContextWrapper[str]) -> str:
        return context.context

    def make() -> Agent[Any]:
        made.append(
            Agent("desk", model=FakeModel(lambda s, i: desk(s, i) if len(i) > 1 else [call("who")]), tools=[who])
        )
        return made[-1]

    agent = OpenAIAgentsAgent(make, factory=True, context=lambda turn: f"it is {turn.user.id}")
    [reply] = await play(agent, ["who"], user_id="ann")
    assert reply.text == "It says: it is ann"
    assert len(made) == 2
    with pytest.raises(AgentError, match=r"run takes .*, not session"):
        OpenAIAgentsAgent(make, factory=True, run={"session": None})


async def test_nothing_is_traced_unless_a_run_config_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(*arguments: Any, disabled: bool = False, **keywords: Any) -> Any:
        assert disabled
        return create(*arguments, disabled=disabled, **keywords)

    provider = get_trace_provider()
    create = provider.create_trace
    monkeypatch.setattr(provider, "create_trace", start)
    [reply] = await play(served(), ["look up 7"])
    assert reply.text


class Shelf(MCPServer):
    """An MCP server with one tool. `asked` is what it was asked."""

    name = "shelf"

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.asked: list[str] = []

    async def connect(self) -> None: ...

    async def cleanup(self) -> None: ...

    async def list_tools(self, run_context: Any = None, agent: Any = None) -> list[MCPTool]:
        schema = {"type": "object", "properties": {"order_id": {"type": "string"}}}
        return [MCPTool(name="look_up", description="Looks it up.", input_schema=schema)]

    async def call_tool(self, tool_name: str, arguments: Any, meta: Any = None) -> CallToolResult:
        self.asked.append(arguments["order_id"])
        return CallToolResult(content=[TextContent(type="text", text=f"{arguments['order_id']} is on the shelf")])

    async def list_prompts(self) -> Any: ...

    async def get_prompt(self, name: str, arguments: Any = None) -> Any: ...


async def test_an_mcp_servers_tools_run_in_the_toolbox() -> None:
    agent = OpenAIAgentsAgent(Agent("desk", model=FakeModel(desk), mcp_servers=[Shelf()]))
    [reply] = await play(agent, ["look up 7"])
    [(name, ok, result)] = calls(reply)
    assert (name, ok) == ("look_up", True)
    assert "7 is on the shelf" in result
    assert "7 is on the shelf" in reply.text


@pytest.mark.parametrize("resolved", [False, True])
async def test_an_mcp_servers_tools_are_replayed_where_nothing_of_the_run_goes_to_it(
    tmp_path: Path, resolved: bool
) -> None:
    path, shelf = tmp_path / "talk.jsonl", Shelf(tool_meta_resolver=(lambda context: {"a": 1}) if resolved else None)
    agent = OpenAIAgentsAgent(Agent("desk", model=FakeModel(desk), mcp_servers=[shelf]))
    [live] = await play(agent, ["look up 7"], record=path)
    [again] = await play(agent, ["look up 7"], record=path, replay=path)
    assert (again.text, calls(again)) == (live.text, calls(live))
    assert shelf.asked == (["7", "7"] if resolved else ["7"])


async def test_a_tool_that_the_models_provider_runs_is_recorded() -> None:
    search = ResponseFunctionWebSearch(
        id="w1", type="web_search_call", status="completed", action={"type": "search", "query": "shops"}
    )
    model = FakeModel(lambda system, items: [search, text("There is one.")])
    agent: Agent[Any] = Agent("desk", model=model, tools=[WebSearchTool()])
    [reply] = await play(OpenAIAgentsAgent(agent), ["?"])
    assert reply.text == "There is one."
    assert calls(reply) == [("web_search", True, '{"status":"completed"}')]
    assert json.loads(reply.tool_calls[0].arguments_json)["action"]["query"] == "shops"


async def test_a_tool_that_waits_for_an_approval_fails_the_turn() -> None:
    careful = function_tool(needs_approval=True)(lambda order_id: order_id)
    careful.name = "look_up"
    with pytest.raises(AgentFailed):
        await play(OpenAIAgentsAgent(Agent("desk", model=FakeModel(desk), tools=[careful])), ["look up 7"])


def in_context(context: RunContextWrapper[Any], city: str) -> str:
    """Takes part in the run."""
    ran.append("in_context")
    return f"{city} {context.usage.requests}"


def caller(system: str, items: list[Item]) -> list[Any]:
    if items[-1].get("type") == "function_call_output":
        return [text(f"It says: {items[-1]['output']}")]
    name, city = asked_for(last_user(items))
    return [call(name, json.dumps({"city": city}))]


@pytest.mark.parametrize("explained", [False, True])
async def test_tools_that_take_their_arguments_alone_are_replayed(tmp_path: Path, explained: bool) -> None:
    """The SDK looks at nothing of a failure but that it is one, its author's function perhaps at more."""
    seen: list[Any] = []

    class Hooks(RunHooks[Any]):
        async def on_tool_end(self, context: Any, agent: Any, tool: Any, result: Any) -> None:
            seen.append((tool.name, result))

    def explain(context: Any, error: Exception) -> str:
        return repr(error)

    def agent() -> OpenAIAgentsAgent:
        told: dict[str, Any] = {"failure_error_function": explain} if explained else {}
        tools = [function_tool(one, strict_mode=False, **told) for one in (*CITY_TOOLS, in_context)]
        return OpenAIAgentsAgent(Agent("desk", model=FakeModel(caller), tools=[*tools]), run={"hooks": Hooks()})

    own = names_of([fails_by_its_own])
    replayed = (*names_of(PLAIN, FAILING), *(() if explained else own))
    live = (*names_of(LIVE), "in_context", *(own if explained else ()))
    await sees_tools_replayed(agent, tmp_path, replayed, live, seen)
