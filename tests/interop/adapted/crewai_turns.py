"""Agents and crews of CrewAI, served. Run by test_adapted_crews.py where CrewAI is installed."""

import asyncio
import json
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from crewai import Agent, Crew, Process, Task
from crewai.events import crewai_event_bus
from crewai.events.types.tool_usage_events import ToolUsageErrorEvent, ToolUsageFinishedEvent
from crewai.flow.flow import FlowState
from crewai.tools import BaseTool
from crewai.tools import tool as crewai_tool
from crewai_model import FakeModel, call
from observed import Observed, assistant, calls, scripted, sees_tools_in_the_toolbox, side_by_side, user
from played import Played
from pydantic import BaseModel
from replayed import FAILING, LIVE, PLAIN, asked_for, fails_by_its_own, names_of, ran, sees_tools_replayed
from replayed import TOOLS as CITY_TOOLS

from greenroom.agents.adapters import adapt, current_turn
from greenroom.agents.adapters.crewai import CrewAIAgent
from greenroom.core.errors import AgentDown, AgentFailed
from greenroom.sdk import AgentError, Usage
from greenroom.sdk.testing import play

threads: list[str] = []


@crewai_tool
def look_up(order_id: str) -> str:
    """Looks an order up."""
    threads.append(threading.current_thread().name)
    if order_id == "0":
        raise ValueError("no such order")
    return f"{order_id} is on its way"


class Cancel(BaseTool):
    """Written as a class, as CrewAI's own tools are."""

    name: str = "Cancel an order"
    description: str = "Cancels an order."

    def _run(self, order_id: str) -> dict[str, str]:
        current_turn().world["orders"][order_id]["status"] = "cancelled"
        return {"cancelled": order_id}


@crewai_tool
async def wait(order_id: str) -> str:
    """Waits for an order."""
    threads.append(threading.current_thread().name)
    return f"{order_id} has come"


TOOLS = {"look up": "look_up", "order": "look_up", "cancel": "cancel_an_order", "wait": "wait"}


def desk(messages: Sequence[Any]) -> list[Any]:
    """Goes by what the user just said, which CrewAI lays into words of its own."""
    asked = max(number for number, one in enumerate(messages) if "Current Task: " in str(one["content"]))
    result = next((one for one in messages[asked:] if one["role"] == "tool"), None)
    if result is not None:
        return ["It ", f"says: {result['content']}"]
    said = str(messages[asked]["content"]).partition("Current Task: ")[2].splitlines()[0]
    verb, _, what = said.rpartition(" ")
    if verb in TOOLS:
        return ["One moment.", call(TOOLS[verb], order_id=what)]
    return ["You said ", said]


def shop(model: FakeModel | None = None, **parts: Any) -> Agent:
    given = {"role": "desk", "goal": "Help.", "backstory": "Kind.", "tools": [look_up, Cancel(), wait], **parts}
    return Agent(llm=model or FakeModel(desk), **given)


def crew(model: FakeModel | None = None, description: str = "{message}", **parts: Any) -> Crew:
    agent = shop(model)
    return Crew(name="shop", agents=[agent], tasks=[task(agent, description)], **parts)


def task(agent: Agent, description: str = "{message}", **parts: Any) -> Task:
    return Task(description=description, expected_output="An answer.", agent=agent, **parts)


def served(model: FakeModel | None = None, kind: Any = shop, **parts: Any) -> CrewAIAgent:
    return CrewAIAgent(kind(model, **parts), world={"orders": {"7": {"status": "paid"}}})


async def test_agents_and_crews_are_recognised_and_their_tools_are_listed() -> None:
    for target, name in ((shop(), "desk"), (crew(), "shop")):
        agent = adapt(target, "")
        assert agent is not None
        assert agent.name == name
        assert [tool.name for tool in agent.tools] == ["look_up", "cancel_an_order", "wait"]
        assert list(agent.tools[0].signature.schema()["properties"]) == ["order_id"]
    assert os.environ["CREWAI_DISABLE_TELEMETRY"] == "true"


