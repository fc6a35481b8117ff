"""Scenarios as sessions play them: worlds, clocks, users and scripted tools (USER-06, CHAT-10)."""

import asyncio
import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from core_running import asked, make_core, until
from pydantic import BaseModel

from greenroom.core.agents import Agents
from greenroom.core.core import Core
from greenroom.core.errors import InvalidRequest, TurnTimeout
from greenroom.core.limits import Limits
from greenroom.core.memory import MemoryStore
from greenroom.core.records import ToolCallRecord
from greenroom.core.scenario import read_scenario
from greenroom.core.scenario_files.sources import Folder
from greenroom.core.served import Served
from greenroom.sdk import Agent, AgentError, ToolError, ToolFailed, Turn, World, tool
from greenroom.sdk.testing import PlayedReply, play


class Parcel(BaseModel):
    id: str
    day: date = date(2024, 1, 21)


@tool
async def refund(world: World, order_id: str, amount: float = 1.5, urgent: bool = False) -> dict[str, Any]:
    """Pays back."""
    world["refunds"][order_id] = amount
    return {"refunded": amount}


@tool
def status(world: World, order_id: str) -> dict[str, Any]:
    """Looks up."""
    if order_id not in world["orders"]:
        raise ToolError("No such order.", code="not_found")
    return dict(world["orders"][order_id])


@tool(timeout=0.05)
async def send(parcel: Parcel) -> str:
    """Sends."""
    return parcel.id


@tool
async def outer(turn: Turn) -> Any:
    """Calls another tool."""
    return await turn.call(status, order_id="1")


def calling(**options: Any) -> Agent:
    """An agent that makes the calls it is told: `[["refund", {"order_id": "1"}], …]`, and says what came of each."""
    agent = Agent(
        "calling",
        tools=[refund, status, send, outer],
        world={"orders": {"1": {"status": "new"}}, "refunds": {}},
        **options,
    )

    @agent.reply
    async def reply(turn: Turn) -> str:
        answers: list[Any] = []
        for name, arguments in json.loads(turn.text):
            try:
                answers.append(await turn.call(name, **arguments))
            except ToolFailed as failed:
                answers.append([failed.name, failed.type, failed.message])
        return json.dumps(answers)

    return agent


def said(*calls: tuple[str, dict[str, Any]]) -> str:
    return json.dumps(calls)


def scenario(**parts: Any) -> list[dict[str, Any]]:
    return [{"id": "s", **parts}]


async def played(requests: list[Any], tools: dict[str, Any], **options: Any) -> list[PlayedReply]:
    return await play(calling(), requests, scenarios=scenario(tools=tools), metadata={"scenario_id": "s"}, **options)


REFUND = said(("refund", {"order_id": "1"}))
STATUS = said(("status", {"order_id": "1"}))
UNAVAILABLE = {"error": {"code": "unavailable", "message": "Nobody answers."}}


def by(reply: PlayedReply) -> list[str]:
    return [call.scripted_by for call in reply.tool_calls]


async def test_the_first_rule_that_matches_decides_and_none_is_the_real_tool() -> None:
    rules = {"refund": [{"when": {"call": 1}, **UNAVAILABLE}, {"when": {"call": 2}, "return": {"queued": True}}]}
    first, second, third = await played([REFUND, REFUND, REFUND], rules)
    assert json.loads(first.text) == [["refund", "unavailable", "Nobody answers."]]
    assert json.loads(second.text) == [{"queued": True}]
    assert json.loads(third.text) == [{"refunded": 1.5}]
    assert [by(reply) for reply in (first, second, third)] == [["s: tools.refund[0]"], ["s: tools.refund[1]"], [""]]
    assert [reply.world["refunds"] for reply in (first, second, third)] == [{}, {}, {"1": 1.5}]


def untimed(call: ToolCallRecord) -> tuple[Any, ...]:
    return (call.name, call.arguments_json, call.result_json, call.ok, call.changes)


async def test_a_scripted_failure_looks_in_all_but_its_rule_as_a_real_one() -> None:
    rules = {"status": [{"error": {"code": "not_found", "message": "No such order."}}]}
    missing = said(("status", {"order_id": "2"}))
    [scripted] = await played([missing], rules)
    [real] = await play(calling(), [missing])
    assert scripted.text == real.text
    assert [untimed(call) for call in scripted.tool_calls] == [untimed(call) for call in real.tool_calls]
    assert (by(scripted), by(real)) == (["s: tools.status[0]"], [""])


