"""A request that is sent again: while it is in flight, after its client left, with a retry count (CHAT-15)."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from core_running import Running, Serve, Stream, asked, database, refused, request, running, until

from greenroom.core.errors import GreenroomError, StoreUnavailable
from greenroom.core.records import TurnCommit
from greenroom.core.rpc import turn_stream
from greenroom.sdk import Agent, Call, Turn, World, tool
from greenroom.storage import open_store
from greenroom.v1 import agent_pb2, session_pb2


class Gated:
    """Counts in the world and waits for its gate when told to. Fails on request."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.inside = 0
        self.runs = 0
        self.failing = False
        self.keys: list[str] = []

        @tool
        async def add(world: World, call: Call) -> int:
            """Adds one."""
            self.keys.append(call.key)
            world["counters"]["n"] += 1
            return int(world["counters"]["n"])

        self.agent = Agent("gated", tools=[add], world={"counters": {"n": 0}})

        @self.agent.reply
        async def reply(turn: Turn) -> str:
            self.runs += 1
            number = await turn.call(add)
            if self.failing:
                raise RuntimeError("not now")
            if turn.text.startswith("wait"):
                self.inside += 1
                try:
                    await self.gate.wait()
                finally:
                    self.inside -= 1
            return f"{turn.text} {number}"


async def counter(core: Running, sid: str = "s1") -> int:
    return int((await core.world(sid))["counters"]["n"])


async def joined(core: Running, waiting: int) -> None:
    """Until so many requests are with the core."""
    await until(lambda: core.server._runner._running == waiting)  # type: ignore[union-attr]


async def test_the_same_request_in_flight_is_run_once_and_answered_to_all(serve: Serve) -> None:
    gated = Gated()
    core = await serve(gated.agent)
    calls = [asyncio.ensure_future(core.say("wait", user_id="ann")) for _ in range(20)]
    await joined(core, 20)
    other_user = asyncio.ensure_future(refused(core.agents.RunTurn(request("wait", user_id="bob"), timeout=5)))
    other_session = asyncio.ensure_future(core.say("wait", sid="s2", user_id="ann"))
    await until(lambda: gated.inside == 2)
    gated.gate.set()
    replies = await asyncio.gather(*calls)
    assert {reply.completion_id for reply in replies} == {replies[0].completion_id}
    assert sorted(reply.replayed for reply in replies) == [False] + [True] * 19
    assert (await other_user).reason == "USER_MISMATCH"
    assert (await other_session).replayed is False
    assert (await counter(core), await counter(core, "s2"), gated.runs) == (1, 1, 2)


async def test_one_that_joined_and_is_sent_again_gets_the_reply_it_was_given(serve: Serve) -> None:
    """Its edge has not had that, since the stream broke, while the one that it joined has."""
    gated = Gated()
    core = await serve(gated.agent)
    first = asyncio.ensure_future(core.say("wait", attempt_id="first"))
    await until(lambda: gated.inside == 1)
    second = asyncio.ensure_future(core.say("wait", attempt_id="second"))
    await joined(core, 2)
    gated.gate.set()
    given = (await first, await second)
    again = await core.say("wait", attempt_id="second", resent=True)
    assert {reply.completion_id for reply in (*given, again)} == {given[0].completion_id}
    assert (again.replayed, gated.runs) == (True, 1)


async def test_requests_without_a_session_id_are_never_joined(serve: Serve) -> None:
    gated = Gated()
    core = await serve(gated.agent)
    calls = [asyncio.ensure_future(core.say("wait", sid="")) for _ in range(5)]
    await until(lambda: gated.inside == 5)
    gated.gate.set()
    assert len({reply.session_id for reply in await asyncio.gather(*calls)}) == 5


async def test_those_who_joined_get_the_failure_too(serve: Serve) -> None:
    gated = Gated()
    core = await serve(gated.agent)
    blocked = asyncio.ensure_future(core.say("wait", sid="s1"))
    await until(lambda: gated.inside == 1)
    gated.failing = True
    calls = [asyncio.ensure_future(core.refuses("next")) for _ in range(3)]
    await joined(core, 4)
    gated.gate.set()
    await blocked
    assert [(await call).reason for call in calls] == ["AGENT_FAILED"] * 3
    assert gated.runs == 2
    assert len((await core.turns()).failed) == 1


