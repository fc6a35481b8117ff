"""Tools that come from elsewhere: seen as they are now, started once, told of when they are missing."""

from collections.abc import Callable
from typing import Any

import pytest

from greenroom.agents.named import agent_of
from greenroom.agents.router import Router
from greenroom.core.agents import Agents
from greenroom.core.core import Core
from greenroom.core.limits import Limits
from greenroom.core.memory import MemoryStore
from greenroom.core.records import Message
from greenroom.core.request import TurnRequest
from greenroom.core.served import Served
from greenroom.sdk import Agent, AgentError, Tool, ToolFailed, ToolSource, Turn, tool
from greenroom.sdk.testing import play

SCRIPTED = [{"id": "down", "tools": {"shelf": [{"error": {"code": "down", "message": "It is down."}}]}}]


class Stub(ToolSource):
    """A source whose tools come and go as the test says."""

    def __init__(self, name: str, *names: str) -> None:
        self._name = name
        self._tools = tuple(map(self.made, names))
        self.wrong = ""
        self.done: list[str] = []
        self.fails: Exception | None = None

    @property
    def name(self) -> str:
        return self._name

    @property
    def tools(self) -> tuple[Tool[..., Any], ...]:
        return self._tools

    def problem(self) -> str:
        return self.wrong

    async def startup(self) -> None:
        self.done.append("startup")
        if self.fails is not None:
            raise self.fails

    async def shutdown(self) -> None:
        self.done.append("shutdown")

    def now(self, *names: str) -> None:
        self._tools = tuple(map(self.made, names))

    def made(self, name: str) -> Tool[..., Any]:
        async def call(arguments: dict[str, Any]) -> str:
            return f"{name} of {self._name}"

        return Tool.described(name, call, parameters={"type": "object", "properties": {}})


@tool
def own() -> str:
    """The agent's."""
    return "own"


def caller(*tools: Tool[..., Any] | ToolSource, calls: str = "shelf") -> Agent:
    """An agent that says which tools it has, and what one of them returns."""
    agent = Agent("caller", tools=tools)

    @agent.reply
    async def reply(turn: Turn) -> str:
        names = [each["function"]["name"] for each in turn.tools.openai()]
        result = await turn.call(calls) if calls in names else "nothing"
        return f"{' '.join(names)}: {result}"

    return agent


async def test_an_agents_tools_are_its_own_and_then_each_sources() -> None:
    agent = caller(Stub("one", "shelf"), own, Stub("two", "door"))
    assert [each.name for each in agent.tools] == ["own", "shelf", "door"]
    [reply] = await play(agent, ["Hello"])
    assert (reply.text, [call.name for call in reply.tool_calls]) == ("own shelf door: shelf of one", ["shelf"])


async def test_a_turn_has_the_tools_that_there_are_when_it_begins() -> None:
    source = Stub("one")
    agent = caller(own, source)
    core = Core(Agents([Served(agent, "caller", Limits())]), MemoryStore(), Limits())
    await core.start()
    texts = []
    try:
        for names in ((), ("shelf",), ("shelf", "door"), ("door",)):
            source.now(*names)
            reply = await core.turns.run(TurnRequest(messages=(Message("user", "Hello"),), session_id=f"s{len(texts)}"))
            texts.append(reply.turn.reply)
            assert [each.name for each in core.tools.list()] == ["own", *names]
    finally:
        await core.stop()
    assert texts == ["own: nothing", "own shelf: shelf of one", "own shelf door: shelf of one", "own door: nothing"]


def test_the_tools_are_the_same_tuple_as_long_as_nothing_has_changed() -> None:
    source = Stub("one", "shelf")
    agent = caller(own, source)
    before = agent.tools
    assert agent.tools is before
    source.now("door")
    assert [each.name for each in agent.tools] == ["own", "door"]


async def test_of_two_tools_with_one_name_the_first_is_had_and_the_problem_says_both() -> None:
    agent = caller(own, Stub("one", "shelf"), Stub("two", "shelf", "own", "door"))
    assert [each.name for each in agent.tools] == ["own", "shelf", "door"]
    assert agent.problem() == (
        "tools of two: shelf is left out, that of one has this name; a prefix tells them apart; "
        "tools of two: own is left out, the agent's own tool has this name; a prefix tells them apart"
    )
    [reply] = await play(agent, ["Hello"])
    assert reply.text == "own shelf door: shelf of one"


def test_what_is_wrong_with_a_source_is_told_with_its_name_until_it_heals() -> None:
    source = Stub("mcp.shop", "shelf")
    agent = caller(source)
    assert agent.problem() == ""
    source.wrong = "it does not answer"
    assert agent.problem() == "tools of mcp.shop: it does not answer"
    source.wrong = ""
    assert agent.problem() == ""


