"""Sessions opened, closed, deleted under a running turn, and listed (SESSION-01..03, CHAT-06, CHAT-07)."""

import asyncio
import json
from typing import Any

import grpc
import pytest
from core_running import PATIENCE, Running, Serve, refused, request, until

from greenroom.core.limits import Limits
from greenroom.sdk import Agent, Reply, Turn, World, tool
from greenroom.v1 import agent_pb2, session_pb2, turn_pb2


@tool
async def note(world: World, text: str) -> int:
    """Notes something down."""
    world["notes"][text] = {"text": text}
    return len(world["notes"])


def noting() -> tuple[Agent, asyncio.Event, list[str]]:
    """Notes what is said; "wait" waits at a gate."""
    agent, gate, inside = Agent("noting", tools=[note], world={"notes": {}}), asyncio.Event(), list[str]()

    @agent.reply
    async def reply(turn: Turn) -> str:
        inside.append(turn.text)
        if turn.text == "fail":
            raise RuntimeError
        n = await turn.call(note, text=turn.text)
        if turn.text.startswith("wait"):
            await gate.wait()
        return str(n)

    return agent, gate, inside


async def create(core: Running, **fields: str) -> session_pb2.CreateSessionResponse:
    return await core.sessions.CreateSession(session_pb2.CreateSessionRequest(**fields))


async def get(core: Running, sid: str = "s1") -> session_pb2.Session:
    return (await core.sessions.GetSession(session_pb2.GetSessionRequest(session_id=sid))).session


async def delete(core: Running, sid: str = "s1") -> None:
    await core.sessions.DeleteSession(session_pb2.DeleteSessionRequest(session_id=sid))


async def test_a_session_without_an_id_is_minted_one_that_continues_it(serve: Serve) -> None:
    core = await serve(noting()[0])
    first = await core.say("one", sid="")
    other = await core.say("one", sid="")
    again = await core.say("two", sid=first.session_id)
    assert first.session_id != other.session_id
    assert (again.session_id, again.number, again.chat_id) == (first.session_id, 2, first.chat_id)
    assert first.chat_id != other.chat_id


async def test_a_chat_id_is_new_when_a_deleted_sessions_id_is_used_again(serve: Serve) -> None:
    core = await serve(noting()[0])
    first = await core.say("one")
    await delete(core)
    assert (await refused(core.turns())).reason == "SESSION_NOT_FOUND"
    assert (await refused(delete(core))).reason == "SESSION_NOT_FOUND"
    again = await core.say("two")
    assert (again.number, again.chat_id != first.chat_id, again.text) == (1, True, "1")
    by_chat = await core.sessions.GetSession(session_pb2.GetSessionRequest(chat_id=again.chat_id))
    assert by_chat.session.session_id == "s1"


async def test_deleting_a_session_ends_what_runs_and_what_waits_there_and_nothing_rises(serve: Serve) -> None:
    agent, gate, inside = noting()
    core = await serve(agent)
    await core.say("one")
    tasks = [asyncio.ensure_future(core.refuses("wait"))]
    await until(lambda: inside == ["one", "wait"])
    tasks += [asyncio.ensure_future(core.refuses(f"waiting {n}")) for n in range(3)]
    await until(lambda: core.server._runner._running == 4)  # type: ignore[union-attr]
    await delete(core)
    for failure in await asyncio.gather(*tasks):
        assert (failure.code, failure.reason, failure.retryable) == (
            grpc.StatusCode.ABORTED,
            "SESSION_DELETED",
            False,
        )
    gate.set()
    assert inside == ["one", "wait"]
    assert (await refused(core.turns())).reason == "SESSION_NOT_FOUND"
    assert (await core.say("fresh")).number == 1
    assert await core.world() == {"notes": {"fresh": {"text": "fresh"}}}


async def test_deleting_a_session_whose_first_turn_runs_leaves_none(serve: Serve) -> None:
    agent, _, inside = noting()
    core = await serve(agent)
    turn = asyncio.ensure_future(core.refuses("wait"))
    await until(lambda: inside == ["wait"])
    await delete(core)
    assert (await turn).reason == "SESSION_DELETED"
    assert (await refused(core.turns())).reason == "SESSION_NOT_FOUND"


