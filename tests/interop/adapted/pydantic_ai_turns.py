"""Agents of pydantic-ai, served. Run by test_adapted_pydantic_ai.py where pydantic-ai is installed."""

import asyncio
import json
from collections.abc import AsyncIterable, AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from observed import Observed, assistant, calls, scripted, sees_tools_in_the_toolbox, side_by_side, user
from pydantic import BaseModel
from pydantic_ai import Agent, FunctionToolset, ModelRetry, RunContext
from pydantic_ai.agent import WrapperAgent
from pydantic_ai.exceptions import FallbackExceptionGroup, ModelHTTPError
from pydantic_ai.exceptions import ToolFailed as FailedForModel
from pydantic_ai.messages import (
    AgentStreamEvent,
    ModelMessage,
    ModelRequest,
    SystemPromptPart,
    TextPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models.function import AgentInfo, DeltaToolCall, FunctionModel
from pydantic_ai.toolsets import WrapperToolset
from replayed import LIVE, PLAIN, asked_for, names_of, ran, sees_tools_replayed
from replayed import TOOLS as CITY_TOOLS

from greenroom.agents.adapters import adapt, current_turn
from greenroom.agents.adapters.pydantic_ai import PydanticAIAgent
from greenroom.core.errors import AgentDown, AgentFailed
from greenroom.sdk import AgentError
from greenroom.sdk.testing import play

Delta = str | dict[int, DeltaToolCall]


class Asked:
    """A model that tells all the user has said, or calls the tool that the user names. `requests` is what it was asked."""

    def __init__(self, says: Callable[[list[ModelMessage]], list[Delta]] | None = None) -> None:
        self.requests: list[list[ModelMessage]] = []
        self.instructions: list[str] = []
        self._says = says or desk
        self.model = FunctionModel(stream_function=self._stream)

    async def _stream(self, messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[Any]:
        self.requests.append(list(messages))
        self.instructions.append(info.instructions or "")
        for delta in self._says(messages):
            yield delta

    def users(self, request: int = -1) -> list[str]:
        return said(self.requests[request])


def said(messages: list[ModelMessage]) -> list[str]:
    parts = [part for message in messages for part in message.parts]
    return [str(part.content) for part in parts if isinstance(part, UserPromptPart)]


TOOLS = {"look up": "look_up", "order": "look_up", "cancel": "cancel"}


def desk(messages: list[ModelMessage]) -> list[Delta]:
    last = messages[-1].parts[-1]
    if isinstance(last, ToolReturnPart) or last.part_kind == "retry-prompt":
        return ["It ", f"says: {last.model_response_str() if isinstance(last, ToolReturnPart) else last.content}"]
    verb, _, order = said(messages)[-1].rpartition(" ")
    if verb in TOOLS:
        return ["One moment.", {1: DeltaToolCall(TOOLS[verb], json.dumps({"order_id": order}), tool_call_id="c1")}]
    return [f"You said {', '.join(said(messages))}"]


def look_up(order_id: str) -> str:
    """Looks an order up.

    Args:
        order_id: The order's number.
    """
    if order_id == "0":
        raise ValueError("no such order")
    if order_id == "404":
        raise ModelRetry("ask for another one")
    return f"{order_id} is on its way"


async def cancel(context: RunContext[str], order_id: str) -> dict[str, str]:
    """Cancels an order."""
    current_turn().world["orders"][order_id]["status"] = "cancelled"
    return {"cancelled": order_id, "for": context.deps}


def shop(asked: Asked | None = None) -> Agent[str, str]:
    model = (asked or Asked()).model
    return Agent(model, name="desk", tools=[look_up, cancel], deps_type=str, instructions="Be kind.")


def served(asked: Asked | None = None, **parts: Any) -> PydanticAIAgent:
    world = {"orders": {"7": {"status": "paid"}}}
    return PydanticAIAgent(shop(asked), world=world, deps=lambda turn: turn.user.id, **parts)


async def test_an_agent_is_recognised_and_its_tools_are_listed() -> None:
    more = FunctionToolset([look_up]).prefixed("more")
    agent = adapt(Agent("test", name="desk", tools=[look_up], toolsets=[more]), "")
    assert agent is not None
    assert agent.name == "desk"
    assert agent.tools[0].name == "look_up"
    assert agent.tools[0].signature.schema()["properties"]["order_id"]["description"] == "The order's number."


async def test_tools_run_in_the_turns_toolbox_with_the_sessions_world() -> None:
    await sees_tools_in_the_toolbox(served(), **{"for": "ann"})


async def test_toolsets_that_are_made_for_a_run_go_through_the_toolbox_too() -> None:
    agent: Agent[None, str] = Agent(Asked().model)

    @agent.toolset
    def more(context: RunContext[None]) -> FunctionToolset[None]:
        return FunctionToolset([look_up])

    for one in (agent, WrapperAgent(Agent(Asked().model, tools=[look_up]))):
        [reply] = await play(PydanticAIAgent(one), ["look up 7"])
        assert calls(reply) == [("look_up", True, '"7 is on its way"')]


async def test_the_authors_own_handler_of_events_gets_them_all() -> None:
    seen: list[str] = []

    async def note(context: RunContext[None], events: AsyncIterable[AgentStreamEvent]) -> None:
        seen.extend([event.event_kind async for event in events])

    class Noting(WrapperAgent[None, str]):
        event_stream_handler = property(lambda self: note)

    [reply] = await play(PydanticAIAgent(Noting(Agent(Asked().model, tools=[look_up]))), ["look up 7"])
    assert reply.text == "One moment.\n\nIt says: 7 is on its way"
    assert {"part_start", "function_tool_call"} <= set(seen)


async def test_a_tool_that_asks_the_model_to_try_again_is_recorded_as_failed_and_does_so() -> None:
    [reply] = await play(served(), ["look up 404"])
    assert "ask for another one" in reply.text
    assert json.loads(calls(reply)[0][2])["error"] == {"type": "ModelRetry", "message": "ask for another one"}


async def test_a_tool_that_breaks_ends_the_run_as_it_does_without_us() -> None:
    with pytest.raises(AgentFailed):
        await play(served(), ["look up 0"])


async def test_a_scenario_scripts_the_tools() -> None:
    [reply] = await play(served(), ["look up 7"], **scripted("look_up", **{"return": {"status": "lost"}}))
    assert reply.text.endswith('It says: {"status":"lost"}')
    assert reply.tool_calls[0].scripted_by
    [reply] = await play(
        served(), ["look up 7"], **scripted("look_up", error={"code": "down", "message": "It is down."})
    )
    assert "It is down." in reply.text
    assert json.loads(calls(reply)[0][2])["error"]["type"] == "down"


async def test_a_tool_past_its_time_is_a_timeout_in_the_evidence_and_to_the_model() -> None:
    async def look_up(order_id: str) -> str:
        await asyncio.Event().wait()
        return "never"

    agent: Agent[None, str] = Agent(Asked().model, toolsets=[FunctionToolset([look_up], timeout=0.01)])
    [reply] = await play(PydanticAIAgent(agent), ["look up 7"])
    assert json.loads(calls(reply)[0][2])["error"]["type"] == "timeout"
    assert "Timed out after 0.01 seconds" in reply.text


async def test_text_is_told_as_the_model_writes_it_and_usage_is_the_models() -> None:
    asked = Asked(lambda messages: [*(watched.events.append("(asked)") or ()), *desk(messages)])  # type: ignore[func-returns-value]
    watched = Observed(served(asked))
    await play(watched.agent, ["look up 7"])
    assert watched.events == ["(asked)", "One moment.", "(asked)", "\n\n", "It ", "says: 7 is on its way"]
    [usage] = watched.usages
    assert usage is not None
    assert usage.prompt_tokens > usage.completion_tokens > 0


async def test_nothing_is_told_to_the_model_twice_and_system_messages_hold_for_their_turn() -> None:
    asked = Asked()
    closed = {"role": "system", "content": "The shop is closed."}
    opened = {"role": "system", "content": "The shop is open."}
    replies = await play(served(asked), ["look up 7", [closed, user("a")], [opened, user("b")]])
    assert replies[-1].text == "You said look up 7, a, b"
    assert asked.instructions == [
        "Be kind.",
        "Be kind.",
        "Be kind.\n\nThe shop is closed.",
        "Be kind.\n\nThe shop is open.",
    ]
    kinds = [part.part_kind for message in asked.requests[-1] for part in message.parts]
    turn_1 = ["user-prompt", "text", "tool-call", "tool-return", "text"]
    assert kinds == [*turn_1, "user-prompt", "text", "user-prompt"]
    assert "closed" not in str([message for message in asked.requests[-1] if isinstance(message, ModelRequest)][:-1])


async def test_a_history_that_only_the_request_has_is_handed_over_whole_behind_the_system_prompt() -> None:
    asked = Asked()
    agent: Agent[None, str] = Agent(asked.model, system_prompt="Be kind.")
    history = [user("a"), assistant("You said a"), user("b")]
    await play(PydanticAIAgent(agent), [history])
    first = asked.requests[0][0].parts
    assert [type(part) for part in first] == [SystemPromptPart, UserPromptPart]
    assert asked.users() == ["a", "b"]
    await play(PydanticAIAgent(agent), [history, [*history, assistant("You said a, b"), user("c")]])
    assert asked.users() == ["a", "b", "c"]
    edited = [user("a"), assistant("Something else"), user("c")]
    await play(PydanticAIAgent(agent), ["a", edited])
    texts = [part.content for message in asked.requests[-1] for part in message.parts if isinstance(part, TextPart)]
    assert (asked.users(), texts) == (["a", "c"], ["Something else"])


async def test_going_back_takes_the_memory_back() -> None:
    asked = Asked()
    first = [user("a")]
    second = [*first, assistant("You said a"), user("b")]
    other = [*first, assistant("You said a"), user("c")]
    replies = await play(served(asked), [first, second, other])
    assert [reply.text for reply in replies] == ["You said a", "You said a, b", "You said a, c"]


async def test_sessions_at_once_do_not_hear_of_each_other() -> None:
    talks = {f"s{number}": [f"first {number}", "look up 7", f"last {number}"] for number in range(8)}
    for session, replies in (await side_by_side(served(), talks)).items():
        number = session.removeprefix("s")
        assert replies[-1].text == f"You said first {number}, look up 7, last {number}"


class Verdict(BaseModel):
    good: bool


async def test_an_output_that_is_no_text_is_told_as_json() -> None:
    asked = Asked(lambda messages: ["Thinking.", {1: DeltaToolCall("final_result", '{"good": true}')}])
    [reply] = await play(PydanticAIAgent(Agent(asked.model, output_type=Verdict)), ["?"])
    assert reply.text == '{"good": true}'
    assert reply.tool_calls == ()


async def test_what_a_validator_may_yet_refuse_is_not_told_before() -> None:
    asked = Asked(lambda messages: ["better" if len(messages) > 1 else "bad"])
    agent: Agent[None, str] = Agent(asked.model)

    @agent.output_validator
    def not_bad(text: str) -> str:
        if text == "bad":
            raise ModelRetry("no")
        return text

    [reply] = await play(PydanticAIAgent(agent), ["?"])
    assert reply.text == "better"


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (ModelHTTPError(503, "m"), AgentDown),
        (ModelHTTPError(429, "m"), AgentDown),
        (FallbackExceptionGroup("all", [ModelHTTPError(500, "a"), ModelHTTPError(401, "b")]), AgentDown),
        (ModelHTTPError(400, "m"), AgentFailed),
        (KeyError("x"), AgentFailed),
    ],
)
async def test_a_model_that_cannot_be_had_is_unavailable_and_any_other_error_is_the_agents_own(
    error: Exception, raised: type[Exception]
) -> None:
    def fail(messages: list[ModelMessage]) -> list[Delta]:
        raise error

    with pytest.raises(raised):
        await play(served(Asked(fail)), ["a"])