async def test_one_whose_own_caller_stops_it_is_taken_over_by_those_who_joined(serve: Serve) -> None:
    gated = Gated()
    core = await serve(gated.agent)
    first = core.agents.RunTurn(request("wait", attempt_id="first"))
    await until(lambda: gated.inside == 1)
    others = [asyncio.ensure_future(core.say("wait", attempt_id=f"other-{number}")) for number in range(3)]
    await joined(core, 4)
    first.cancel()
    await until(lambda: gated.runs == 2 and gated.inside == 1)
    gated.gate.set()
    replies = await asyncio.gather(*others)
    assert len({reply.completion_id for reply in replies}) == 1
    assert await counter(core) == 1
    assert len(set(gated.keys)) == 1, "the tool's key is the same on both attempts"


async def test_a_joined_request_waits_no_longer_than_it_may(serve: Serve) -> None:
    gated = Gated()
    core = await serve(gated.agent)
    first = asyncio.ensure_future(core.say("wait"))
    await until(lambda: gated.inside == 1)
    with pytest.raises(GreenroomError, match="in flight"):
        await core.core.turns.run(asked("wait", timeout=0.05))
    gated.gate.set()
    assert (await first).number == 1


async def test_a_reply_whose_client_has_left_is_kept_for_the_same_request(tmp_path: Path) -> None:
    gated = Gated()
    async with running(gated.agent, database(tmp_path)) as core:
        stream = Stream(core)
        await stream.send({1: request("wait", attempt_id="left-early")})
        await until(lambda: gated.inside == 1)
        await stream.call.write(agent_pb2.RunTurnsRequest(left=["left-early"]))
        gated.gate.set()
        first = await stream.reply(1)
    async with running(gated.agent, database(tmp_path)) as core:  # it is in the store, not in memory
        again = await core.say("wait", attempt_id="again")
        assert (again.completion_id, again.replayed, await counter(core)) == (first.completion_id, True, 1)
        anew = await core.say("wait")
        assert (anew.replayed, anew.text, await counter(core)) == (False, "wait 2", 2)


async def test_a_client_that_leaves_with_the_reply_on_its_way_gets_it_when_it_asks_again(serve: Serve) -> None:
    gated = Gated()
    core = await serve(gated.agent)
    first = await core.say("yes", attempt_id="one")
    await core.core.turns.left("one")
    second = await core.say("yes", attempt_id="two")
    assert (second.replayed, second.completion_id) == (True, first.completion_id)
    await core.core.turns.left("two")  # it leaves once more
    third = await core.say("yes", attempt_id="three")
    assert (third.replayed, third.completion_id) == (True, first.completion_id)
    assert (await core.say("yes", attempt_id="four")).number == 2


async def test_a_reply_that_somebody_got_is_not_kept_for_one_who_left(serve: Serve) -> None:
    gated = Gated()
    core = await serve(gated.agent)
    first = asyncio.ensure_future(core.say("wait", attempt_id="one"))
    await until(lambda: gated.inside == 1)
    second = asyncio.ensure_future(core.say("wait", attempt_id="two"))
    await joined(core, 2)
    gated.gate.set()
    assert (await first).number == (await second).number == 1
    await core.core.turns.left("one")
    assert (await core.say("wait", attempt_id="three")).number == 2
    assert (await core.say("next", attempt_id="four")).number == 3


async def test_a_reply_that_all_who_waited_have_left_is_kept(serve: Serve) -> None:
    gated = Gated()
    core = await serve(gated.agent)
    for attempt in ("one", "two"):
        asyncio.ensure_future(core.say("wait", attempt_id=attempt))  # noqa: RUF006
        await until(lambda: gated.inside == 1)
    await joined(core, 2)
    gated.gate.set()
    await joined(core, 0)
    await core.core.turns.left("two")
    await core.core.turns.left("one")
    assert (await core.say("wait", attempt_id="three")).replayed is True