@pytest.mark.parametrize("kind", [shop, crew])
async def test_tools_run_in_the_turns_toolbox_with_the_sessions_world_and_plain_ones_off_the_loop(kind: Any) -> None:
    threads.clear()
    await sees_tools_in_the_toolbox(served(kind=kind), "cancel_an_order")
    assert threading.main_thread().name not in threads
    [waited] = await play(served(kind=kind), ["wait 7"])
    assert calls(waited) == [("wait", True, '"7 has come"')]
    assert threads[1:] == [threading.main_thread().name]


async def test_a_failing_tool_is_recorded_and_the_model_is_told() -> None:
    [reply] = await play(served(), ["look up 0"])
    assert "no such order" in reply.text
    [(_, ok, result)] = calls(reply)
    assert (ok, json.loads(result)["error"]) == (False, {"type": "ValueError", "message": "no such order"})


@pytest.mark.parametrize("kind", [shop, crew])
async def test_a_scenario_scripts_the_tools(kind: Any) -> None:
    threads.clear()
    [reply] = await play(served(kind=kind), ["look up 7"], **scripted("look_up", **{"return": {"status": "lost"}}))
    assert "lost" in reply.text
    assert reply.tool_calls[0].scripted_by
    down = {"code": "down", "message": "It is down."}
    [reply] = await play(served(kind=kind), ["look up 7"], **scripted("look_up", error=down))
    assert "It is down." in reply.text
    assert json.loads(calls(reply)[0][2])["error"]["type"] == "down"
    assert threads == []


async def test_a_model_that_calls_tools_in_words_has_them_recorded_and_only_its_answer_told() -> None:
    def thinks(messages: Sequence[Any]) -> list[Any]:
        if "Observation" in str(messages[-1]["content"]) or "on its way" in str(messages):
            return ["Thought: I know.\n", "Final Answer: It is on its way."]
        return ['Thought: I look.\nAction: look_up\nAction Input: {"order_id": "7"}']

    watched = Observed(served(FakeModel(thinks, native=False)))
    [reply] = await play(watched.agent, ["Where is 7?"])
    assert watched.events == ["It is on its way."]
    assert calls(reply) == [("look_up", True, '"7 is on its way"')]


@pytest.mark.parametrize("kind", [shop, crew])
async def test_text_is_told_as_the_model_writes_it_and_usage_is_the_models(kind: Any) -> None:
    model = FakeModel(desk)
    watched = Observed(served(model, kind))

    def says(messages: Sequence[Any]) -> list[Any]:
        watched.events.append("(asked)")
        return desk(messages)

    model.says = says
    await play(watched.agent, ["look up 7"])
    told = [one for one in watched.events if one != "(asked)"]
    assert told == ["One moment.", "\n\n", "It ", "says: 7 is on its way"]
    assert watched.events[0] == "(asked)"
    assert watched.usages == [Usage(20, 10)]


@pytest.mark.parametrize("description", ["{message}", "Help the customer."])
async def test_a_crew_is_told_nothing_twice_and_system_messages_hold_for_their_turn(description: str) -> None:
    model = FakeModel(lambda messages: ["Yes."])
    closed = {"role": "system", "content": "The {shop} is closed."}
    opened = {"role": "system", "content": "The shop is open."}
    said = ["first", [closed, user("second {x}")], [opened, user("third")]]
    await play(served(model, crew, description=description), said)
    for number, asked in enumerate(model.asked):
        whole = "".join(text for _, text in asked)
        words = ["first", "second {x}", "third"][: number + 1]
        assert [whole.count(one) for one in words] == [1] * len(words)
        assert ("The {shop} is closed." in whole) == (number == 1)
        assert whole.count("Assistant: Yes.") == number