async def test_a_session_deleted_by_another_core_does_not_rise(serve: Serve) -> None:
    agent, gate, inside = noting()
    core = await serve(agent)
    await core.say("one")
    turn = asyncio.ensure_future(core.refuses("wait"))
    await until(lambda: inside == ["one", "wait"])
    await core.core.store.delete_session("", "s1")
    gate.set()
    assert (await turn).reason == "SESSION_DELETED"
    assert (await refused(core.turns())).reason == "SESSION_NOT_FOUND"
    assert (await core.say("fresh")).number == 1


async def test_a_closed_session_is_read_and_takes_no_more_turns(serve: Serve) -> None:
    core = await serve(noting()[0])
    await core.say("one")
    close = session_pb2.CloseSessionRequest(session_id="s1")
    closed = (await core.sessions.CloseSession(close)).session
    assert closed.HasField("closed_at")
    assert (await core.sessions.CloseSession(close)).session == closed
    failure = await core.refuses("two")
    assert (failure.code, failure.reason, failure.retryable) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "SESSION_CLOSED",
        False,
    )
    assert len((await core.turns()).turns) == 1


async def test_closing_a_session_in_mid_turn_refuses_that_turn(serve: Serve) -> None:
    agent, gate, inside = noting()
    core = await serve(agent)
    await core.say("one")
    turn = asyncio.ensure_future(core.refuses("wait"))
    await until(lambda: inside == ["one", "wait"])
    await core.sessions.CloseSession(session_pb2.CloseSessionRequest(session_id="s1"))
    gate.set()
    assert (await turn).reason == "SESSION_CLOSED"
    assert (await get(core)).turn_count == 1


async def test_a_session_opened_ahead_is_the_one_its_first_turn_finds(serve: Serve) -> None:
    core = await serve(noting()[0])
    opened = await create(core, session_id="s1", user_id="ann", metadata_json='{"scenario_id": "late", "n": 1.10}')
    assert opened.created
    assert opened.session.metadata_json == '{"scenario_id": "late", "n": 1.10}'
    again = await create(core, session_id="s1", user_id="ann")
    assert (again.created, again.session) == (False, opened.session)
    mismatch = await refused(create(core, session_id="s1", user_id="bob"))
    assert mismatch.reason == "USER_MISMATCH"
    answer = await core.say("one")
    assert (answer.chat_id, answer.user_id, answer.history) == (
        opened.session.chat_id,
        "ann",
        turn_pb2.HISTORY_NEW,
    )
    assert (answer.scenario.requested, answer.scenario.found) == ("late", False)
    minted = await create(core)
    assert minted.created
    assert (await core.say("one", sid=minted.session.session_id)).number == 1


async def test_the_scenario_asked_for_first_holds_and_another_is_reported_not_obeyed(serve: Serve) -> None:
    core = await serve(noting()[0])
    first = (await core.say("a", metadata_json='{"scenario_id":"late"}')).scenario
    assert (first.id, first.requested, first.found, first.HasField("applied")) == ("default", "late", False, False)
    same = (await core.say("b", metadata_json='{"scenario_id":"late"}')).scenario
    assert not same.HasField("applied")
    other = (await core.say("c", metadata_json='{"scenario_id":"early"}')).scenario
    assert (other.requested, other.HasField("applied"), other.applied) == ("late", True, False)
    none = (await core.say("d", sid="s2")).scenario
    assert (none.id, none.requested, none.found) == ("default", "", True)


async def test_a_turn_is_read_back_as_it_was_answered(serve: Serve) -> None:
    core = await serve(noting()[0])
    asked = agent_pb2.RunTurnRequest(
        messages=[
            turn_pb2.Message(role="system", content="kind"),
            turn_pb2.Message(role="user", content="one", name="Ann"),
            turn_pb2.Message(role="user", content="two\u0000ü"),
        ],
        session_id="s1",
        user_id="ann",
        metadata_json='{"b": 1.10, "a": 9007199254740993}',
        request_id="req_1",
    )
    answer = (await core.agents.RunTurn(asked)).reply
    read = (await core.sessions.GetTurn(session_pb2.GetTurnRequest(session_id="s1", number=1))).turn
    assert read.reply == answer
    assert [message.content for message in read.messages if message.role == "user"] == ["one", "two\u0000ü"]
    assert (read.metadata_json, read.request_id, read.parent, read.superseded, read.adopted) == (
        asked.metadata_json,
        "req_1",
        0,
        False,
        False,
    )
    assert [change.key for change in read.changes] == ["one\ntwo\u0000ü"]
    assert [message.role for message in read.seen] == ["user", "user"]
    read.ClearField("seen")  # of a single turn alone
    assert list((await core.turns()).turns) == [read]
    session = await get(core)
    assert (session.agent, session.turn_count, session.head, session.user_id) == ("noting", 1, 1, "ann")