async def test_what_was_kept_is_gone_once_the_conversation_has_moved_on(serve: Serve) -> None:
    gated = Gated()
    core = await serve(gated.agent)
    await core.say("yes", attempt_id="one")
    await core.core.turns.left("one")
    await core.say("hello?")
    assert [(await core.say("yes")).number, await counter(core)] == [3, 3]


async def test_without_a_session_id_the_same_request_finds_what_its_client_left(serve: Serve) -> None:
    gated = Gated()
    core = await serve(gated.agent)
    first = await core.say("hello", sid="", attempt_id="one", metadata_json='{"run":1}')
    await core.core.turns.left("one")
    other = await core.say("hello", sid="", attempt_id="two", metadata_json='{"run":2}')
    again = await core.say("hello", sid="", attempt_id="three", metadata_json='{"run":1}')
    once_more = await core.say("hello", sid="", attempt_id="four", metadata_json='{"run":1}')
    assert (again.session_id, again.replayed) == (first.session_id, True)
    assert len({first.session_id, other.session_id, once_more.session_id}) == 3


async def test_a_stream_that_breaks_leaves_its_turns_to_their_end_and_their_replies_to_whoever_asks(
    serve: Serve,
) -> None:
    gated = Gated()
    core = await serve(gated.agent)
    stream = Stream(core)
    await stream.send({1: request("wait", sid="a"), 2: request("wait", sid="b")})
    await until(lambda: gated.inside == 2)
    stream.call.cancel()
    await joined(core, 2)
    gated.gate.set()
    await joined(core, 0)

    async def kept(sid: str) -> bool:
        store = core.core.store
        session = await store.load_session("", sid)
        return session is not None and session.head == 1 and await store.is_undelivered(session, 1)

    for sid in ("a", "b"):
        await until(lambda sid=sid: kept(sid))
        assert ((await core.say("wait", sid=sid)).replayed, await counter(core, sid)) == (True, 1)


async def test_of_a_stream_that_ends_in_good_order_all_replies_have_arrived(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turn_stream, "_UNDER_WAY", 60)
    gated = Gated()
    core = await serve(gated.agent)

    async def kept(sid: str) -> bool:
        session = await core.core.store.load_session("", sid)
        assert session is not None
        return await core.core.store.is_undelivered(session, 1)

    ending = Stream(core)
    await ending.send({1: request("yes", sid="ends")})
    await ending.reply(1)
    await ending.call.done_writing()
    await ending.ends()
    breaking = Stream(core)
    await breaking.send({1: request("yes", sid="breaks")})
    await breaking.reply(1)
    breaking.call.cancel()  # within the moment in which its reply may not have got further
    await until(lambda: kept("breaks"))
    assert await kept("ends") is False


async def test_a_retry_gets_the_reply_that_was_committed_for_a_lower_count(tmp_path: Path) -> None:
    gated = Gated()
    async with running(gated.agent, database(tmp_path)) as core:
        first = await core.say("yes")
        assert (await core.say("yes", retry_count=1)).completion_id == first.completion_id
    async with running(gated.agent, database(tmp_path)) as core:
        again = await core.say("yes", retry_count=2)
        assert (again.completion_id, again.replayed) == (first.completion_id, True)
        assert (await core.say("yes")).number == 2, "said again, it is a new message"
        assert (await core.say("yes", retry_count=1)).number == 2
        assert (await core.say("no", retry_count=3)).number == 3, "its first attempts never came"
        assert (await core.say("no", retry_count=3)).number == 4, "that is no higher count"
        assert await counter(core) == 4


async def test_a_retry_of_one_that_failed_runs_though_the_same_words_were_said_before(serve: Serve) -> None:
    gated = Gated()
    core = await serve(gated.agent)
    assert (await core.say("yes")).number == 1
    gated.failing = True
    assert (await core.refuses("yes")).reason == "AGENT_FAILED"
    gated.failing = False
    second = await core.say("yes", retry_count=1)
    assert (second.number, second.replayed) == (2, False)
    assert (await core.say("yes", retry_count=2)).completion_id == second.completion_id
    assert await counter(core) == 2


