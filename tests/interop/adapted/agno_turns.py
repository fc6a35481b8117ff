"""Agents and teams of agno, served. Run by test_adapted.py where agno is installed."""

import copy
import json
import threading
from pathlib import Path
from typing import Any

import pytest
from agno.agent import Agent
from agno.db.base import SessionType
from agno.db.in_memory import InMemoryDb
from agno.exceptions import CheckTrigger, InputCheckError, ModelProviderError
from agno.models.message import Message
from agno.run import RunContext, RunStatus
from agno.team import Team
from agno.tools import Toolkit
from agno.tools import tool as agno_tool
from agno_model import FakeModel, call
from observed import Observed, assistant, calls, scripted, sees_tools_in_the_toolbox, side_by_side, user
from pydantic import BaseModel
from replayed import FAILING, LIVE, PLAIN, asked_for, fails_by_its_own, names_of, ran, sees_tools_replayed
from replayed import TOOLS as CITY_TOOLS

from greenroom.agents.adapters import adapt, current_turn
from greenroom.agents.adapters.agno import AgnoAgent
from greenroom.core.errors import AgentDown, AgentFailed, ContextExceeded
from greenroom.sdk import AgentError, Usage
from greenroom.sdk.testing import play

threads: list[str] = []


def look_up(order_id: str) -> str:
    """Looks an order up.

    Args:
        order_id: The order's number.
    """
    threads.append(threading.current_thread().name)
    if order_id == "0":
        raise ValueError("no such order")
    return f"{order_id} is on its way"


async def cancel(order_id: str) -> dict[str, str]:
    """Cancels an order."""
    current_turn().world["orders"][order_id]["status"] = "cancelled"
    return {"cancelled": order_id}


def remember(run_context: RunContext, note: str) -> str:
    """Remembers a note."""
    state = run_context.session_state
    assert state is not None
    state.setdefault("notes", []).append(note)
    return f"notes: {', '.join(state['notes'])}"


TOOLS = {"look up": "look_up", "order": "look_up", "cancel": "cancel"}


def desk(messages: list[Message]) -> list[Any]:
    last = messages[-1]
    if last.role == "tool":
        return ["It ", f"says: {last.content}"]
    verb, _, what = str(last.content).rpartition(" ")
    if verb in TOOLS:
        return ["One moment.", call(TOOLS[verb], order_id=what)]
    if verb == "remember":
        return [call("remember", note=what)]
    return ["You said ", ", ".join(str(message.content) for message in messages if message.role == "user")]


def shop(model: FakeModel | None = None, **parts: Any) -> Agent:
    tools = [look_up, Toolkit(name="kit", tools=[cancel]), remember]
    return Agent(name="desk", model=model or FakeModel(desk), tools=tools, instructions="Be kind.", **parts)


def served(model: FakeModel | None = None, **parts: Any) -> AgnoAgent:
    return AgnoAgent(shop(model, **parts), world={"orders": {"7": {"status": "paid"}}})


async def test_agents_and_teams_are_recognised_and_their_tools_are_listed() -> None:
    team = Team(name="shop", members=[shop()], model=FakeModel(desk))
    for target, name in ((shop(), "desk"), (team, "shop")):
        agent = adapt(target, "")
        assert agent is not None
        assert agent.name == name
        assert [tool.name for tool in agent.tools] == ["look_up", "cancel", "remember"]
        [parameter] = agent.tools[0].signature.schema()["properties"].values()
        assert "The order's number." in parameter["description"]
        assert list(agent.tools[1].signature.schema()["properties"]) == ["order_id"]
        assert list(agent.tools[2].signature.schema()["properties"]) == ["note"]


async def test_tools_run_in_the_turns_toolbox_with_the_sessions_world_and_plain_ones_off_the_loop() -> None:
    threads.clear()
    await sees_tools_in_the_toolbox(served())
    assert threads != [threading.main_thread().name]