async def test_a_scripted_return_looks_in_all_but_its_rule_as_a_real_one() -> None:
    [scripted] = await played([STATUS], {"status": [{"return": {"status": "new"}}]})
    [real] = await play(calling(), [STATUS])
    assert scripted.text == real.text
    assert [untimed(call) for call in scripted.tool_calls] == [untimed(call) for call in real.tool_calls]


async def test_a_scripted_timeout_fails_at_once_as_one_that_ran_out_of_time() -> None:
    sending = said(("send", {"parcel": {"id": "p"}}), ("status", {"order_id": "1"}))
    [reply] = await played([sending], {"send": [{"timeout": True}], "status": [{"timeout": True}]})
    assert json.loads(reply.text) == [
        ["send", "timeout", "send did not answer within 0.05 s"],
        ["status", "timeout", "status did not answer"],
    ]
    assert all(call.duration_us < 50_000 for call in reply.tool_calls[1:])


async def test_a_delay_alone_goes_on_to_the_real_tool() -> None:
    [reply] = await played([REFUND], {"refund": [{"delay": "30ms"}]})
    assert json.loads(reply.text) == [{"refunded": 1.5}]
    assert reply.tool_calls[0].duration_us >= 30_000
    assert by(reply) == ["s: tools.refund[0]"]
    assert len(reply.tool_calls[0].changes) == 1


@pytest.mark.parametrize(
    ("then", "answer"),
    [
        ({"return": 7}, 7),
        (UNAVAILABLE, ["status", "unavailable", "Nobody answers."]),
        ({"timeout": True}, ["status", "timeout", "status did not answer"]),
    ],
)
async def test_a_delay_stands_before_any_outcome(then: dict[str, Any], answer: Any) -> None:
    [reply] = await played([STATUS], {"status": [{"delay": "20ms", **then}]})
    assert json.loads(reply.text) == [answer]
    assert reply.tool_calls[0].duration_us >= 20_000


async def test_a_delay_counts_against_the_tools_own_timeout() -> None:
    [reply] = await played([said(("send", {"parcel": {"id": "p"}}))], {"send": [{"delay": "1h", "return": "p"}]})
    assert json.loads(reply.text) == [["send", "timeout", "send did not answer within 0.05 s"]]