async def test_usage_counts_four_bytes_a_token_and_four_tokens_a_message(serve: Serve) -> None:
    agent = Agent("u", instructions="12345678")

    @agent.reply
    async def reply(turn: Turn) -> str:
        return "ü" * 3

    core = await serve(agent)
    first = (await core.say("12345")).usage
    assert (first.prompt_tokens, first.completion_tokens) == ((2 + 4) + (2 + 4), 2)
    second = (await core.say("1")).usage
    assert second.prompt_tokens == first.prompt_tokens + (2 + 4) + (1 + 4)


async def test_what_the_agent_says_of_its_turn_is_laid_over_what_the_record_shows(serve: Serve) -> None:
    agent = Agent("e", tools=[note], world={"notes": {}})

    @agent.reply
    async def reply(turn: Turn) -> Any:
        from_agent = {"tool_success": "agent's own", "x": [1.5, None]}
        if turn.text == "call":
            await turn.call(note, text="x")
            return Reply("done", evaluation=from_agent)
        return Reply("done", confidence=1)

    core = await serve(agent)
    none = await core.say("nothing")
    assert (json.loads(none.evaluation_json), none.confidence) == ({"resolution_step": 1}, 1.0)
    called = await core.say("call")
    assert json.loads(called.evaluation_json) == {
        "tool_called": "note",
        "tool_success": "agent's own",
        "resolution_step": 2,
        "x": [1.5, None],
    }
    assert not called.HasField("confidence")


@pytest.mark.parametrize(
    ("limits", "reason"),
    [(Limits(session_turns=2), "SESSION_FULL"), (Limits(session_world_bytes=60), "SESSION_FULL")],
    ids=["turns", "changes"],
)
async def test_a_full_session_says_so_and_can_be_read(serve: Serve, limits: Limits, reason: str) -> None:
    core = await serve(noting()[0], limits=limits)
    await core.say("1")
    await core.say("2")
    failure = await core.refuses("a longer third thing that no longer fits")
    assert (failure.code, failure.reason, failure.retryable) == (grpc.StatusCode.FAILED_PRECONDITION, reason, False)
    assert len((await core.turns()).turns) == 2
    assert set((await core.world())["notes"]) == {"1", "2"}


async def test_turns_are_listed_in_pages_with_failures_on_the_first(serve: Serve) -> None:
    core = await serve(noting()[0])
    for n in range(5):
        await core.say(str(n))
    await core.refuses("fail")
    numbers, failures, token = list[int](), list[int](), ""
    while True:
        page = await core.sessions.ListTurns(
            session_pb2.ListTurnsRequest(session_id="s1", page_size=2, page_token=token)
        )
        numbers += [turn.number for turn in page.turns]
        failures.append(len(page.failed))
        if not (token := page.next_page_token):
            break
    assert (numbers, failures) == ([1, 2, 3, 4, 5], [1, 0, 0])


async def test_a_page_of_large_turns_stays_below_what_grpc_takes(serve: Serve) -> None:
    agent = Agent("large")

    @agent.reply
    async def reply(turn: Turn) -> str:
        return "x" * 1_000_000

    core = await serve(agent)
    for _ in range(6):
        await core.agents.RunTurn(request("x"), timeout=PATIENCE)
    seen, token = 0, ""
    while True:
        page = await core.sessions.ListTurns(session_pb2.ListTurnsRequest(session_id="s1", page_token=token))
        assert page.ByteSize() < 4 * 1024 * 1024
        seen += len(page.turns)
        if not (token := page.next_page_token):
            break
    assert seen == 6
