"""Turns of real ADK agents with a model that is made up. See test_adapted_graphs.py."""

import json
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
from google.adk.agents import LlmAgent, SequentialAgent
from google.adk.apps import App
from google.adk.events import Event, EventActions
from google.adk.models import BaseLlm, LlmRequest, LlmResponse
from google.adk.tools import AgentTool, FunctionTool, ToolContext
from google.adk.workflow import Workflow
from google.genai import types
from played import (
    Played,
    ask,
    play,
    scripted,
    sees_each_session_apart,
    sees_text_streamed_and_tokens_counted,
    sees_the_conversation_before_once,
    sees_the_scenarios_tools,
    sees_the_tools_recorded,
    streamed,
    users,
)
from pydantic import TypeAdapter
from replayed import FAILING, LIVE, PLAIN, TOOLS, asked_for, names_of, ran, sees_tools_replayed

from greenroom.agents.adapters import adapt, current_turn
from greenroom.agents.adapters.adk import AdkAgent
from greenroom.agents.adapters.adk.reading import events_reader
from greenroom.core.errors import AgentFailed

pytestmark = pytest.mark.filterwarnings("ignore")


class FakeModel(BaseLlm):
    """Calls `look_up` when the user asks about an order, and tells the tool's answer; else says what it was told."""

    model: str = "fake"

    async def generate_content_async(
        self, llm_request: LlmRequest, stream: bool = False
    ) -> AsyncGenerator[LlmResponse, None]:
        usage = types.GenerateContentResponseUsageMetadata(prompt_token_count=10, candidates_token_count=3)
        parts = self._parts(llm_request)
        if stream:
            for part in parts:
                for word in (part.text or "").split():
                    said = types.Content(role="model", parts=[types.Part(text=f"{word} ")])
                    yield LlmResponse(content=said, partial=True)
            for part in parts:
                part.text = f"{' '.join(part.text.split())} " if part.text else part.text
        yield LlmResponse(content=types.Content(role="model", parts=parts), usage_metadata=usage, partial=False)

    def _parts(self, request: LlmRequest) -> list[types.Part]:
        last = request.contents[-1].parts or []
        answers = [part.function_response for part in last if part.function_response]
        if answers:
            return [types.Part(text=f"The tool says {json.dumps([one.response for one in answers])}")]
        text = last[-1].text or ""
        called = next((name for name in request.tools_dict if name in text or "order" in text), None)
        if called:
            arguments = [{"order_id": word} for word in text.split() if word.isdigit()] or [{"request": text}]
            calls = [types.Part(function_call=types.FunctionCall(name=called, args=one)) for one in arguments]
            return [types.Part(text="Let me look. "), *calls]
        users = [
            part.text
            for content in request.contents
            for part in content.parts or []
            if content.role == "user" and part.text
        ]
        return [types.Part(text=json.dumps({"users": users, "system": request.config.system_instruction}))]


def look_up(order_id: str, tool_context: ToolContext) -> dict[str, Any]:
    """Looks an order up.

    Args:
        order_id: The order's number.
    """
    if order_id == "0":
        raise KeyError(order_id)
    current_turn().world["seen"][order_id] = {"times": 1}
    tool_context.state["last"] = order_id
    tool_context.state["user:count"] = tool_context.state.get("user:count", 0) + 1
    return {"order": order_id, "status": "shipped"}


def shop(**settings: Any) -> LlmAgent:
    fields: dict[str, Any] = {"name": "shop", "model": FakeModel(), "tools": [look_up], **settings}
    return LlmAgent(instruction="You are a shop.", **fields)


def served(target: Any = None, **settings: Any) -> AdkAgent:
    return AdkAgent(shop() if target is None else target, world={"seen": {}}, **settings)


async def test_agents_apps_and_workflows_are_recognised() -> None:
    for target in (shop(), App(name="shop", root_agent=shop()), Workflow(name="shop", edges=[("START", shop())])):
        agent = adapt(target, "my_app:agent")
        assert isinstance(agent, AdkAgent)
        [tool] = agent.tools
        assert tool.name == "look_up"
        assert tool.description.startswith("Looks an order up.")
        assert list(tool.signature.schema()["properties"]) == ["order_id"]
        assert tool.signature.schema()["type"] == "object"