async def test_a_factory_makes_the_agent_for_each_turn() -> None:
    made: list[object] = []

    def make() -> Agent[None, str]:
        made.append(object())
        return Agent(Asked().model, tools=[look_up])

    agent = PydanticAIAgent(make, factory=True, name="desk")
    [reply, _] = await play(agent, ["look up 7", "b"])
    assert calls(reply) == [("look_up", True, '"7 is on its way"')]
    assert len(made) == 3
    with pytest.raises(AgentError, match=r"run takes .*, not message_history"):
        PydanticAIAgent(make, factory=True, run={"message_history": []})


def in_context(context: RunContext[None], city: str) -> str:
    """Takes part in the run."""
    ran.append("in_context")
    return f"{city} {context.run_step}"


def retries(city: str) -> str:
    """Has the model try again."""
    ran.append("retries")
    raise ModelRetry(f"not {city}")


def gives_up(city: str) -> str:
    """Says that it cannot."""
    ran.append("gives_up")
    raise FailedForModel(f"no {city}")


def more_say(city: str) -> str:
    """Is in a toolset within one of pydantic-ai's."""
    ran.append("more_say")
    return city


more_say.__name__ = "say"


def audited(city: str) -> str:
    """Is in a toolset within one of its author's."""
    ran.append("audited")
    return city