async def test_a_delay_ends_with_its_turn() -> None:
    sources = [scenario(tools={"status": [{"delay": "1h"}]})]
    limits = Limits(turn_timeout=0.05)
    core = Core(Agents([Served(calling(), "calling", limits, sources)]), MemoryStore(), limits)
    await core.start()
    with pytest.raises(TurnTimeout):
        await core.turns.run(asked(STATUS, metadata_json='{"scenario_id":"s"}'))
    task = asyncio.create_task(core.turns.run(asked(STATUS, sid="s2", metadata_json='{"scenario_id":"s"}')))
    await until(lambda: core.turns.capacity.running > 0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await core.stop()


async def test_arguments_are_validated_before_any_rule() -> None:
    [reply] = await played([said(("status", {"order": "1"}))], {"status": [{"return": "never"}]})
    [answer] = json.loads(reply.text)
    assert answer[:2] == ["status", "invalid_arguments"]
    assert by(reply) == [""]


async def test_what_a_rule_returns_is_the_agents_to_change() -> None:
    rules = {"status": [{"return": {"list": []}}]}
    agent = calling()

    @agent.reply
    async def reply(turn: Turn) -> str:
        one, two = await turn.call("status", order_id="1"), await turn.call("status", order_id="1")
        one["list"].append("mine")
        return json.dumps([one, two])

    options: dict[str, Any] = {"scenarios": scenario(tools=rules), "metadata": {"scenario_id": "s"}}
    for played_reply in await play(agent, ["a", "b"], **options):
        assert json.loads(played_reply.text) == [{"list": ["mine"]}, {"list": []}]
        assert [call.result_json for call in played_reply.tool_calls] == ['{"list":[]}'] * 2


async def test_each_call_moves_the_clock_scripted_or_not() -> None:
    agent = calling()

    @agent.reply
    async def reply(turn: Turn) -> str:
        for order in ("1", "2"):
            await turn.call("status", order_id=order)
        return turn.clock.now().isoformat()

    parts: dict[str, Any] = {
        "tools": {"status": [{"return": 1}]},
        "clock": {"start": "2025-03-01T08:00:00+05:30", "per_turn": "1h", "per_call": "1500ms"},
    }
    options: dict[str, Any] = {"scenarios": scenario(**parts), "metadata": {"scenario_id": "s"}}
    replies = await play(agent, ["a", "b"], **options)
    assert [played.text for played in replies] == ["2025-03-01T08:00:03+05:30", "2025-03-01T09:00:03+05:30"]


async def test_a_real_clock_is_the_machines() -> None:
    agent = calling()

    @agent.reply
    async def reply(turn: Turn) -> str:
        return turn.clock.now().isoformat()

    before = datetime.now(UTC)
    [answer] = await play(agent, ["a"], scenarios=scenario(clock="real"), metadata={"scenario_id": "s"})
    assert before <= datetime.fromisoformat(answer.text) <= datetime.now(UTC)


MATCHING: list[tuple[dict[str, Any], str, dict[str, Any], bool]] = [
    ({}, "refund", {"order_id": "1"}, True),
    ({"args": {}}, "refund", {"order_id": "1"}, True),
    ({"call": 1}, "refund", {"order_id": "1"}, True),
    ({"call": 2}, "refund", {"order_id": "1"}, False),
    ({"turn": 1}, "refund", {"order_id": "1"}, True),
    ({"turn": 2}, "refund", {"order_id": "1"}, False),
    ({"args": {"order_id": "1"}}, "refund", {"order_id": "1"}, True),
    ({"args": {"order_id": "1"}}, "refund", {"order_id": "12"}, False),
    ({"args": {"order_id": "1"}, "call": 2}, "refund", {"order_id": "1"}, False),
    ({"args": {"amount": 1.5}}, "refund", {"order_id": "1"}, True),  # the default that the tool would get
    ({"args": {"amount": 2}}, "refund", {"order_id": "1", "amount": 2.0}, True),
    ({"args": {"amount": 2.0}}, "refund", {"order_id": "1", "amount": 2}, True),
    ({"args": {"amount": 1}}, "refund", {"order_id": "1", "amount": 2}, False),
    ({"args": {"urgent": True}}, "refund", {"order_id": "1", "urgent": True}, True),
    ({"args": {"urgent": True}}, "refund", {"order_id": "1"}, False),
    ({"args": {"order_id": {"regex": "^9"}}}, "refund", {"order_id": "91"}, True),
    ({"args": {"order_id": {"regex": "^9"}}}, "refund", {"order_id": "19"}, False),
    ({"args": {"order_id": {"regex": "9"}}}, "refund", {"order_id": "191"}, True),
    ({"args": {"amount": {"regex": "1"}}}, "refund", {"order_id": "1", "amount": 1}, False),
    ({"args": {"order_id": {"in": ["1", "2"]}}}, "refund", {"order_id": "2"}, True),
    ({"args": {"order_id": {"in": ["1", "2"]}}}, "refund", {"order_id": "3"}, False),
    ({"args": {"parcel": {"id": "p", "day": "2024-01-21"}}}, "send", {"parcel": {"id": "p"}}, True),
    ({"args": {"parcel": {"id": "p", "day": "2024-01-22"}}}, "send", {"parcel": {"id": "p"}}, False),
]


@pytest.mark.parametrize(("when", "name", "arguments", "applies"), MATCHING)
async def test_a_rule_is_for_the_calls_that_its_when_describes(
    when: dict[str, Any], name: str, arguments: dict[str, Any], applies: bool
) -> None:
    [reply] = await played([said((name, arguments))], {name: [{"when": when, "return": "scripted"}]})
    assert (json.loads(reply.text) == ["scripted"]) == applies
    assert bool(by(reply)[0]) == applies


async def test_calls_are_counted_along_the_path_failed_ones_and_nested_ones_too() -> None:
    rules = {"status": [{"when": {"call": n}, "return": n} for n in (1, 2, 3, 4, 5, 6)]}
    invalid = ("status", {"nothing": "1"})
    valid = ("status", {"order_id": "1"})
    texts = [said(valid, invalid), said(("outer", {}), ("refund", {"order_id": "1"})), said(valid, valid)]
    replies = await played(texts, rules)
    assert json.loads(replies[0].text)[0] == 1
    assert json.loads(replies[1].text)[0] == 3
    assert json.loads(replies[2].text) == [4, 5]


def carrying(*texts: str) -> list[dict[str, Any]]:
    """A whole conversation, the user's turn first."""
    return [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(texts)]


async def test_calls_and_turns_of_superseded_branches_do_not_count() -> None:
    rules = {"status": [{"when": {"call": 2, "turn": 2}, "return": "second"}]}
    one = '[{"status": "new"}]'
    requests = [
        STATUS,
        carrying(STATUS, one, STATUS),
        carrying(STATUS, one, STATUS, '["second"]', STATUS),
        carrying(STATUS, one, said(("status", {"order_id": "1"}), ("outer", {}))),  # back to the second turn
    ]
    replies = await played(requests, rules)
    assert [reply.text for reply in replies] == [one, '["second"]', one, '["second", {"status": "new"}]']
    assert [reply.history for reply in replies] == ["new", "continued", "continued", "went_back"]


async def test_the_count_is_the_same_in_a_session_that_is_read_again() -> None:
    sources = [scenario(tools={"status": [{"when": {"call": 3}, "return": "third"}]})]
    store, limits = MemoryStore(), Limits()
    answers = []
    for _ in range(4):
        core = Core(Agents([Served(calling(), "calling", limits, sources)]), store, limits)
        await core.agents.default.start(store)
        reply = await core.turns.run(asked(STATUS, metadata_json='{"scenario_id":"s"}'))
        answers.append(json.loads(reply.turn.reply)[0])
        await core.agents.default.stop()
    assert answers == [{"status": "new"}, {"status": "new"}, "third", {"status": "new"}]


async def test_calls_that_run_at_once_are_numbered_in_order_of_start() -> None:
    agent = calling()

    @agent.reply
    async def reply(turn: Turn) -> str:
        return json.dumps(await asyncio.gather(*(turn.call("status", order_id="1") for _ in range(3))))

    rules = {
        "status": [
            {"when": {"call": 1}, "delay": "20ms", "return": 1},
            {"when": {"call": 2}, "return": 2},
            {"return": 3},
        ]
    }
    [answer] = await play(agent, ["a"], scenarios=scenario(tools=rules), metadata={"scenario_id": "s"})
    assert answer.text == "[1, 2, 3]"
    assert by(answer) == ["s: tools.status[0]", "s: tools.status[1]", "s: tools.status[2]"]


async def test_nothing_that_an_agent_can_see_tells_of_a_rule() -> None:
    agent = calling()
    seen: list[str] = []

    @agent.reply
    async def reply(turn: Turn) -> str:
        answer = await turn.call("status", order_id="1")
        seen.append(f"{turn.messages.openai()} {turn.metadata} {turn.state} {turn.world} {turn.context} {turn.user}")
        return json.dumps(answer)

    rules = {"status": [{"return": "scripted answer"}]}
    await play(
        agent,
        ["a", "b"],
        scenarios=[{"id": "hidden", "tools": rules}],
        user_metadata={"scenario_id": "hidden"},
        user_id="u",
    )
    assert "scripted answer" in seen[1]
    assert all("tools.status" not in text for text in seen)


async def test_a_scenario_sets_world_user_and_instructions_and_the_request_wins() -> None:
    agent = calling()

    @agent.reply
    async def reply(turn: Turn) -> str:
        return json.dumps(
            [dict(turn.user.profile), dict(turn.metadata), list(turn.context), dict(turn.world["orders"])]
        )

    parts = {
        "world": {"orders": {"1": {"n": 1}, "2": {"n": 2}}},
        "patch": {"orders": {"1": None, "2": {"m": 3}}},
        "user": {"profile": {"name": "Ann", "tier": "gold"}, "metadata": {"mood": "calm", "n": 1}},
        "instructions": "Morning rush.",
    }
    [answer] = await play(
        agent,
        ["a"],
        scenarios=scenario(**parts),
        user_id="u",
        profile={"tier": "basic"},
        user_metadata={"scenario_id": "s", "mood": "angry"},
        metadata={"n": 2},
    )
    assert json.loads(answer.text) == [
        {"name": "Ann", "tier": "basic"},
        {"mood": "angry", "n": 2, "scenario_id": "s"},
        ["Morning rush."],
        {"2": {"n": 2, "m": 3}},
    ]


async def test_a_scenario_is_read_back_as_it_was_stored() -> None:
    parts = {
        "title": "T",
        "clock": {"start": "2025-03-01T08:00:00Z", "per_turn": "0s"},
        "user": {"profile": {"a": 1}},
        "instructions": "I",
        "tools": {
            "status": [
                {"when": {"call": 1, "turn": 2, "args": {"order_id": {"in": ["1"]}}}, **UNAVAILABLE},
                {"when": {"args": {"order_id": {"regex": "x"}}}, "return": {"big": 2**70, "none": None}},
                {"when": {"args": {"order_id": "y"}}, "delay": "1.5s"},
                {"timeout": True},
            ]
        },
    }
    served = Served(calling(), "calling", Limits(), [scenario(**parts)])
    found = served.scenarios.find("s")
    assert found is not None
    again = read_scenario(found.text, found.seed)
    assert (again, again.sha) == (found, found.sha)
    await served.stop()


async def test_sessions_keep_the_scenario_that_they_began_with(tmp_path: Path) -> None:
    file = tmp_path / "s.yaml"
    store, limits = MemoryStore(), Limits()
    core = Core(Agents([Served(calling(), "calling", limits, [Folder(tmp_path)])]), store, limits)
    await core.start()

    async def answer(sid: str) -> tuple[Any, bool]:
        reply = await core.turns.run(asked(STATUS, sid=sid, metadata_json='{"scenario_id":"s"}'))
        return json.loads(reply.turn.reply)[0], reply.scenario.found

    assert await answer("before") == ({"status": "new"}, False)
    file.write_text("{id: s, tools: {status: [{return: one}]}}")
    await core.agents.reload(store)
    assert core.agents.default.loaded.mistakes == ()
    assert await answer("one") == ("one", True)
    file.write_text("{id: s, tools: {status: [{return: two}]}}")
    await core.agents.reload(store)
    assert [await answer(sid) for sid in ("before", "one", "two")] == [
        ({"status": "new"}, False),
        ("one", True),
        ("two", True),
    ]
    file.unlink()
    await core.agents.reload(store)
    assert await answer("two") == ("two", True)
    assert await answer("three") == ({"status": "new"}, False)
    await core.stop()


async def test_an_agent_brings_scenarios_and_a_users_own_come_first(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "a.yaml").write_text("{id: a, tools: {status: [{return: agents a}]}}")
    (tmp_path / "own" / "b.yml").write_text("{id: b, tools: {status: [{return: agents b}]}}")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "b.yaml").write_text("{id: b, tools: {status: [{return: my b}]}}")
    (tmp_path / "mine" / "c.yaml").write_text("{id: c, extends: a}")
    agent = calling(scenarios=tmp_path / "own")

    async def answer(id: str, **options: Any) -> Any:
        [reply] = await play(agent, [STATUS], metadata={"scenario_id": id}, **options)
        return json.loads(reply.text)[0]

    assert [await answer(id) for id in "ab"] == ["agents a", "agents b"]
    assert [await answer(id, scenarios=tmp_path / "mine") for id in "abc"] == ["agents a", "my b", "agents a"]