async def test_tools_run_in_the_turn_with_their_world_and_are_recorded() -> None:
    await sees_the_tools_recorded(served())
    async with Played(served()) as played:
        await played.say("order 12 34")
        state = (await played.state())["adk"]["memory"]["state"]
        assert state == {"last": "34", "user:count": 2}


def test_events_are_read_as_adk_reads_them() -> None:
    parts = [
        types.Part(text="Look."),
        types.Part(inline_data=types.Blob(mime_type="image/png", data=b"\xff\x00picture")),
        types.Part(
            function_call=types.FunctionCall(id="1", name="look_up", args={"order_id": "1", "deep": [{"a": 1}]})
        ),
        types.Part(function_response=types.FunctionResponse(id="1", name="look_up", response={"status": "shipped"})),
    ]
    cited = types.CitationMetadata(citations=[types.Citation(title="Terms", uri="https://shop.example/terms")])
    events = [
        Event(author="user", content=types.Content(role="user", parts=parts[:2])),
        Event(author="shop", content=types.Content(role="model", parts=parts), long_running_tool_ids={"1"}),
        Event(author="shop", actions=EventActions(state_delta={"last": "1"}, escalate=True), citation_metadata=cited),
        Event(author="shop", error_code="500", error_message="no"),
    ]
    adapter: TypeAdapter[list[Event]] = TypeAdapter(list[Event])
    text = adapter.dump_json(events, exclude_none=True, exclude_defaults=True)
    read, expected = events_reader().validate_json(text), adapter.validate_json(text)
    assert read == expected
    assert repr(read) == repr(expected)
    assert read[0].content.parts[1].inline_data.data == b"\xff\x00picture"
    assert adapter.dump_json(read, exclude_unset=True) == adapter.dump_json(expected, exclude_unset=True)


async def test_a_scenario_scripts_them() -> None:
    await sees_the_scenarios_tools(served())


async def test_a_failing_tool_is_the_frameworks_own_error() -> None:
    """It goes to the agent's callback for tools' errors; the run fails if there is none. Its other callbacks are kept."""
    tried: list[str] = []

    def before(tool: Any, args: Any, tool_context: Any) -> None:
        tried.append(tool.name)

    def told(tool: Any, args: Any, tool_context: Any, error: Exception) -> dict[str, Any]:
        return {"failed": f"{type(error).__name__}: {error}"}

    careful = served(shop(on_tool_error_callback=told, before_tool_callback=before))
    [reply] = await play(careful, ["order 0"])
    assert "KeyError: '0'" in reply.text
    assert [(call.ok, json.loads(call.result_json)["error"]["type"]) for call in reply.tool_calls] == [
        (False, "KeyError")
    ]
    script = scripted({"error": {"code": "down", "message": "It does not answer."}})
    [reply] = await play(careful, ["order 12"], **script)
    assert "ToolExecutionError: It does not answer." in reply.text
    assert tried == ["look_up", "look_up"]
    with pytest.raises(AgentFailed):
        await play(served(), ["order 0"])


async def test_the_history_is_told_once_in_each_turn() -> None:
    replies = await play(served(), ["one", "order 5", "three"])
    assert users(replies[2].text) == ["one", "order 5", "three"]


async def test_going_back_rewinds_the_memory() -> None:
    async with Played(served()) as played:
        first = await played.say("one")
        await played.say("order 7")
        assert (await played.state())["adk"]["memory"]["state"]["last"] == "7"
        again = await played.send([*ask("one"), {"role": "assistant", "content": first.turn.reply}, *ask("three")])
        assert users(again.turn.reply) == ["one", "three"]
        assert (await played.state())["adk"]["memory"]["state"] == {}


async def test_system_messages_hold_for_their_turn_before_the_agents_own_instruction() -> None:
    async with Played(served(instructions="Be brief.")) as played:
        for name in ("Ann", "Bob"):
            reply = await played.send([{"role": "system", "content": f"The user is {name}."}, *ask(name)])
            system = json.loads(reply.turn.reply)["system"]
            assert system.startswith(f"Be brief.\n\nThe user is {name}.\n\nYou are a shop.")


