"""Flows of CrewAI, served. Run by test_adapted_crews.py where CrewAI is installed."""

import gc
import json
import re
import weakref
from pathlib import Path
from typing import Any

import pytest
from crewai import Agent, Crew, Task
from crewai.flow.conversational import ConversationConfig
from crewai.flow.flow import Flow, listen, router, start
from crewai.flow.human_feedback import human_feedback
from crewai.flow.persistence import persist
from crewai.tools import tool
from crewai_model import FakeModel, call
from observed import Observed, assistant, calls, side_by_side, user
from pydantic import BaseModel
from stub_openai import StubOpenAI

from greenroom.agents.adapters import adapt, current_turn
from greenroom.agents.adapters.crewai import CrewAIFlowAgent
from greenroom.agents.named import agent_named
from greenroom.core.errors import AgentDown, AgentFailed
from greenroom.sdk import AgentError, Usage
from greenroom.sdk.testing import play


class Basket(BaseModel):
    message: str = ""
    items: list[str] = []


class BasketFlow(Flow[Basket]):
    """Puts what it is told into the basket."""

    @start()
    def take(self) -> str:
        self.state.items.append(self.state.message)
        return self.state.message

    @router(take)
    def decide(self) -> str:
        return "full" if len(self.state.items) > 2 else "open"

    @listen("full")
    def stop(self) -> str:
        return "It is full."

    @listen("open")
    async def tell(self) -> str:
        return ", ".join(self.state.items)


class LooseFlow(Flow):
    """Its state is a dict."""

    @start()
    def count(self) -> dict[str, Any]:
        self.state["turns"] = self.state.get("turns", 0) + 1
        self.state.setdefault("scratch", object())
        return {"turns": self.state["turns"], "scratch": type(self.state["scratch"]).__name__}


@tool
def cancel(order_id: str) -> dict[str, str]:
    """Cancels an order."""
    if order_id == "0":
        raise ValueError("no such order")
    current_turn().world["orders"][order_id]["status"] = "cancelled"
    return {"cancelled": order_id}


def desk(messages: Any) -> list[Any]:
    result = next((one["content"] for one in messages if one["role"] == "tool"), None)
    if result is not None:
        return ["Done: ", result]
    return [call("cancel", order_id=str(messages[-1]["content"]).split("#")[1].split()[0])]


class DeskFlow(Flow):
    """Has an agent and a crew at work, which it makes itself."""

    @start()
    async def ask_agent(self) -> str:
        agent = Agent(role="desk", goal="Help.", backstory="-", llm=FakeModel(desk), tools=[cancel])
        return str((await agent.kickoff_async(self.state["message"])).raw)

    @listen(ask_agent)
    def ask_crew(self, said: str) -> Any:
        writer = Agent(role="writer", goal="Write.", backstory="-", llm=FakeModel(lambda messages: ["Dear customer."]))
        task = Task(description="Write {said}.", expected_output="A letter.", agent=writer)
        self.state["said"] = said
        return Crew(agents=[writer], tasks=[task]).kickoff({"said": said})


talker = FakeModel(lambda messages: [f"I know of {[one['content'] for one in messages if one['role'] == 'user']}"])


@ConversationConfig(llm=talker, system_prompt="Be kind.")
class TalkFlow(Flow):
    """CrewAI's own conversation."""


async def test_flows_and_their_classes_are_recognised() -> None:
    for target in (BasketFlow, BasketFlow()):
        agent = adapt(target, "")
        assert isinstance(agent, CrewAIFlowAgent)
        assert agent.name == "BasketFlow"
        [reply] = await play(agent, ["a lamp"])
        assert reply.text == "a lamp"
    made = adapt(lambda: BasketFlow(name="basket"), "", factory=True)
    assert made is not None
    assert made.name == "basket"


async def test_a_flows_state_goes_on_from_turn_to_turn_and_back_with_the_session() -> None:
    agent = CrewAIFlowAgent(BasketFlow)
    replies = await play(agent, ["a lamp", "a chair", "a desk"])
    assert [reply.text for reply in replies] == ["a lamp", "a lamp, a chair", "It is full."]
    first = [user("a lamp"), assistant("a lamp")]
    [_, again] = await play(agent, ["a lamp", [*first, user("a bed")]])
    assert again.text == "a lamp, a bed"
    [_, _, back] = await play(agent, ["a lamp", "a chair", [*first, user("a bed")]])
    assert back.text == "a lamp, a bed"
    [other] = await play(agent, [[user("x"), assistant("y"), user("a bed")]])
    assert other.text == "a bed"


async def test_a_state_that_is_a_dict_goes_on_without_what_has_no_json() -> None:
    replies = await play(CrewAIFlowAgent(LooseFlow), ["a", "b"])
    assert [json.loads(reply.text) for reply in replies] == [
        {"turns": 1, "scratch": "object"},
        {"turns": 2, "scratch": "object"},
    ]


async def test_sessions_at_once_have_flows_of_their_own() -> None:
    talks = {f"s{number}": [f"a{number}", f"b{number}"] for number in range(6)}
    for session, replies in (await side_by_side(CrewAIFlowAgent(BasketFlow), talks)).items():
        number = session.removeprefix("s")
        assert replies[-1].text == f"a{number}, b{number}"


async def test_nothing_of_a_run_outlives_its_turn() -> None:
    made: list[weakref.ref[LooseFlow]] = []

    def make() -> LooseFlow:
        flow = LooseFlow()
        made.append(weakref.ref(flow))
        return flow

    await play(CrewAIFlowAgent(make, factory=True), list("abcdef"))
    gc.collect()
    assert len(made) == 7
    assert sum(flow() is not None for flow in made) <= 2  # the first, which no turn runs on, and at most the last