async def test_an_agents_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(AgentError, match=r"agent calling: there is no folder scenarios \(looked in .* and in .*\)"):
        Served(calling(scenarios="scenarios"), "calling", Limits())


async def test_a_default_of_ones_own_is_used_where_nothing_is_asked_for() -> None:
    scenarios = [{"id": "default", "tools": {"status": [{"return": "mine"}]}}, {"id": "x", "extends": "default"}]
    for metadata in ({}, {"scenario_id": "default"}, {"scenario_id": "x"}):
        [reply] = await play(calling(), [STATUS], scenarios=scenarios, metadata=metadata)
        assert (json.loads(reply.text), by(reply)) == (["mine"], ["default: tools.status[0]"])


async def test_extending_replaces_merges_and_patches_part_by_part() -> None:
    scenarios: list[dict[str, Any]] = [
        {
            "id": "low",
            "title": "Low",
            "world": {"orders": {"1": {"a": 1, "b": 1}}},
            "patch": {"orders": {"1": {"b": 2}}},
            "clock": {"start": "2025-01-01T00:00:00Z", "per_call": "5s"},
            "user": {"profile": {"name": "Ann", "deep": {"x": 1}}, "metadata": {"m": 1}},
            "instructions": "Low.",
            "tools": {"status": [{"return": "low"}], "refund": [{"return": "low"}], "send": [{"return": "low"}]},
        },
        {
            "id": "high",
            "extends": "low",
            "patch": {"orders": {"1": {"c": 3}, "2": {}}},
            "clock": {"per_turn": "2m"},
            "user": {"profile": {"deep": {"y": 2}}},
            "tools": {"refund": [{"return": "high"}], "send": []},
        },
        {"id": "top", "extends": "high", "world": {"orders": {}}, "instructions": "Top."},
    ]
    served = Served(calling(), "calling", Limits(), [scenarios])
    assert served.loaded.mistakes == ()
    low, high, top = (served.scenarios.find(id) for id in ("low", "high", "top"))
    assert low is not None
    assert high is not None
    assert top is not None
    assert json.loads(high.seed.text) == {"orders": {"1": {"a": 1, "b": 2, "c": 3}, "2": {}}}
    assert json.loads(top.seed.text) == {"orders": {}}
    assert (high.clock.start.year, high.clock.per_turn.seconds, high.clock.per_call.seconds) == (2024, 120, 1)
    assert (high.title, high.profile, high.metadata) == ("", {"name": "Ann", "deep": {"y": 2}}, {"m": 1})
    assert (high.instructions, top.instructions) == ("Low.", "Top.")
    assert {name: [rule.by for rule in rules] for name, rules in top.tools.items()} == {
        "status": ["low: tools.status[0]"],
        "refund": ["high: tools.refund[0]"],
    }
    origin = served.loaded.origins["top"]
    assert (origin.chain, origin.world) == (("low", "high", "top"), ("top's",))
    assert origin.parts["tools.refund"] == origin.parts["clock"] == "high"
    await served.stop()