async def test_a_conversation_that_began_elsewhere_is_handed_to_the_memory_once() -> None:
    await sees_the_conversation_before_once(served())


async def test_text_is_streamed_as_the_model_writes_it_and_its_tokens_are_counted() -> None:
    await sees_text_streamed_and_tokens_counted(served())


async def test_a_tool_that_wants_a_confirmation_asks_and_the_next_message_answers() -> None:
    def cancel(order_id: str) -> dict[str, Any]:
        """Cancels an order."""
        return {"cancelled": order_id}

    careful = served(shop(tools=[FunctionTool(cancel, require_confirmation=True)]))
    async with Played(careful) as played:
        first = await played.say("order 12")
        assert "cancel" in first.turn.reply
        second = await played.say("yes")
        assert '{"cancelled": "12"}' in second.turn.reply
        other = await played.send([*ask("order 12"), {"role": "assistant", "content": first.turn.reply}, *ask("no")])
        assert "rejected" in other.turn.reply


async def test_only_the_last_of_a_sequence_is_heard_and_agents_that_are_tools_count() -> None:
    sequence = SequentialAgent(name="pair", sub_agents=[shop(name="thinker", tools=[]), shop(name="speaker", tools=[])])
    [reply] = await play(AdkAgent(sequence), ["Hello"])
    assert reply.text.count('"users"') == 1
    [both] = await play(AdkAgent(sequence, speaks={"thinker", "speaker"}), ["Hello"])
    assert both.text.count('{"users"') == 2
    clerk = shop(name="clerk")
    told, inner = await streamed(served(shop(tools=[AgentTool(clerk)])), "clerk, order 12")
    assert [call.name for call in inner.turn.tool_calls] == ["clerk", "look_up"]
    assert inner.turn.prompt_tokens == 40
    assert told


async def test_a_workflow_is_served() -> None:
    def shout(node_input: str) -> str:
        return node_input.upper()

    workflow = Workflow(name="loud", edges=[("START", shop(name="writer", tools=[]), shout)])
    [reply] = await play(AdkAgent(workflow), ["Hello"])
    assert '"USERS": ["HELLO"]' in reply.text


async def test_parallel_sessions_do_not_see_each_other() -> None:
    await sees_each_session_apart(served())


class Caller(FakeModel):
    """Calls the tool that the user names, with the word behind it."""

    def _parts(self, request: LlmRequest) -> list[types.Part]:
        said = (request.contents[-1].parts or [])[-1].text
        if not said:
            return super()._parts(request)
        name, city = asked_for(said)
        return [types.Part(function_call=types.FunctionCall(name=name, args={"city": city}))]


def in_context(city: str, tool_context: ToolContext) -> str:
    """Takes part in the run."""
    ran.append("in_context")
    tool_context.state["city"] = city
    return city


async def test_tools_that_take_their_arguments_alone_are_replayed(tmp_path: Path) -> None:
    seen: list[Any] = []

    def told(tool: Any, args: Any, tool_context: Any, error: Exception) -> dict[str, Any]:
        seen.append(repr(error))
        return {"failed": repr(error)}

    def after(tool: Any, args: Any, tool_context: Any, tool_response: Any) -> None:
        seen.append((tool.name, tool_response))

    def agent() -> AdkAgent:
        tools = [*TOOLS, in_context, FunctionTool(confirmed, require_confirmation=lambda city: False)]
        callbacks: dict[str, Any] = {"on_tool_error_callback": told, "after_tool_callback": after}
        return AdkAgent(LlmAgent(name="shop", model=Caller(), tools=tools, **callbacks))

    live = ("in_context", "confirmed", "fails_by_its_own")
    await sees_tools_replayed(agent, tmp_path, names_of(PLAIN, FAILING), (*names_of(LIVE), *live), seen)


def confirmed(city: str) -> str:
    """Is confirmed."""
    ran.append("confirmed")
    return city