async def test_a_failing_tool_is_recorded_and_the_model_is_told() -> None:
    [reply] = await play(served(), ["look up 0"])
    assert reply.text.endswith("It says: no such order")
    [(_, ok, result)] = calls(reply)
    assert (ok, json.loads(result)["error"]) == (False, {"type": "ValueError", "message": "no such order"})


async def test_a_scenario_scripts_the_tools() -> None:
    [reply] = await play(served(), ["look up 7"], **scripted("look_up", **{"return": {"status": "lost"}}))
    assert "lost" in reply.text
    assert reply.tool_calls[0].scripted_by
    [reply] = await play(
        served(), ["look up 7"], **scripted("look_up", error={"code": "down", "message": "It is down."})
    )
    assert reply.text.endswith("It says: It is down.")
    assert json.loads(calls(reply)[0][2])["error"]["type"] == "down"


async def test_hooks_of_the_author_still_run_and_those_of_a_tool_alone_are_refused() -> None:
    seen: list[str] = []

    async def note(function_name: str, function_call: Any, arguments: dict[str, Any]) -> Any:
        seen.append(function_name)
        return await function_call(**arguments)

    await play(served(tool_hooks=[note]), ["look up 7"])
    assert seen == ["look_up"]
    own = agno_tool(tool_hooks=[note])(look_up)
    with pytest.raises(AgentError, match="tool look_up has tool_hooks of its own"):
        AgnoAgent(Agent(name="desk", model=FakeModel(desk), tools=[own]))


async def test_text_is_told_as_the_model_writes_it_and_usage_is_the_models() -> None:
    model = FakeModel(desk)
    watched = Observed(served(model))

    def says(messages: list[Message]) -> list[Any]:
        watched.events.append("(asked)")
        return desk(messages)

    model.says = says
    await play(watched.agent, ["look up 7"])
    assert watched.events == ["(asked)", "One moment.", "(asked)", "\n\n", "It ", "says: 7 is on its way"]
    assert watched.usages == [Usage(20, 10)]


@pytest.mark.parametrize("remembers", [False, True])
async def test_nothing_is_told_to_the_model_twice_and_system_messages_hold_for_their_turn(remembers: bool) -> None:
    model = FakeModel(desk)
    memory: dict[str, Any] = {"db": InMemoryDb(), "add_history_to_context": True} if remembers else {}
    closed = {"role": "system", "content": "The shop is closed."}
    opened = {"role": "system", "content": "The shop is open."}
    replies = await play(served(model, **memory), ["look up 7", [closed, user("a")], [opened, user("b")]])
    assert replies[-1].text == "You said look up 7, a, b"
    systems = [text for asked in model.asked for role, text in asked if role == "system"]
    assert len(systems) == 4
    assert ("closed" in systems[2], "closed" in systems[3], "open" in systems[3]) == (True, False, True)
    roles = [role for role, _ in model.asked[-1]]
    assert roles.count("user") == 3
    assert roles.count("tool") == 1


@pytest.mark.parametrize("remembers", [False, True])
async def test_a_history_that_only_the_request_has_is_handed_over_whole(remembers: bool) -> None:
    model = FakeModel(desk)
    memory: dict[str, Any] = {"db": InMemoryDb(), "add_history_to_context": True} if remembers else {}
    agent = served(model, **memory)
    for history in (
        [[user("a"), assistant("You said a"), user("b")]],
        ["x", [user("x"), assistant("Something else"), user("b")]],
    ):
        await play(agent, history)
        assert [text for role, text in model.asked[-1] if role != "system"] == [one["content"] for one in history[-1]]  # type: ignore[index]


@pytest.mark.parametrize("remembers", [False, True])
async def test_going_back_takes_the_memory_back(remembers: bool) -> None:
    memory: dict[str, Any] = {"db": InMemoryDb(), "add_history_to_context": True} if remembers else {}
    first = [user("remember a")]
    second = [*first, assistant("It says: notes: a"), user("remember b")]
    other = [*first, assistant("It says: notes: a"), user("remember c")]
    replies = await play(served(**memory), [first, second, other])
    assert [reply.text for reply in replies] == [
        "It says: notes: a", "It says: notes: a, b", "It says: notes: a, c",
    ]  # fmt: skip