async def test_equal_worlds_are_kept_once(tmp_path: Path) -> None:
    (tmp_path / "shop.json").write_text('{"orders": {"1": {"status": "new"}}, "refunds": {}}')
    (tmp_path / "a.yaml").write_text("{id: a, world: {file: shop.json}}")
    (tmp_path / "b.yaml").write_text("{id: b, world: {file: shop.json}, patch: {orders: {1: {status: new}}}}")
    served = Served(calling(), "calling", Limits(), [Folder(tmp_path)])
    assert served.loaded.mistakes == ()
    assert len({id(scenario.seed) for scenario in served.scenarios}) == 1
    await served.stop()


async def test_where_it_is_strict_an_unknown_id_is_refused_with_the_nearest() -> None:
    sources = [[{"id": "payment_down"}, {"id": "payment_slow"}]]
    limits = Limits()
    core = Core(Agents([Served(calling(), "calling", limits, sources, strict=True)]), MemoryStore(), limits)
    await core.start()
    with pytest.raises(InvalidRequest) as refused:
        await core.turns.run(asked("[]", metadata_json='{"scenario_id":"payment_donw"}'))
    assert refused.value.field == "metadata.scenario_id"
    assert refused.value.message == (
        "metadata.scenario_id: there is no scenario 'payment_donw'; did you mean payment_down or payment_slow?"
    )
    for metadata in ("{}", '{"scenario_id":""}', '{"scenario_id":"payment_down"}'):
        reply = await core.turns.run(asked("[]", sid=f"s{len(metadata)}", metadata_json=metadata))
        assert reply.scenario.found
    await core.stop()


async def test_where_it_is_not_strict_an_unknown_id_starts_from_the_default() -> None:
    core = make_core(calling(), MemoryStore())
    await core.start()
    reply = await core.turns.run(asked("[]", metadata_json='{"scenario_id":"payment_donw"}'))
    assert (reply.scenario.id, reply.scenario.requested, reply.scenario.found) == ("default", "payment_donw", False)
    await core.stop()


async def test_playing_tells_every_mistake_at_once() -> None:
    with pytest.raises(AgentError) as told:
        await play(calling(), ["[]"], scenarios=[{"id": "a", "titel": "x"}, {"id": "b", "tools": {"statsu": []}}])
    assert str(told.value).splitlines() == [
        "scenarios[0]: titel: there is no such key; did you mean title?",
        "scenarios[1]: tools.statsu: the agent has no such tool; did you mean status?",
    ]
