"""Forks (SESSION-03), conversations that come without a session id (CHAT-14), starts with their scenario (USER-06)."""

import asyncio
import dataclasses
import json
from datetime import UTC, datetime

import grpc
from core_running import Running, Serve, refused, request, until

from greenroom.core.scenario import ClockRule, Scenario, Scenarios
from greenroom.sdk import Agent, Turn, World, tool
from greenroom.v1 import agent_pb2, session_pb2


def diary() -> Agent:
    """Keeps what its user says: in the world through a tool, in its state by itself."""

    @tool
    async def note(world: World, text: str) -> int:
        """Notes a text."""
        world["notes"][str(len(world["notes"]))] = text
        return len(world["notes"])

    agent = Agent("diary", tools=[note], world={"notes": {}})

    @agent.reply
    async def reply(turn: Turn) -> str:
        turn.state["said"] = [*turn.state.get("said", []), turn.text]
        number = await turn.call(note, text=turn.text)
        return f"{number}: {', '.join(turn.state['said'])} ({turn.clock.today()}{turn.user.profile.get('name', '')})"

    return agent


async def fork(core: Running, **fields: object) -> session_pb2.CreateSessionResponse:
    turn = fields.pop("turn", None)
    origin = session_pb2.Origin(session_id=str(fields.pop("of", "s1")), turn=turn)  # type: ignore[arg-type]
    return await core.sessions.CreateSession(session_pb2.CreateSessionRequest(origin=origin, **fields))  # type: ignore[arg-type]


async def notes(core: Running, sid: str) -> list[str]:
    return list((await core.world(sid))["notes"].values())


async def test_a_fork_has_the_past_the_state_and_the_world_after_that_turn(serve: Serve) -> None:
    core = await serve(diary())
    for text in ("a", "b", "c"):
        await core.say(text, user_id="ann", metadata_json='{"run": 1}')
    made = await fork(core, session_id="s2", turn=2)
    session = made.session
    assert made.created
    assert (session.user_id, session.metadata_json, session.turn_count, session.head) == ("ann", '{"run": 1}', 2, 2)
    assert (session.origin.session_id, session.origin.turn) == ("s1", 2)
    assert await notes(core, "s2") == ["a", "b"]
    assert (await core.world_view("s2", turn=1))[1] == {"notes": {"0": "a"}}
    said = await core.say("d", sid="s2")
    assert said.text.startswith("3: a, b, d")
    assert await notes(core, "s1") == ["a", "b", "c"], "the original knows nothing of it"
    ours, theirs = (await core.turns("s1")).turns, (await core.turns("s2")).turns
    assert [turn.reply.text for turn in theirs[:2]] == [turn.reply.text for turn in ours[:2]]
    assert [turn.reply.tool_calls for turn in theirs[:2]] == [turn.reply.tool_calls for turn in ours[:2]]
    assert [(turn.number, turn.parent) for turn in theirs] == [(1, 0), (2, 1), (3, 2)]


async def test_a_fork_takes_the_path_to_its_turn_and_not_the_branches_beside_it(serve: Serve) -> None:
    core = await serve(diary())
    one = await core.say("a")
    await core.say("a", one.text, "b")
    two = await core.say("a", one.text, "c")
    await core.say("a", one.text, "c", two.text, "d")
    await fork(core, session_id="newest")
    assert await notes(core, "newest") == ["a", "c", "d"]
    assert [turn.superseded for turn in (await core.turns("newest")).turns] == [False] * 3
    await fork(core, session_id="left", turn=2)
    assert await notes(core, "left") == ["a", "b"]
    again = await core.say("a", one.text, "e", sid="left")
    assert (again.number, again.text[:10]) == (3, "2: a, e (2")


async def test_a_fork_of_a_fork_and_of_the_start(serve: Serve) -> None:
    core = await serve(diary())
    await core.say("a")
    await fork(core, session_id="s2")
    await core.say("b", sid="s2")
    await fork(core, of="s2", session_id="s3", turn=1)
    await fork(core, of="s2", session_id="s4", turn=0)
    assert [(await core.say("c", sid=sid)).text[:5] for sid in ("s3", "s4")] == ["2: a,", "1: c "]


async def test_a_fork_that_exists_is_returned_as_it_is_and_a_wrong_origin_is_named(serve: Serve) -> None:
    core = await serve(diary())
    await core.say("a", user_id="ann")
    first = await fork(core, session_id="s2")
    await core.say("b", sid="s2")
    again = await fork(core, session_id="s2")
    assert (first.created, again.created, again.session.turn_count) == (True, False, 2)
    for wrong, field in (({"of": "nobody"}, "origin.session_id"), ({"turn": 7}, "origin.turn")):
        failure = await refused(fork(core, **wrong))
        assert (failure.code, list(failure.fields)) == (grpc.StatusCode.NOT_FOUND, [field])
    assert (await refused(fork(core, session_id="s2", user_id="bob"))).reason == "USER_MISMATCH"
    minted = (await fork(core)).session
    assert minted.session_id.startswith("session_")