async def test_what_agents_and_crews_in_a_flow_do_is_recorded_and_what_they_use_is_counted() -> None:
    watched = Observed(CrewAIFlowAgent(DeskFlow, world={"orders": {"7": {"status": "paid"}}}))
    [reply] = await play(watched.agent, ["cancel #7"])
    assert reply.text == "Dear customer."
    [(name, ok, result)] = calls(reply)
    assert (name, ok, json.loads(result)) == ("cancel", True, "{'cancelled': '7'}")  # as CrewAI tells it
    assert json.loads(reply.tool_calls[0].arguments_json) == {"order_id": "7"}
    assert reply.world["orders"]["7"]["status"] == "cancelled"
    assert watched.usages == [Usage(30, 15)]
    [reply] = await play(watched.agent, ["cancel #0"])
    [(name, ok, result)] = calls(reply)
    assert (name, ok) == ("cancel", False)
    assert "no such order" in result


async def test_a_conversational_flow_gets_the_conversation_once_and_system_messages_hold_for_their_turn() -> None:
    talker.asked.clear()
    closed = {"role": "system", "content": "The shop is closed."}
    opened = {"role": "system", "content": "The shop is open."}
    replies = await play(CrewAIFlowAgent(TalkFlow), ["a", [closed, user("b")], [opened, user("c")]])
    assert replies[-1].text == "I know of ['a', 'b', 'c']"
    systems = [[text for role, text in asked if role == "system"] for asked in talker.asked]
    assert systems == [["Be kind."], ["Be kind.", "The shop is closed."], ["Be kind.", "The shop is open."]]
    [reply] = await play(CrewAIFlowAgent(TalkFlow), [[user("x"), assistant("y"), user("z")]])
    assert reply.text == "I know of ['x', 'z']"


async def test_inputs_are_made_from_the_turn() -> None:
    class Named(BaseModel):
        who: str = ""

    class NamedFlow(Flow[Named]):
        @start()
        def greet(self) -> str:
            return f"Hello {self.state.who}"

    with pytest.raises(AgentError, match="its state has no field 'message'"):
        CrewAIFlowAgent(NamedFlow)
    agent = CrewAIFlowAgent(NamedFlow, inputs=lambda turn: {"who": turn.user.id})
    [reply] = await play(agent, ["hi"], user_id="ann")
    assert reply.text == "Hello ann"


async def test_a_flow_that_asks_gets_no_answer_and_has_no_memory_that_others_share() -> None:
    class AskingFlow(Flow):
        @start()
        def ask_them(self) -> str:
            return f"{self.ask('Who are you?')} {self.memory}"

    [reply] = await play(CrewAIFlowAgent(AskingFlow), ["hi"])
    assert reply.text == "None None"


async def test_a_flow_that_says_nothing_fails_its_turn_and_a_model_that_cannot_be_had_is_unavailable() -> None:
    class SilentFlow(Flow):
        @start()
        def nothing(self) -> None:
            pass

    class DownFlow(Flow):
        @start()
        def fail(self) -> None:
            raise ConnectionError("down")

    with pytest.raises(AgentFailed):
        await play(CrewAIFlowAgent(SilentFlow), ["hi"])
    with pytest.raises(AgentDown):
        await play(CrewAIFlowAgent(DownFlow), ["hi"])


def flows_that_cannot_be_served() -> list[tuple[Any, str]]:
    class FeedbackFlow(Flow):
        @start()
        @human_feedback(message="Good?")
        def write(self) -> str:
            return "x"

    @persist()
    class PersistedFlow(Flow):
        @start()
        def write(self) -> str:
            return "x"

    class PersistedStepFlow(Flow):
        @start()
        @persist()
        def write(self) -> str:
            return "x"

    class DerivedFlow(BasketFlow):
        pass

    class GivenFlow(Flow):
        def __init__(self, greeting: str) -> None:
            super().__init__()
            self.greeting = greeting

        @start()
        def greet(self) -> str:
            return self.greeting

    begun = BasketFlow()
    begun.state.items.append("a lamp")
    return [
        (FeedbackFlow, "method write has @human_feedback"),
        (PersistedFlow, "leave @persist out"),
        (PersistedStepFlow, "leave @persist out"),
        (DerivedFlow, "no method with @start"),
        (GivenFlow, "is not made without arguments"),
        (GivenFlow("hi"), "is not made without arguments"),
        (begun, "was given something after its class"),
        (BasketFlow(name="mine"), "was given something after its class"),
    ]


@pytest.mark.parametrize(("flow", "why"), flows_that_cannot_be_served())
def test_a_flow_that_cannot_be_served_is_refused(flow: Any, why: str) -> None:
    with pytest.raises(AgentError, match=why):
        adapt(flow, "")


async def test_the_pages_flow_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (Path(__file__).parents[3] / "docs" / "frameworks.md").read_text(encoding="utf-8")
    for module in ("crewai_shop", "crewai_flow"):
        [code] = re.findall(rf"^```python\n# {module}\.py\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
        (tmp_path / f"{module}.py").write_text(code, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    with StubOpenAI("get_order", {"order_id": "12345"}, "It has been shipped.") as openai:
        monkeypatch.setenv("OPENAI_API_KEY", "sk-1")
        monkeypatch.setenv("OPENAI_BASE_URL", openai.url)
        agent = agent_named("crewai_flow:DeskFlow", tmp_path)
        replies = await play(agent, ["Where is my order #12345?", "And now?"])
    assert [reply.text for reply in replies] == [
        "It has been shipped. (your question 1)",
        "It has been shipped. (your question 2)",
    ]
    assert calls(replies[0])[0][:2] == ("get_order", True)