async def test_an_agent_gets_the_conversation_once_and_system_messages_hold_for_their_turn() -> None:
    model = FakeModel(desk)
    closed = {"role": "system", "content": "The shop is closed."}
    opened = {"role": "system", "content": "The shop is open."}
    replies = await play(served(model), ["look up 7", [closed, user("a")], [opened, user("b")]])
    assert replies[-1].text == "You said b"
    roles = [role for role, _ in model.asked[-1]]
    assert (roles.count("user"), roles.count("tool")) == (3, 1)
    systems = ["".join(text for role, text in asked if role == "system") for asked in model.asked]
    assert ["closed" in system for system in systems] == [False, False, True, False]


async def test_a_history_that_only_the_request_has_is_handed_over_and_going_back_takes_it_back() -> None:
    model = FakeModel(desk)
    first = [user("a"), assistant("You said a")]
    await play(served(model), [[*first, user("b")], [*first, user("c")]])
    for asked, last in zip(model.asked, "bc", strict=True):
        told = [text for role, text in asked if role != "system"]
        assert told[:2] == ["a", "You said a"]
        assert last in told[2]
        assert len(told) == 3


@pytest.mark.parametrize("kind", [shop, crew])
async def test_sessions_at_once_do_not_hear_of_each_other(kind: Any) -> None:
    model = FakeModel(desk)
    talks = {f"s{number}": [f"first{number}", f"last{number}"] for number in range(8)}
    for session, replies in (await side_by_side(served(model, kind), talks)).items():
        number = session.removeprefix("s")
        assert replies[-1].text == f"You said last{number}"
    for asked in model.asked:
        whole = "".join(text for _, text in asked)
        assert len({number for number in range(8) if f"first{number}" in whole}) == 1


async def test_a_crew_of_several_is_heard_at_its_last_task_and_its_tools_are_recorded() -> None:
    finder = shop(FakeModel(desk))
    writer = Agent(role="writer", goal="Write.", backstory="-", llm=FakeModel(lambda messages: ["Dear ", "customer."]))
    tasks = [task(finder, "look up 7"), task(writer, "Answer {message}.")]
    agent = CrewAIAgent(Crew(agents=[finder, writer], tasks=tasks), name="shop")
    watched = Observed(agent)
    [reply] = await play(agent, ["Where is 7?"])
    assert watched.events == ["Dear ", "customer."]
    assert calls(reply) == [("look_up", True, '"7 is on its way"')]
    assert watched.usages == [Usage(30, 15)]
    assert [one.output for one in tasks] == [None, None]


async def test_a_manager_has_its_hand_overs_recorded_beside_the_tools() -> None:
    def leads(messages: Sequence[Any]) -> list[Any]:
        if any(one["role"] == "tool" for one in messages):
            return ["It is on its way."]
        return [call("delegate_work_to_coworker", task="look up 7", context="-", coworker="desk")]

    agent = shop()
    managed = Crew(
        agents=[agent],
        tasks=[Task(description="{message}", expected_output="An answer.")],
        process=Process.hierarchical,
        manager_llm=FakeModel(leads),
    )
    [reply] = await play(CrewAIAgent(managed, name="shop"), ["Where is 7?"])
    assert reply.text == "It is on its way."
    assert [(name, ok) for name, ok, _ in calls(reply)] == [("delegate_work_to_coworker", True), ("look_up", True)]


async def test_a_crews_turn_makes_no_classes() -> None:
    async with Played(served(kind=crew)) as played:
        await played.say("hi")
        before = len(FlowState.__subclasses__())
        await played.say("look up 7")
    assert len(FlowState.__subclasses__()) == before


class Verdict(BaseModel):
    good: bool


async def test_an_output_that_is_no_text_is_told_as_json_when_it_is_whole() -> None:
    agent = Agent(role="judge", goal="-", backstory="-", llm=FakeModel(lambda messages: ['{"good": ', "true}"]))
    watched = Observed(CrewAIAgent(Crew(agents=[agent], tasks=[task(agent, output_pydantic=Verdict)]), name="judge"))
    [reply] = await play(watched.agent, ["?"])
    assert json.loads(reply.text) == {"good": True}
    assert len(watched.events) == 1