async def test_a_conversation_without_session_id_goes_on_from_its_end(serve: Serve) -> None:
    core = await serve(diary())
    one = await core.say("a", sid="")
    two = await core.say("a", one.text, "b", sid="")
    assert (two.session_id, two.number, two.text[:7]) == (one.session_id, 2, "2: a, b")
    turn = (await core.turns(one.session_id)).turns[1]
    assert turn.placed == "conversation"


async def test_from_within_it_goes_on_in_a_fork_with_the_world_as_it_was(serve: Serve) -> None:
    core = await serve(diary())
    one = await core.say("a", sid="")
    two = await core.say("a", one.text, "b", sid="")
    other = await core.say("a", one.text, "c", sid="")
    assert other.session_id != one.session_id
    assert (other.number, other.text[:7]) == (2, "2: a, c")
    assert await notes(core, one.session_id) == ["a", "b"]
    assert await notes(core, other.session_id) == ["a", "c"]
    shown = (await core.sessions.GetSession(session_pb2.GetSessionRequest(session_id=other.session_id))).session
    assert (shown.origin.session_id, shown.origin.turn) == (one.session_id, 1)
    third = await core.say("a", one.text, "c", other.text, "d", sid="")
    assert (third.session_id, third.number) == (other.session_id, 3)
    assert (await core.say("a", one.text, "b", two.text, "d", sid="")).session_id == one.session_id


async def test_it_is_found_only_by_its_own_key_for_its_own_user_and_word_for_word(serve: Serve) -> None:
    core = await serve(diary())
    one = await core.say("a", sid="", user_id="ann")
    named = await core.say("x", sid="named")
    others = [
        await core.say("a", one.text, "b", sid=""),
        await core.say("a", one.text, "b", sid="", user_id="bob"),
        await core.say("a", one.text, "b", sid="", user_id="ann", caller=agent_pb2.Caller(key_name="other")),
        await core.say("a", one.text, "b", sid="", user_id="ann", caller=agent_pb2.Caller(namespace="other")),
        await core.say("a", "reworded", "b", sid="", user_id="ann"),
        await core.say("x", named.text, "y", sid=""),
    ]
    assert len({reply.session_id for reply in others} - {one.session_id, "named"}) == 6
    assert {reply.number for reply in others} == {2}, "each was adopted, its first exchange too"
    found = await core.say("a", one.text, "b", sid="", user_id="ann")
    assert found.session_id == one.session_id


async def test_many_clients_with_the_same_words_each_have_a_session_of_their_own(serve: Serve) -> None:
    core = await serve(diary())
    starts = await asyncio.gather(*[core.say("a", sid="") for _ in range(8)])
    ends = await asyncio.gather(*[core.say("a", starts[0].text, f"b{number}", sid="") for number in range(8)])
    assert len({reply.session_id for reply in ends}) == 8
    for number, reply in enumerate(ends):
        assert await notes(core, reply.session_id) == ["a", f"b{number}"]


async def test_two_that_differ_in_anything_but_their_words_are_never_taken_for_each_other(serve: Serve) -> None:
    core = await serve(diary())
    ours, theirs = '{"secret":"ours"}', '{"secret":"theirs"}'
    one = await core.say("a", sid="", metadata_json=ours)
    two = await core.say("a", sid="", metadata_json=theirs)
    unsaid = await core.say("a", one.text, "b", sid="")
    assert unsaid.session_id not in (one.session_id, two.session_id), "it cannot be told whose it is"
    mine = await core.say("a", one.text, "b", sid="", metadata_json=ours)
    yours = await core.say("a", one.text, "b", sid="", metadata_json=theirs)
    assert (mine.session_id, yours.session_id) == (one.session_id, two.session_id)
    third = await core.say("a", one.text, "b", mine.text, "c", sid="", metadata_json=ours)
    assert (third.session_id, third.number) == (one.session_id, 3)


async def test_one_that_was_closed_or_deleted_is_not_gone_on_with(serve: Serve) -> None:
    core = await serve(diary())
    one = await core.say("a", sid="")
    await core.sessions.CloseSession(session_pb2.CloseSessionRequest(session_id=one.session_id))
    forked = await core.say("a", one.text, "b", sid="")
    assert (forked.number, await notes(core, forked.session_id)) == (2, ["a", "b"])
    for session_id in (one.session_id, forked.session_id):
        await core.sessions.DeleteSession(session_pb2.DeleteSessionRequest(session_id=session_id))
    adopted = await core.say("a", one.text, "b", sid="")
    assert await notes(core, adopted.session_id) == ["b"]