@pytest.mark.parametrize("remembers", [False, True])
async def test_sessions_at_once_do_not_hear_of_each_other(remembers: bool) -> None:
    memory: dict[str, Any] = {"db": InMemoryDb(), "add_history_to_context": True} if remembers else {}
    talks = {f"s{number}": [f"first{number}", f"remember n{number}", f"last{number}"] for number in range(8)}
    for session, replies in (await side_by_side(served(**memory), talks)).items():
        number = session.removeprefix("s")
        assert replies[1].text == f"It says: notes: n{number}"
        assert replies[-1].text == f"You said first{number}, remember n{number}, last{number}"


@pytest.mark.parametrize("past", [2, 9])
async def test_the_model_is_told_as_many_past_runs_as_its_agent_says(past: int) -> None:
    model = FakeModel(desk)
    said = [f"message {number}" for number in range(6)]
    await play(served(model, db=InMemoryDb(), add_history_to_context=True, num_history_runs=past), said)
    assert [text for role, text in model.asked[-1] if role == "user"] == said[-past - 1 :]


async def test_past_runs_are_whole_for_who_looks_into_them() -> None:
    seen: list[tuple[dict[str, Any], dict[str, Any]]] = []

    def look_back(agent: Agent, run_context: RunContext) -> str:
        """Looks back."""
        database: Any = agent.db
        rows = database.get_session(run_context.session_id, SessionType.AGENT, deserialize=False)["runs"]
        runs = database.get_session(run_context.session_id, SessionType.AGENT).runs
        again = copy.deepcopy(runs)
        again[0].content = "changed"
        assert again[0].messages[-1].content == runs[0].messages[-1].content == runs[0].content == "You said a"
        assert [run.status for run in runs] == [RunStatus.completed] * 2
        seen.extend((run.to_dict(), row) for run, row in zip(runs, rows, strict=True))
        return "seen"

    def looks(messages: list[Message]) -> list[Any]:
        return [call("look_back")] if messages[-1].content == "look back" else desk(messages)

    agent = AgnoAgent(Agent(name="desk", model=FakeModel(looks), tools=[look_back], db=InMemoryDb()))
    replies = await play(agent, ["a", "b", "look back"])
    assert replies[-1].text == "It says: seen"
    for run, row in seen:
        row.pop("run_index", None)
        assert run == {**row, "events": []}


async def test_a_team_with_a_database_remembers_what_it_and_its_members_did() -> None:
    def leads(messages: list[Message]) -> list[Any]:
        last = messages[-1]
        if last.role == "user" and str(last.content).startswith("look up"):
            return [call("delegate_task_to_member", member_id="desk", task=last.content)]
        return desk(messages)

    team = Team(name="shop", members=[shop()], model=FakeModel(leads), db=InMemoryDb(), add_history_to_context=True)
    replies = await play(AgnoAgent(team), ["look up 7", "a", "look up 8", "b"])
    assert ["on its way" in reply.text for reply in replies] == [True, False, True, False]
    assert replies[-1].text == "You said look up 7, a, look up 8, b"


async def test_a_team_hands_on_to_its_members_whose_tools_are_recorded_too() -> None:
    def leads(messages: list[Message]) -> list[Any]:
        last = messages[-1]
        if last.role == "tool":
            return [f"The desk says: {last.content}"]
        return [call("delegate_task_to_member", member_id="desk", task="look up 7")]

    agent = AgnoAgent(Team(name="shop", members=[shop()], model=FakeModel(leads)))
    watched = Observed(agent)
    [reply] = await play(agent, ["Where is 7?"])
    assert "7 is on its way" in reply.text
    assert reply.text.startswith("The desk says")
    assert "look_up" in [name for name, _, _ in calls(reply)]
    assert watched.usages == [Usage(40, 20)]


