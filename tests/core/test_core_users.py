"""Users: prepared, made on the fly, deleted in mid-turn; whom a session belongs to (USER-01..05, CHAT-18)."""

import asyncio
import json
from pathlib import Path
from typing import Any

import grpc
import pytest
from core_running import Running, Serve, asked, database, make_core, refused, running, until

from greenroom.core.records import TurnCommit
from greenroom.core.request import NOBODY
from greenroom.sdk import Agent, Turn
from greenroom.storage import open_store
from greenroom.v1 import session_pb2, user_pb2


def teller() -> tuple[Agent, dict[str, asyncio.Event]]:
    """Says what it knows of its user; a text that names a gate waits there."""
    agent, gates = Agent("teller"), dict[str, asyncio.Event]()

    @agent.reply
    async def reply(turn: Turn) -> str:
        if turn.text in gates:
            gates[f"at {turn.text}"] = asyncio.Event()
            await gates[turn.text].wait()
        return json.dumps([turn.user.id, dict(turn.user.profile), dict(turn.user.metadata), dict(turn.metadata)])

    return agent, gates


async def create(core: Running, user_id: str, **texts: str) -> user_pb2.User:
    return (await core.users.CreateUser(user_pb2.CreateUserRequest(user_id=user_id, **texts))).user


async def get(core: Running, user_id: str) -> user_pb2.User:
    return (await core.users.GetUser(user_pb2.GetUserRequest(user_id=user_id))).user


async def delete(core: Running, user_id: str) -> None:
    await core.users.DeleteUser(user_pb2.DeleteUserRequest(user_id=user_id))


async def test_a_users_profile_and_metadata_reach_the_agent_with_the_requests_laid_over(serve: Serve) -> None:
    core = await serve(teller()[0])
    made = await create(core, "sim_1", metadata_json='{"a": 1, "b": {"c": 1}}', profile_json='{"name": "Ann"}')
    assert (made.user_id, made.status, made.metadata_json) == ("sim_1", "active", '{"a": 1, "b": {"c": 1}}')
    answer = await core.say("hi", user_id="sim_1", metadata_json='{"b": 2}')
    assert json.loads(answer.text) == ["sim_1", {"name": "Ann"}, {"a": 1, "b": {"c": 1}}, {"a": 1, "b": 2}]
    assert (await core.turns()).turns[0].metadata_json == '{"b": 2}'


async def test_creating_a_user_again_replaces_what_it_has_and_keeps_when_it_was_made(serve: Serve) -> None:
    core = await serve(teller()[0])
    first = await create(core, "u", metadata_json='{"a":1}', profile_json='{"b":2}')
    second = await create(core, "u", metadata_json='{"a":2}')
    assert (second.created_at, second.metadata_json, second.profile_json) == (first.created_at, '{"a":2}', "{}")
    assert json.loads((await core.say("hi", user_id="u")).text)[2] == {"a": 2}


async def test_a_user_that_differs_is_refused_where_the_core_is_told_so(serve: Serve) -> None:
    core = await serve(teller()[0], replace_existing_users=False)
    first = await create(core, "u", metadata_json='{"a":1}')
    assert await create(core, "u", metadata_json='{"a":1}') == first
    call = core.users.CreateUser(user_pb2.CreateUserRequest(user_id="u", metadata_json='{"a":2}'))
    failure = await refused(call)
    assert (failure.code, failure.reason) == (grpc.StatusCode.ALREADY_EXISTS, "USER_ALREADY_EXISTS")


@pytest.mark.parametrize("user_id", ["", "a" * 65, "ü", "a b", "a/b", "\u0000"])
async def test_a_user_is_made_under_a_plain_id_only(serve: Serve, user_id: str) -> None:
    core = await serve(teller()[0])
    failure = await refused(core.users.CreateUser(user_pb2.CreateUserRequest(user_id=user_id)))
    assert (failure.code, list(failure.fields)) == (grpc.StatusCode.INVALID_ARGUMENT, ["user_id"])


@pytest.mark.parametrize("text", ["[]", "1", "{", '{"a": NaN}', '{"a":"' + "x" * 65536 + '"}'])
@pytest.mark.parametrize("field", ["metadata", "profile"])
async def test_what_a_user_is_made_of_is_a_json_object_of_64_kib(serve: Serve, field: str, text: str) -> None:
    core = await serve(teller()[0])
    failure = await refused(core.users.CreateUser(user_pb2.CreateUserRequest(user_id="u", **{f"{field}_json": text})))
    assert (failure.code, list(failure.fields)) == (grpc.StatusCode.INVALID_ARGUMENT, [field])


async def test_a_user_never_seen_before_is_made_on_the_fly(tmp_path: Path) -> None:
    agent = teller()[0]
    async with running(agent, database(tmp_path)) as core:
        await core.say("hi", user_id="new one")
        made = await get(core, "new one")
        assert (made.user_id, made.metadata_json) == ("new one", "{}")
        await core.say("nobody", sid="s2")
        await core.say("somebody after all", sid="s2", user_id="late")
        assert (await get(core, "late")).user_id == "late"
    async with running(agent, database(tmp_path)) as core:
        assert await get(core, "new one") == made
        assert (await get(core, "late")).user_id == "late"
        listed = await core.users.ListUsers(user_pb2.ListUsersRequest())
        assert [user.user_id for user in listed.users] == ["late", "new one"]