class Audited(WrapperToolset[None]):
    """Gets the context of each call."""

    async def call_tool(self, name: str, tool_args: dict[str, Any], ctx: RunContext[None], tool: Any) -> Any:
        return f"{await super().call_tool(name, tool_args, ctx, tool)} {ctx.run_step}"


START = datetime.fromtimestamp(0, UTC)


def caller(messages: list[ModelMessage]) -> list[Delta]:
    last = messages[-1].parts[-1]
    if last.part_kind in ("tool-return", "retry-prompt"):
        return [f"It says: {replace(last, timestamp=START)}"]
    name, city = asked_for(said(messages)[-1])
    return [{0: DeltaToolCall(name, json.dumps({"city": city}), tool_call_id="c1")}]


async def test_tools_that_take_their_arguments_alone_are_replayed(tmp_path: Path) -> None:
    seen: list[Any] = []

    async def note(context: RunContext[None], events: AsyncIterable[AgentStreamEvent]) -> None:
        seen.extend([event.part.content async for event in events if event.event_kind == "function_tool_result"])

    class Noting(WrapperAgent[None, str]):
        event_stream_handler = property(lambda self: note)

    def agent() -> PydanticAIAgent:
        toolsets = [FunctionToolset([more_say]).prefixed("more"), Audited(FunctionToolset([audited]))]
        tools = [*CITY_TOOLS, in_context, retries, gives_up]
        return PydanticAIAgent(Noting(Agent(Asked(caller).model, tools=tools, toolsets=toolsets)))

    live = (*names_of(LIVE), "in_context", "audited")
    await sees_tools_replayed(agent, tmp_path, (*names_of(PLAIN), "retries", "gives_up", "more_say"), live, seen)