@pytest.mark.parametrize("kind", [shop, crew])
async def test_a_model_that_cannot_be_had_is_unavailable_and_any_other_error_is_the_agents_own(kind: Any) -> None:
    def fails(error: Exception) -> FakeModel:
        def says(messages: Sequence[Any]) -> list[Any]:
            raise error

        return FakeModel(says)

    with pytest.raises(AgentDown):
        await play(served(fails(ConnectionError("down")), kind), ["a"])
    with pytest.raises(AgentFailed):
        await play(served(fails(KeyError("x")), kind), ["a"])


async def test_what_nobody_here_can_give_is_refused_and_inputs_are_made_from_the_turn() -> None:
    agent = shop()
    asking = Crew(agents=[agent], tasks=[task(agent, human_input=True, name="ask")])
    with pytest.raises(AgentError, match="task 'ask' has human_input"):
        CrewAIAgent(asking, name="shop")
    with pytest.raises(AgentError, match=r"take who: pass inputs="):
        CrewAIAgent(crew(description="{message} {who}"))
    model = FakeModel(desk)
    [reply] = await play(
        CrewAIAgent(crew(model, "{who}: {message}"), inputs=lambda turn: {"who": turn.user.id}), ["hi"], user_id="ann"
    )
    assert reply.text == "You said ann: hi"


async def test_a_factory_makes_the_agent_for_each_turn() -> None:
    made: list[Agent] = []

    def make() -> Agent:
        made.append(shop())
        return made[-1]

    agent = CrewAIAgent(make, factory=True)
    await play(agent, ["a", "b"])
    assert len(made) == 3


async def test_a_run_that_nobody_waits_for_any_more_ends_before_its_next_tool() -> None:
    asked, answer = threading.Event(), threading.Event()

    def says(messages: Sequence[Any]) -> list[Any]:
        asked.set()
        assert answer.wait(30)
        return [call("look_up", order_id="7")]

    threads.clear()
    model = FakeModel(says)
    waiting = asyncio.create_task(play(served(model), ["Where is 7?"]))
    assert await asyncio.to_thread(asked.wait, 30)
    [run] = [one for one in threading.enumerate() if one.name == "crewai"]
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    answer.set()
    await asyncio.to_thread(run.join, 30)
    assert not run.is_alive()
    assert (threads, len(model.asked)) == ([], 1)


def caller(messages: Sequence[Any]) -> list[Any]:
    asked = max(number for number, one in enumerate(messages) if "Current Task: " in str(one["content"]))
    result = next((one for one in messages[asked:] if one["role"] == "tool"), None)
    if result is not None:
        return [f"It says: {result['content']}"]
    name, city = asked_for(str(messages[asked]["content"]).partition("Current Task: ")[2].splitlines()[0])
    return [call(name, city=city)]


@crewai_tool
def asks_a_model(city: str) -> str:
    """Has a model asked, whose tokens count."""
    ran.append("asks_a_model")
    return str(FakeModel(lambda messages: ["Yes."]).call(city))


async def test_tools_are_replayed(tmp_path: Path) -> None:
    seen: list[Any] = []

    def agent() -> CrewAIAgent:
        tools = [*(crewai_tool(one) for one in CITY_TOOLS), asks_a_model]
        one = shop(FakeModel(caller), tools=tools)
        return CrewAIAgent(Crew(name="shop", agents=[one], tasks=[task(one)]))

    with crewai_event_bus.scoped_handlers():

        @crewai_event_bus.on(ToolUsageErrorEvent)
        def failed(source: Any, event: Any) -> None:
            seen.append((event.tool_name, type(event.error).__name__, str(event.error)))

        @crewai_event_bus.on(ToolUsageFinishedEvent)
        def finished(source: Any, event: Any) -> None:
            seen.append((event.tool_name, event.output))

        replayed = names_of(PLAIN, FAILING, [fails_by_its_own])
        await sees_tools_replayed(agent, tmp_path, replayed, (*names_of(LIVE), "asks_a_model"), seen)