async def test_a_retry_of_one_that_was_sent_again_and_refused_may_have_run_before(serve: Serve) -> None:
    gated = Gated()
    core = await serve(gated.agent)
    first = await core.say("yes", attempt_id="one")  # its reply is lost with its core
    find_attempt = core.core.store.find_attempt

    async def away(attempt_id: str) -> None:
        raise StoreUnavailable("away")

    core.core.store.find_attempt = away  # type: ignore[method-assign,assignment]
    assert (await core.refuses("yes", attempt_id="one", resent=True)).reason == "DATABASE_UNAVAILABLE"
    core.core.store.find_attempt = find_attempt  # type: ignore[method-assign]
    again = await core.say("yes", attempt_id="two", retry_count=1)
    assert (again.completion_id, again.replayed, await counter(core)) == (first.completion_id, True, 1)


async def test_a_retry_of_one_that_was_refused_on_its_way_runs_though_the_same_words_were_said_before(
    serve: Serve,
) -> None:
    gated = Gated()
    core = await serve(gated.agent)
    first = await core.say("yes")
    later = first.created_at.ToMicroseconds() + 1
    second = await core.say("yes", retry_count=1, refused_at_us=later)
    assert (second.number, second.replayed) == (2, False)
    earlier = first.created_at.ToMicroseconds() - 1
    assert (await core.say("yes", retry_count=2, refused_at_us=earlier)).completion_id == second.completion_id


async def test_a_retry_that_carries_the_whole_history_gets_its_reply(serve: Serve) -> None:
    gated = Gated()
    core = await serve(gated.agent)
    one = await core.say("yes")
    two = await core.say("yes", one.text, "yes")
    again = await core.say("yes", one.text, "yes", retry_count=1)
    assert (again.completion_id, two.number, await counter(core)) == (two.completion_id, 2, 2)
    regenerated = await core.say("yes", one.text, "yes")
    assert (regenerated.number, regenerated.text) == (3, "yes 2")


async def test_two_cores_on_one_database_answer_the_same_request_once(tmp_path: Path) -> None:
    """One of them loses the compare-and-set, and finds that the other was asked the same."""
    gated = Gated()
    url = database(tmp_path)
    async with running(gated.agent, url) as one:
        await one.say("hello")
        twin = type(one.core)(one.core.agents, one.core.store, one.core.limits)
        first = asyncio.ensure_future(one.core.turns.run(asked("wait", attempt_id="a")))
        second = asyncio.ensure_future(twin.turns.run(asked("wait", attempt_id="b")))
        other = asyncio.ensure_future(twin.turns.run(asked("wait too", attempt_id="c")))
        await until(lambda: gated.inside == 2)
        gated.gate.set()
        replies = [await first, await second]
        assert len({reply.turn.completion_id for reply in replies}) == 1
        assert sorted(reply.replayed for reply in replies) == [False, True]
        assert (await other).turn.number == 3
        assert await counter(one) == 3


async def test_a_turn_that_lost_its_place_to_another_writer_runs_again_with_the_same_keys_for_its_tools(
    tmp_path: Path,
) -> None:
    gated = Gated()
    async with running(gated.agent, database(tmp_path)) as one:
        await one.say("hello")
        twin = type(one.core)(one.core.agents, one.core.store, one.core.limits)
        slow = asyncio.ensure_future(one.core.turns.run(asked("wait")))
        await until(lambda: gated.inside == 1)
        await twin.turns.run(asked("meanwhile"))
        gated.gate.set()
        assert (await slow).turn.number == 3
        _, first, meanwhile, second = gated.keys
        assert first == second != meanwhile
        assert await counter(one) == 3