class Verdict(BaseModel):
    good: bool


async def test_an_output_that_is_no_text_is_told_as_json() -> None:
    model = FakeModel(lambda messages: ['{"good": ', "true}"])
    [reply] = await play(AgnoAgent(Agent(name="desk", model=model, output_schema=Verdict)), ["?"])
    assert json.loads(reply.text) == {"good": True}


async def test_a_guardrail_that_stops_the_run_is_a_reply() -> None:
    def no_secrets(run_input: Any) -> None:
        if "secret" in run_input.input_content_string():
            raise InputCheckError("no", check_trigger=CheckTrigger.OFF_TOPIC)

    agent = AgnoAgent(shop(pre_hooks=[no_secrets]), refusal="No.")
    refused, again = await play(agent, ["a secret", "hello"])
    assert (refused.text, refused.metadata["agno"]["guardrail"]) == ("No.", "off_topic")
    assert again.text


async def test_a_model_that_cannot_be_had_or_takes_no_more_is_told_from_any_other_error() -> None:
    def fails(error: Exception) -> FakeModel:
        def says(messages: list[Message]) -> list[Any]:
            raise error

        return FakeModel(says)

    with pytest.raises(AgentDown):
        await play(served(fails(ModelProviderError("down", 503))), ["a"])
    with pytest.raises(ContextExceeded):
        await play(served(fails(ModelProviderError("This model's maximum context length is 9 tokens.", 400))), ["a"])
    with pytest.raises(AgentFailed):
        await play(served(fails(KeyError("x"))), ["a"])


async def test_a_factory_makes_the_agent_for_each_turn_and_dependencies_are_made_from_the_turn() -> None:
    made_so_far: list[Agent] = []

    def who(run_context: RunContext) -> str:
        return str((run_context.dependencies or {})["user"])

    def make() -> Agent:
        model = FakeModel(lambda messages: desk(messages) if messages[-1].role == "tool" else [call("who")])
        made_so_far.append(Agent(name="desk", model=model, tools=[who]))
        return made_so_far[-1]

    agent = AgnoAgent(make, factory=True, dependencies=lambda turn: {"user": turn.user.id})
    [reply] = await play(agent, ["who"], user_id="ann")
    assert reply.text == "It says: ann"
    assert len(made_so_far) == 2
    with pytest.raises(AgentError, match=r"run takes .*, not session_id"):
        AgnoAgent(make, factory=True, run={"session_id": "x"})


def in_context(run_context: RunContext, city: str) -> str:
    """Takes part in the run."""
    ran.append("in_context")
    assert run_context.session_state is not None
    run_context.session_state["city"] = city
    return city


def caller(messages: list[Message]) -> list[Any]:
    last = messages[-1]
    if last.role == "tool":
        return [f"It says: {last.content}"]
    name, city = asked_for(str(last.content))
    return [call(name, city=city)]


@pytest.mark.parametrize("hooked", [False, True])
async def test_tools_that_take_their_arguments_alone_are_replayed(tmp_path: Path, hooked: bool) -> None:
    """agno looks at the text of a failure alone, its author's hooks perhaps at more."""
    seen: list[Any] = []

    async def note(function_name: str, function_call: Any, arguments: dict[str, Any]) -> Any:
        try:
            seen.append(await function_call(**arguments))
        except Exception as error:
            seen.append(repr(error))
            raise
        return seen[-1]

    def agent() -> AgnoAgent:
        tools = [*CITY_TOOLS[1:], Toolkit(name="kit", tools=[CITY_TOOLS[0]]), in_context]
        return AgnoAgent(
            Agent(name="desk", model=FakeModel(caller), tools=tools, tool_hooks=[note] if hooked else None)
        )

    own = names_of([fails_by_its_own])
    replayed = (*names_of(PLAIN, FAILING), *(() if hooked else own))
    live = (*names_of(LIVE), "in_context", *(own if hooked else ()))
    await sees_tools_replayed(agent, tmp_path, replayed, live, seen)
