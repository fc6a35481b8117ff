"""Routers: who replies, what each agent sees, hand-offs, and what cannot go together."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from talk import Told, talking

from greenroom.agents.agent_file import read_agent_file
from greenroom.agents.router import Choice, Router, Rule
from greenroom.agents.router.routes import Examples
from greenroom.core.errors import AgentFailed
from greenroom.sdk import Agent, AgentError, Reply, Turn, Usage, World, delegate, tool
from greenroom.sdk.testing import play


@tool
def mark(world: World, who: str) -> str:
    """Marks."""
    world["marks"][who] = world["marks"].get(who, 0) + 1
    return who


@tool
def send_on(turn: Turn, to: str) -> None:
    """Hands off."""
    turn.hand_off(to, "a tool said so")


def named(name: str, **parts: Any) -> Agent:
    """Says what it sees."""
    agent = Agent(name, instructions=f"You are {name}.", **parts)

    @agent.reply
    async def reply(turn: Turn) -> Reply:
        turn.state["n"] = turn.state.get("n", 0) + 1
        for to in turn.text.removeprefix("to ").split() if turn.text.startswith("to ") else ():
            if to != name:
                turn.hand_off(to, "asked to")
                return Reply("Wait.", usage=Usage(1, 2))
        seen = {
            "me": name,
            "system": [message["content"] for message in turn.messages.openai() if message["role"] == "system"],
            "n": turn.state["n"],
            "tools": [tool["function"]["name"] for tool in turn.tools.openai()],
            "before": len(turn.messages),
        }
        return Reply(json.dumps(seen), confidence=0.5, usage=Usage(10, 20), metadata={"own": name})

    return agent


def seen(reply: Any) -> Any:
    return json.loads(reply.text)


async def test_each_sees_its_own_and_the_whole_conversation() -> None:
    router = Router(
        "desk",
        {"a": named("one", tools=[mark]), "b": named("one", tools=[send_on])},
        rules=[Rule("a", keywords=["apple"]), Rule("b", keywords=["berry pie"])],
    )
    replies = await play(router, ["An APPLE.", "berry  pie? berry pie!", "more", "apple"])
    assert [(seen(r)["tools"], seen(r)["n"], seen(r)["before"]) for r in replies] == [
        (["mark"], 1, 1),
        (["send_on"], 1, 3),
        (["send_on"], 2, 5),
        (["mark"], 2, 7),
    ]
    assert seen(replies[0])["system"] == ["You are one."]
    assert replies[0].metadata == {"own": "one", "route": {"agent": "a", "by": "rule", "why": "keyword 'APPLE'"}}
    assert replies[2].metadata["route"] == {"agent": "b", "by": "last"}


@pytest.mark.parametrize(
    ("text", "route"),
    [
        ("pineapple", {"agent": "a", "by": "default"}),
        ("my order #12345, please", {"agent": "b", "by": "rule", "why": "pattern '#12345'"}),
        ("parcel, where is my?!", {"agent": "c", "by": "example", "why": "like 'Where is my parcel?'", "score": 1.0}),
        ("xyz", {"agent": "a", "by": "default"}),
        ("", {"agent": "a", "by": "default"}),
        ("choose c", {"agent": "c", "by": "function"}),
        ("choose b because", {"agent": "b", "by": "guess", "why": "because", "score": 0.25}),
    ],
)
async def test_who_replies(text: str, route: dict[str, Any]) -> None:
    async def choose(turn: Turn) -> str | Choice | None:
        match turn.text.split():
            case ["choose", who]:
                return who
            case ["choose", who, why]:
                return Choice(who, "guess", why, 0.25)
        return None

    router = Router(
        "desk",
        {name: named(name) for name in "abc"},
        rules=[Rule("a", keywords=["apple", " "]), Rule("b", pattern=r"#\d{5}"), Rule("c", pattern="#1")],
        examples={"c": ["Where is my parcel?"], "b": ["I was charged twice for it"]},
        choose=choose,
    )
    [played] = await play(router, [text])
    assert played.metadata["route"] == route


@pytest.mark.parametrize(
    ("text", "keyword", "is_there"),
    [
        ("返金してください", "返金", True),  # Japanese: a refund, please
        ("AIについて", "ai", True),  # about AI
        ("ขอคืนเงินครับ", "คืนเงิน", True),  # Thai: money back
        ("환불해 주세요", "환불", True),  # Korean
        ("返金", "返品", False),
        ("Prefunding", "refund", False),
        ("refunds", "refund", False),
        ("Rückerstattung", "erstattung", False),
        ("возвраты", "возврат", False),
    ],
)
def test_a_keyword_is_a_whole_word_where_words_have_ends(text: str, keyword: str, is_there: bool) -> None:
    assert (Rule("a", keywords=["nothing", keyword]).match(text) is not None) is is_there


async def test_an_agent_hands_off_in_the_middle_of_a_turn() -> None:
    heard = Told()
    router = Router("desk", {name: named(name) for name in "ab"}, default="a")
    async with talking(router) as talk:
        turn = await talk.say("to b", told=heard)
    assert heard.text == "Wait.\n\n"
    assert turn.reply.startswith("Wait.\n\n{")
    assert (turn.prompt_tokens, turn.completion_tokens, turn.confidence) == (11, 22, 0.5)
    route = {"agent": "b", "by": "hand_off", "why": "asked to", "path": ["a", "b"]}
    assert json.loads(turn.reply_metadata_json)["route"] == route
    assert json.loads(turn.seen_json)["instructions"] == ["You are a.", "You are b."]


async def test_a_tool_may_hand_off() -> None:
    first = Agent("first", tools=[send_on])

    @first.reply
    async def reply(turn: Turn) -> str:
        await turn.call(send_on, to="second")
        return ""

    router = Router("desk", {"first": first, "second": named("second")})
    one, two = await play(router, ["hi", "again"])
    assert (seen(one)["me"], one.metadata["route"]["why"]) == ("second", "a tool said so")
    assert two.metadata["route"] == {"agent": "second", "by": "last"}


@pytest.mark.parametrize(
    ("text", "detail"),
    [("to a b", "handed on too often: a to b to a to b"), ("to nobody", "has no agent 'nobody'; it has a, b")],
)
async def test_a_wrong_hand_off_fails_the_turn(text: str, detail: str) -> None:
    async with talking(Router("desk", {name: named(name) for name in "ab"})) as talk:
        await talk.say("hi")
        assert type(await talk.fails(text)) is AgentFailed
        assert detail in (await talk.failures())[0].detail
        assert json.loads((await talk.say("hi")).reply)["n"] == 2


async def test_a_hand_off_without_a_router_fails_the_turn() -> None:
    async with talking(named("alone")) as talk:
        await talk.say("hi")
        await talk.fails("to b")
        assert "that is for a Router's" in (await talk.failures())[0].detail


async def test_going_back_goes_back_to_who_replied_then() -> None:
    router = Router("desk", {name: named(name) for name in "ab"}, rules=[Rule("b", keywords=["berry"])])
    said = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "x"},
        {"role": "user", "content": "more"},
    ]
    first, _, back = await play(router, ["hi", "berry", said])
    assert first.metadata["route"] == {"agent": "a", "by": "default"}
    assert (back.history, back.metadata["route"], seen(back)["n"]) == ("went_back", {"agent": "a", "by": "last"}, 2)


async def test_the_world_is_all_of_theirs() -> None:
    one = named("one", tools=[mark], world={"marks": {}, "x": {"1": {"a": 1}}})
    two = named("two", tools=[mark], world={"marks": {}, "y": {}})
    router = Router("desk", {"one": one, "two": two})
    assert router.load_world().data == {"marks": {}, "x": {"1": {"a": 1}}, "y": {}}
    assert [tool.name for tool in router.tools] == ["mark"]
    assert Router("desk", {"one": one}, world={"z": {}}).load_world().data == {"z": {}}


@tool(name="mark")
def other_mark() -> None:
    """Another one of the same name."""


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Router("desk", {}), "has no agents"),
        (lambda: Router("desk", {"a": 5}), "a is a int"),
        (lambda: Router("desk", {"a": named("a")}, default="b"), "has no agent 'b'; it has a"),
        (lambda: Router("desk", {"a": named("a")}, rules=[Rule("b", pattern="x")]), "has no agent 'b'"),
        (lambda: Router("desk", {"a": named("a")}, examples={"b": ["x"]}), "has no agent 'b'"),
        (lambda: Rule("a"), "neither keywords nor a pattern"),
        (lambda: Rule("a", keywords=[" "]), "neither keywords nor a pattern"),
        (lambda: Rule("a", keywords="refund"), "a list, not a text"),
        (lambda: Rule("a", pattern="("), "is no regular expression"),
        (
            lambda: Router("desk", {"a": named("a", tools=[mark]), "b": named("b", tools=[other_mark])}),
            "b has another tool 'mark'",
        ),
        (
            lambda: Router(
                "desk", {"a": named("a", world={"x": {"k": 1}}), "b": named("b", world={"x": {}})}
            ).load_world(),
            "b has another 'x' in its world",
        ),
    ],
)
def test_what_does_not_go_together_is_explained(make: Any, said: str) -> None:
    with pytest.raises(AgentError) as problem:
        make()
    assert said in str(problem.value)


async def test_their_start_stop_and_health_are_the_router_s() -> None:
    told: list[str] = []
    agent = named("a")
    agent.on_startup(lambda: told.append("start"))
    agent.on_shutdown(lambda: told.append("stop"))
    agent.on_health(lambda: "unwell")
    router = Router("desk", {"a": agent})
    await play(router, ["hi"])
    assert (told, router.problem()) == (["start", "stop"], "unwell")


async def test_it_is_degraded_while_one_of_its_agents_is_well_and_unhealthy_when_none_is() -> None:
    told = {"a": "a is away", "b": ""}
    agents = {name: named(name) for name in told}
    for name, agent in agents.items():
        agent.on_health(partial(told.__getitem__, name))
    router = Router("desk", agents)
    seen = []
    for told["b"], own in (("", ""), ("b is away", ""), ("", "closed")):
        router.on_health(partial(str, own))
        seen.append((router.problem(), router.can_reply()))
    assert seen == [("a is away", True), ("a is away; b is away", False), ("a is away; closed", False)]


async def test_what_was_said_before_a_hand_off_stands_apart_however_it_was_said() -> None:
    first = Agent("first")

    @first.reply
    async def reply(turn: Turn) -> AsyncIterator[str]:
        yield "I am "
        yield "sorry."
        turn.hand_off("second")

    second = Agent("second")

    @second.reply
    def go_on(turn: Turn) -> str:
        turn.say("Se")
        return "cond."

    heard = Told()
    router = Router("desk", {"first": first, "second": second})
    async with talking(router) as talk:
        assert (await talk.say("hi", told=heard)).reply == "I am sorry.\n\nSecond."
    assert heard.pieces == ["I am ", "sorry.", "\n\n", "Se"]


async def test_a_router_among_the_agents_says_who_replied_there() -> None:
    inner = Router("inner", {"a": named("a"), "b": named("b")}, rules=[Rule("b", keywords=["berry"])])
    outer = Router("outer", {"in": inner, "c": named("c")}, rules=[Rule("in", keywords=["berry"])], default="c")
    one, two, three = await play(outer, ["hi", "berry", "more"])
    assert one.metadata["route"] == {"agent": "c", "by": "default"}
    within = {"agent": "b", "by": "rule", "why": "keyword 'berry'"}
    assert two.metadata["route"] == {"agent": "in", "by": "rule", "why": "keyword 'berry'", "route": within}
    assert three.metadata["route"] == {"agent": "in", "by": "last", "route": {"agent": "b", "by": "last"}}
    assert (seen(three)["me"], seen(three)["n"]) == ("b", 2)


async def test_a_function_that_chooses_may_wait_for_a_tool() -> None:
    def choose(turn: Turn) -> str:
        return turn.call_sync(mark, who="b")

    router = Router("desk", {name: named(name, tools=[mark], world={"marks": {}}) for name in "ab"}, choose=choose)
    [played] = await play(router, ["hi"])
    assert (seen(played)["me"], played.metadata["route"]["by"]) == ("b", "function")


async def test_a_function_that_chooses_nobody_known_fails_the_turn() -> None:
    async with talking(Router("desk", {"a": named("a")}, choose=lambda turn: 5)) as talk:  # type: ignore[arg-type,return-value]
        await talk.fails("hi")
    choices = Router("desk", {"a": named("a")}, choose=lambda turn: turn.metadata.get("who"))
    async with talking(choices) as talk:
        await talk.say("hi")
        await talk.fails("hi", metadata_json='{"who": 5}')
        assert "chose a int, not a name or a Choice" in (await talk.failures())[0].detail


async def test_worlds_are_read_when_the_agents_are_and_again(tmp_path: Path) -> None:
    file = tmp_path / "world.json"
    router = Router("desk", {"a": named("a", world=file)})
    file.write_text('{"x": {"1": 1}}')
    assert router.load_world().data == {"x": {"1": 1}}
    file.write_text('{"x": {"1": 2}}')
    assert router.load_world().data == {"x": {"1": 2}}


def test_a_long_text_is_compared_by_how_it_begins() -> None:
    examples = Examples({"a": ["Where is my parcel?"]})
    assert examples.match("Where is my parcel? " + "x" * 1000) == examples.match(
        "Where is my parcel? " + "x" * 9_000_000
    )


async def test_two_agents_do_not_reply_at_once() -> None:
    agent = Agent("both")
    one, two = named("one"), named("two")

    @agent.reply
    async def reply(turn: Turn) -> str:
        with pytest.raises(RuntimeError, match="one agent at a time"):
            await asyncio.gather(slow(turn), slow(turn))
        return (await delegate(turn, two)).text

    async def slow(turn: Turn) -> None:
        async def wait(inner: Turn) -> str:
            await asyncio.sleep(0)
            return ""

        waiting = Agent("waiting")
        waiting.reply(wait)
        await delegate(turn, waiting)
        await delegate(turn, one)

    [played] = await play(agent, ["hi"])
    assert seen(played)["me"] == "two"


async def test_a_file_describes_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "routed_by_file.py").write_text(
        "async def a(turn):\n    return 'a'\nasync def b(turn):\n    return 'b'\n", encoding="utf-8"
    )
    (tmp_path / "desk.yaml").write_text(
        "router:\n  agents: {a: 'routed_by_file:a', b: 'routed_by_file:b'}\n"
        "  rules: [{agent: b, keywords: [berry]}]\n  name: desk\n"
    )
    monkeypatch.setattr("sys.path", list(sys.path))
    agent = read_agent_file(tmp_path / "desk.yaml")
    assert (agent.name, [played.text for played in await play(agent, ["hi", "berry"])]) == ("desk", ["a", "b"])
    (tmp_path / "desk.yaml").write_text("router: {agents: {a: 'routed_by_file:c'}}")
    with pytest.raises(AgentError, match="routed_by_file has no c"):
        read_agent_file(tmp_path / "desk.yaml")