async def test_a_turn_whose_repetition_was_answered_elsewhere_does_not_run_again_though_the_session_went_on(
    tmp_path: Path,
) -> None:
    gated = Gated()
    async with running(gated.agent, database(tmp_path)) as one:
        await one.say("hello")
        twin = type(one.core)(one.core.agents, one.core.store, one.core.limits)
        slow = asyncio.ensure_future(one.core.turns.run(asked("wait")))
        await until(lambda: gated.inside == 1)
        repeated = asyncio.ensure_future(twin.turns.run(asked("wait", retry_count=1)))
        await until(lambda: gated.inside == 2)
        twin_goes_first = gated.gate
        one_waits = gated.gate = asyncio.Event()
        slow_commit = one.core.store.commit_turn

        async def late(commit: TurnCommit) -> None:
            await one_waits.wait()
            await slow_commit(commit)

        one.core.turns._store = Overtaken(one.core.store, late)
        twin_goes_first.set()
        second = await repeated
        third = await twin.turns.run(asked("next"))
        one_waits.set()
        reply = await slow
        assert (reply.turn.number, second.turn.number, third.turn.number) == (2, 2, 3)
        assert await counter(one) == 3


class Overtaken:
    """A store that commits when it is told to."""

    def __init__(self, store: Any, commit: Any) -> None:
        self._store = store
        self.commit_turn = commit

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


async def test_an_idempotency_key_without_session_id_opens_one_session_on_two_cores(tmp_path: Path) -> None:
    gated = Gated()
    async with running(gated.agent, database(tmp_path)) as one:
        twin = type(one.core)(one.core.agents, one.core.store, one.core.limits)
        calls = [
            asyncio.ensure_future(core.turns.run(asked("wait", sid="", idempotency_key="k", attempt_id=f"{number}")))
            for number, core in enumerate((one.core, twin, one.core))
        ]
        await until(lambda: gated.inside == 2)
        gated.gate.set()
        replies = await asyncio.gather(*calls)
        assert len({reply.turn.completion_id for reply in replies}) == 1
        listed = await one.sessions.ListSessions(session_pb2.ListSessionsRequest())
        assert len(listed.sessions) == 1


async def test_another_body_under_the_same_key_is_refused_whatever_differs(serve: Serve) -> None:
    gated = Gated()
    core = await serve(gated.agent)
    same = {"idempotency_key": "k", "metadata_json": '{"a":1}', "options_json": '{"temperature":0}'}
    first = await core.say("hello", **same)
    assert (await core.say("hello", **same)).completion_id == first.completion_id
    for other in ({"metadata_json": '{"a":2}'}, {"options_json": "{}"}, {"user_id": "ann"}):
        assert (await core.refuses("hello", **{**same, **other})).reason == "IDEMPOTENCY_KEY_REUSED"


async def test_a_key_of_more_than_a_day_ago_opens_a_session_of_its_own(tmp_path: Path) -> None:
    gated = Gated()
    now = [1_700_000_000.0]
    store = open_store(database(tmp_path), clock=lambda: now[0])
    async with running(gated.agent, "", store=store) as core:
        old = await core.say("hello", sid="", idempotency_key="k")
        now[0] += 4e9  # the turns' own clock is the machine's
        new = await core.say("hello", sid="", idempotency_key="k")
        assert old.session_id != new.session_id
        assert (new.number, new.replayed) == (1, False)


@pytest.mark.parametrize(("held_us", "counts"), [(60_000_000, [1, 2]), (0, [1, 2, 3])])
async def test_a_request_that_was_overtaken_by_its_own_retry_is_answered_and_not_run(
    serve: Serve, held_us: int, counts: list[int]
) -> None:
    """Its edge held it while its core was away; the client has asked another one meanwhile, and gone on."""
    core = await serve(Gated().agent)
    assert (await core.say("yes", attempt_id="b" * 32, retry_count=2)).number == 1
    assert (await core.say("no", attempt_id="c" * 32)).number == 2
    late = await core.say("yes", attempt_id="a" * 32, retry_count=1, held_us=held_us)
    assert late.replayed == bool(held_us)
    assert [turn.number for turn in (await core.turns()).turns] == counts