async def test_a_retry_without_session_id_finds_the_turn_that_its_conversation_got(serve: Serve) -> None:
    core = await serve(diary())
    one = await core.say("a", sid="")
    two = await core.say("a", one.text, "b", sid="")
    again = await core.say("a", one.text, "b", sid="", retry_count=1)
    assert (again.completion_id, again.replayed) == (two.completion_id, True)


def with_scenarios(agent: Agent, core: Running) -> None:
    """Serves further scenarios beside the default one, as files would bring them."""
    served = core.core.agents.default
    seed = served.scenarios.default.seed
    late = ClockRule(datetime(2030, 5, 1, tzinfo=UTC))
    others = [
        Scenario("late", seed, clock=late, profile={"name": "Rajesh"}, instructions="Two hours late."),
        Scenario("full", type(seed)({"notes": {"0": "old"}})),
    ]
    served.loaded = dataclasses.replace(served.loaded, scenarios=Scenarios(served.scenarios.default, others))


async def test_a_session_that_starts_over_may_start_in_another_scenario(serve: Serve) -> None:
    agent = diary()
    core = await serve(agent)
    with_scenarios(agent, core)
    for scenario in core.core.agents.default.scenarios:
        await core.core.store.put_seed(scenario.seed.sha, scenario.seed.text)
        await core.core.store.put_seed(scenario.sha, scenario.text)
    one = await core.say("a", metadata_json='{"scenario_id":"late"}')
    assert (one.scenario.id, one.scenario.found, one.text) == ("late", True, "1: a (2030-05-01Rajesh)")
    two = await core.say("a", one.text, "b", metadata_json='{"scenario_id":"full"}')
    assert (two.scenario.id, two.scenario.applied, two.text[-20:]) == ("late", False, "b (2030-05-01Rajesh)")
    over = await core.say("a", metadata_json='{"scenario_id":"full"}')
    assert (over.scenario.id, over.text) == ("full", "2: a (2024-01-21)")
    assert not over.scenario.HasField("applied")
    _head, world, changes = await core.world_view(turn=over.number)
    assert (world, len(changes)) == ({"notes": {"0": "old", "1": "a"}}, 1)
    back = await core.say("a", one.text, "b", two.text, "c")
    assert (back.scenario.id, back.text[:10]) == ("late", "3: a, b, c")
    _, _, between = await core.world_view(turn=back.number, from_turn=over.number)
    assert [(change.key, change.before_json, change.after_json) for change in between] == [
        ("0", '"old"', '"a"'),
        ("1", '"a"', '"b"'),
        ("2", "", '"c"'),
    ]
    plain = await core.say("a")
    assert (plain.scenario.id, plain.scenario.requested, plain.scenario.found) == ("default", "", True)


async def test_what_the_agent_saw_is_read_back(serve: Serve) -> None:
    agent = diary()
    agent.instructions = "Be brief."
    core = await serve(agent)
    with_scenarios(agent, core)
    one = await core.say("a", user_id="ann", metadata_json='{"scenario_id":"late"}', options_json='{"temperature":0}')
    asked = request("a", "reworded", "b", metadata_json="{}")
    asked.messages.insert(0, agent_pb2.RunTurnRequest().messages.add(role="system", content="Context."))
    two = (await core.agents.RunTurn(asked)).reply
    first, second = [
        (await core.sessions.GetTurn(session_pb2.GetTurnRequest(session_id="s1", number=number))).turn
        for number in (1, 2)
    ]
    assert (list(first.system), json.loads(first.user_json)) == (
        ["Be brief.", "Two hours late."],
        {"profile": {"name": "Rajesh"}, "metadata": {}},
    )
    assert list(second.system) == ["Be brief.", "Two hours late.", "Context."]
    assert (first.options_json, first.placed, second.placed) == ('{"temperature":0}', "first", "path")
    assert [(message.role, message.content) for message in first.seen] == [("user", "a")]
    assert [(message.role, message.content) for message in second.seen] == [
        ("user", "a"),
        ("assistant", ""),
        ("tool", "1"),
        ("assistant", "reworded"),
        ("user", "b"),
    ]
    assert 0 < first.ran_us <= one.duration_us
    assert first.waited_us + first.ran_us <= one.duration_us
    assert two.number == 2


async def test_a_turn_waits_and_the_record_says_how_long(serve: Serve) -> None:
    gate, inside = asyncio.Event(), list[str]()
    agent = Agent("gated")

    @agent.reply
    async def reply(turn: Turn) -> str:
        inside.append(turn.text)
        await gate.wait()
        return "done"

    core = await serve(agent)
    first = asyncio.ensure_future(core.say("a"))
    await until(lambda: inside == ["a"])
    second = asyncio.ensure_future(core.say("b"))
    await until(lambda: core.server._runner._running == 2)  # type: ignore[union-attr]
    await asyncio.sleep(0.02)
    gate.set()
    await first
    await second
    waited = [turn.waited_us for turn in (await core.turns()).turns]
    assert waited[0] < waited[1]
    assert waited[1] >= 20_000