async def test_a_tool_that_is_missed_may_be_one_of_a_source_that_is_away() -> None:
    agent, away, known = Agent("caller", tools=[]), Stub("far"), Stub("near", "shelf")
    away.wrong = known.wrong = "it is down"
    agent.add_tools(away)
    agent.add_tools(known)

    @agent.reply
    async def reply(turn: Turn) -> str:
        with pytest.raises(ToolFailed) as failed:
            await turn.call("drawer")
        return failed.value.message

    [missed] = await play(agent, ["Look."])
    assert missed.text == "there is no tool named 'drawer'; those of far are not there: it is down"
    away.wrong = ""
    [missed] = await play(agent, ["Look."])
    assert missed.text == "there is no tool named 'drawer'"


async def test_a_source_is_started_before_the_agent_and_stopped_after_it() -> None:
    source = Stub("one", "shelf")
    agent = caller(source)
    agent.on_startup(lambda: source.done.append("the agent starts"))
    agent.on_shutdown(lambda: source.done.append("the agent stops"))
    await play(agent, ["Hello"])
    assert source.done == ["startup", "the agent starts", "the agent stops", "shutdown"]


async def test_a_source_of_several_agents_is_started_once_and_stopped_once() -> None:
    source = Stub("one", "shelf")
    served = [Served(caller(source), name, Limits()) for name in ("a", "b")]
    core = Core(Agents(served), MemoryStore(), Limits())
    await core.start()
    assert source.done == ["startup"]
    await core.stop()
    assert source.done == ["startup", "shutdown"]


@pytest.mark.parametrize("at_fault", ["source", "agent"])
async def test_when_the_start_fails_no_source_is_left_open(at_fault: str) -> None:
    good, bad = Stub("good", "shelf"), Stub("bad", "door")
    agent = caller(good, bad)

    def fail() -> None:
        raise AgentError("no")

    if at_fault == "source":
        bad.fails = AgentError("no")
    else:
        agent.on_startup(fail)
    with pytest.raises(AgentError, match="no"):
        await play(agent, ["Hello"])
    assert (good.done, bad.done) == (["startup", "shutdown"],) * 2


async def test_scenarios_script_a_sources_tools() -> None:
    agent = caller(Stub("one", "shelf"), calls="shelf")

    @agent.reply
    async def reply(turn: Turn) -> str:
        [answer] = await turn.tools.run([{"id": "c", "function": {"name": "shelf", "arguments": "{}"}}])
        return str(answer["content"])

    [reply_] = await play(agent, ["Hello"], scenarios=SCRIPTED, metadata={"scenario_id": "down"})
    assert reply_.text == '{"error":{"type":"down","message":"It is down."}}'


async def test_scenarios_name_any_tool_while_nobody_knows_what_a_source_has() -> None:
    """It may be down now, and a scenario that scripts its tools is to be had none the less."""
    source = Stub("one")
    served = Served(caller(source), "caller", Limits(), [SCRIPTED])
    assert served.loaded.mistakes == ()
    source.now("door")
    core = Core(Agents([served]), MemoryStore(), Limits())
    await core.start()
    try:
        assert [mistake.path for mistake in served.loaded.mistakes] == ["tools.shelf"]
    finally:
        await core.stop()


async def test_a_router_has_its_agents_sources_and_gives_each_what_is_added() -> None:
    mine, added = Stub("mine", "shelf"), Stub("added", "door")
    router = Router("router", {"first": caller(mine), "second": caller(own, calls="door")}, default="second")
    router.add_tools(added)
    mine.wrong = "away"
    assert [each.name for each in router.tools] == ["own", "shelf", "door"]
    assert router.problem() == "tools of mine: away"
    [reply] = await play(router, ["Hello"])
    assert reply.text == "own door: door of added"
    assert (mine.done, added.done) == (["startup", "shutdown"],) * 2


async def test_agents_of_a_factory_have_the_tools_that_were_added_to_it() -> None:
    made: Callable[[], Agent] = caller
    agent = agent_of(made, "made", factory=True)
    source = Stub("added", "shelf")
    agent.add_tools(source)
    [reply] = await play(agent, ["Hello"])
    assert (reply.text, source.done) == ("shelf: shelf of added", ["startup", "shutdown"])


async def test_a_source_cannot_be_added_once_the_agent_runs() -> None:
    agent = caller()
    await agent.startup()
    with pytest.raises(RuntimeError, match="the tools of two come too late"):
        agent.add_tools(Stub("two", "door"))
    await agent.shutdown()