async def test_a_user_prepared_during_its_first_turn_keeps_what_was_prepared(serve: Serve) -> None:
    agent, gates = teller()
    core = await serve(agent)
    gates["wait"] = asyncio.Event()
    turn = asyncio.ensure_future(core.say("wait", user_id="u"))
    await until(lambda: "at wait" in gates)
    await create(core, "u", profile_json='{"name":"Ann"}')
    gates["wait"].set()
    await turn
    assert (await get(core, "u")).profile_json == '{"name":"Ann"}'
    assert json.loads((await core.say("hi", user_id="u")).text)[1] == {"name": "Ann"}


async def test_a_session_belongs_to_the_first_user_named_in_it(serve: Serve) -> None:
    core = await serve(teller()[0])
    assert (await core.say("nobody yet")).user_id == ""
    assert (await core.say("me", user_id="ann")).user_id == "ann"
    assert json.loads((await core.say("still me")).text)[0] == "ann"
    failure = await core.refuses("somebody else", user_id="bob")
    assert (failure.code, failure.reason, failure.retryable, list(failure.fields)) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "USER_MISMATCH",
        False,
        ["user_id"],
    )
    assert len((await core.turns()).turns) == 3


async def test_whom_a_session_belongs_to_is_known_to_the_next_core(tmp_path: Path) -> None:
    agent = teller()[0]
    async with running(agent, database(tmp_path)) as core:
        await core.say("nobody yet")
        await core.say("me", user_id="ann")
    async with running(agent, database(tmp_path)) as core:
        assert (await core.refuses("somebody else", user_id="bob")).reason == "USER_MISMATCH"
        sessions = await core.sessions.ListSessions(session_pb2.ListSessionsRequest(user_id="ann"))
        assert [session.session_id for session in sessions.sessions] == ["s1"]


async def test_a_deleted_users_sessions_go_too_and_nothing_is_left(serve: Serve) -> None:
    core = await serve(teller()[0])
    await create(core, "ann", profile_json='{"name":"Ann"}')
    chat = (await core.say("one", user_id="ann")).chat_id
    await core.say("kept", sid="s2", user_id="bob")
    await delete(core, "ann")
    for call in (
        get(core, "ann"),
        core.turns(),
        core.world(),
        core.sessions.GetSession(session_pb2.GetSessionRequest(chat_id=chat)),
        core.users.DeleteUser(user_pb2.DeleteUserRequest(user_id="ann")),
    ):
        assert (await refused(call)).code is grpc.StatusCode.NOT_FOUND
    assert (await core.turns("s2")).turns[0].reply.user_id == "bob"
    again = await core.say("again", user_id="ann")
    assert (again.number, again.chat_id != chat, json.loads(again.text)[1]) == (1, True, {})


@pytest.mark.parametrize("named", [True, False])
async def test_deleting_a_user_in_mid_turn_ends_the_turn_and_nothing_rises(serve: Serve, named: bool) -> None:
    agent, gates = teller()
    core = await serve(agent)
    await core.say("one", user_id="ann")
    gates["wait"] = asyncio.Event()
    who: dict[str, Any] = {"user_id": "ann"} if named else {}
    running_turn = asyncio.ensure_future(core.refuses("wait", **who))
    await until(lambda: "at wait" in gates)
    waiting_turn = asyncio.ensure_future(core.refuses("waiting", **who))
    await until(lambda: core.server._runner._running == 2)  # type: ignore[union-attr]
    await delete(core, "ann")
    for failure in (await running_turn, await waiting_turn):
        assert (failure.code, failure.reason) == (grpc.StatusCode.ABORTED, "SESSION_DELETED")
    assert (await refused(get(core, "ann"))).reason == "USER_NOT_FOUND"
    assert (await refused(core.turns())).reason == "SESSION_NOT_FOUND"


async def test_deleting_a_user_whose_first_turn_runs_ends_it(serve: Serve) -> None:
    agent, gates = teller()
    core = await serve(agent)
    gates["wait"] = asyncio.Event()
    turn = asyncio.ensure_future(core.refuses("wait", user_id="ann"))
    await until(lambda: "at wait" in gates)
    await delete(core, "ann")
    assert (await turn).reason == "SESSION_DELETED"
    assert (await refused(get(core, "ann"))).reason == "USER_NOT_FOUND"


async def test_a_deletion_that_meets_a_commit_waits_for_it_and_takes_it_along(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(database(tmp_path))
    begun, go_on, write = asyncio.Event(), asyncio.Event(), store.commit_turn

    async def held(commit: TurnCommit) -> None:
        begun.set()
        await go_on.wait()
        await write(commit)

    monkeypatch.setattr(store, "commit_turn", held)
    core = make_core(teller()[0], store)
    await core.start()
    try:
        turn = asyncio.ensure_future(core.turns.run(asked("hi", user_id="ann")))
        await begun.wait()
        deletion = asyncio.ensure_future(core.sessions.delete_user(NOBODY, "ann"))
        await asyncio.sleep(0)
        go_on.set()
        await deletion
        assert (await turn).turn.number == 1
        assert await store.load_user("", "ann") is None
        assert await store.load_session("", "s1") is None
    finally:
        await core.stop()
