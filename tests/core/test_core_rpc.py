"""The gRPC surface: errors as google.rpc.Status, keys and scopes, health, reflection, deadlines, drain (GRPC-01..04)."""

import asyncio
import hashlib
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
import trustme
from core_running import PATIENCE, Failure, Running, Serve, Stream, database, refused, request, running, until
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from greenroom.core import errors
from greenroom.core.rpc import callers
from greenroom.core.rpc.server import CoreServer, Listeners, MutualTls
from greenroom.core.rpc.status import CODES
from greenroom.sdk import Agent, Turn
from greenroom.v1 import agent_pb2, agent_pb2_grpc, session_pb2, tool_pb2, user_pb2


def talking() -> tuple[Agent, asyncio.Event]:
    """Repeats; "wait" waits at a gate."""
    agent, gate = Agent("talking"), asyncio.Event()

    @agent.reply
    async def reply(turn: Turn) -> str:
        if turn.text == "wait":
            await gate.wait()
        return turn.text

    return agent, gate


def all_errors(base: type[errors.GreenroomError] = errors.GreenroomError) -> list[type[errors.GreenroomError]]:
    found = [base]
    for kind in base.__subclasses__():
        if kind.__module__ == errors.__name__:
            found += all_errors(kind)
    return found


MADE_ALIKE: dict[type[errors.GreenroomError], Callable[[], errors.GreenroomError]] = {
    errors.AgentFailed: errors.AgentFailed,
    errors.ContextExceeded: errors.ContextExceeded,
    errors.AgentDown: lambda: errors.AgentDown(7.5),
}
"""Those whose text is always the same."""


@pytest.mark.parametrize("kind", all_errors(), ids=lambda kind: kind.__name__)
async def test_every_error_reaches_its_caller_with_code_reason_field_and_delay(
    serve: Serve, kind: type[errors.GreenroomError], monkeypatch: pytest.MonkeyPatch
) -> None:
    core = await serve(talking()[0])
    error = MADE_ALIKE[kind]() if kind in MADE_ALIKE else kind("what is wrong: ü", field="that")

    async def fail(*_: Any) -> None:
        raise error

    monkeypatch.setattr(core.core.turns, "run", fail)
    expected = Failure(
        CODES[kind.status],
        error.message,
        kind.reason,
        kind.retryable,
        {error.field: error.message} if error.field else {},
        error.retry_after,
    )
    assert await core.refuses("hello") == expected
    stream = Stream(core)
    await stream.send({1: request("hello")})
    assert await stream.failure(1) == expected
    stream.call.cancel()


def test_a_reason_says_one_thing_only() -> None:
    said: dict[str, tuple[str, bool]] = {}
    for kind in all_errors():
        facts = (kind.status, kind.retryable)
        if kind.reason != "SERVER_ERROR":
            assert said.setdefault(kind.reason, facts) == facts
        assert kind.status in CODES
        assert kind.retry_after is None or kind.retryable


async def test_an_unexpected_failure_shows_nothing_of_itself(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    core = await serve(talking()[0])

    async def fail(*_: Any) -> None:
        raise LookupError("sk-secret")

    monkeypatch.setattr(core.core.turns, "run", fail)
    monkeypatch.setattr(core.core.sessions, "get", fail)
    for failure in (
        await core.refuses("hello"),
        await refused(core.sessions.GetSession(session_pb2.GetSessionRequest(session_id="s"))),
    ):
        assert (failure.code, failure.message, failure.reason) == (
            grpc.StatusCode.INTERNAL,
            "Internal server error",
            "SERVER_ERROR",
        )
    assert caplog.text.count("LookupError: sk-secret") == 2


LONG = "x" * 1_000_000


@pytest.mark.parametrize(
    ("turn", "field"),
    [
        (request(sid="s1"), "messages"),
        (request("hello", ""), "messages"),
        (request("x", sid="a/b"), "session_id"),
        (request("x", sid="a" * 129), "session_id"),
        (request("x", sid="a\u0000"), "session_id"),
        (request("x", user_id="a?"), "user_id"),
        (request("x", metadata_json="{"), "metadata"),
        (request("x", metadata_json='{"a":NaN}'), "metadata"),
        (request("x", metadata_json='"text"'), "metadata"),
        (request("x", metadata_json="[" * 100_000), "metadata"),
        (request("x", metadata_json='{"a":"' + "x" * 65_536 + '"}'), "metadata"),
        (request("x", options_json="[]"), "options"),
        (request("x", idempotency_key="k" * 256), "idempotency_key"),
        (request(*["x"] * 1001), "messages"),
        (agent_pb2.RunTurnRequest(messages=[{"role": LONG, "content": "x"}]), "messages"),  # type: ignore[list-item]
        (agent_pb2.RunTurnRequest(messages=[{"role": "assistant", "content": "x"}]), "messages"),  # type: ignore[list-item]
    ],
)
async def test_a_wrong_field_is_named(serve: Serve, turn: agent_pb2.RunTurnRequest, field: str) -> None:
    if field == "messages" and len(turn.messages) == 2:
        turn.messages[1].role = "assistant"
    core = await serve(talking()[0])
    failure = await refused(core.agents.RunTurn(turn, timeout=PATIENCE))
    assert failure.code is grpc.StatusCode.INVALID_ARGUMENT
    assert list(failure.fields) == [field]
    assert field in failure.message
    assert len(failure.message) < 1000


async def test_what_is_not_there_is_not_found_everywhere(serve: Serve) -> None:
    core = await serve(talking()[0])
    await core.say("hello")
    for call, reason in (
        (core.turns("none"), "SESSION_NOT_FOUND"),
        (core.world("none"), "SESSION_NOT_FOUND"),
        (core.world(turn=2), "TURN_NOT_FOUND"),
        (core.world(turn=-1), "TURN_NOT_FOUND"),
        (core.sessions.GetSession(session_pb2.GetSessionRequest(chat_id="none")), "SESSION_NOT_FOUND"),
        (core.sessions.GetTurn(session_pb2.GetTurnRequest(session_id="s1", number=2)), "TURN_NOT_FOUND"),
        (core.sessions.CloseSession(session_pb2.CloseSessionRequest(session_id="none")), "SESSION_NOT_FOUND"),
        (core.sessions.DeleteSession(session_pb2.DeleteSessionRequest(session_id="none")), "SESSION_NOT_FOUND"),
        (core.users.GetUser(user_pb2.GetUserRequest(user_id="none")), "USER_NOT_FOUND"),
        (core.tools.ListToolCalls(tool_pb2.ListToolCallsRequest(session_id="none")), "SESSION_NOT_FOUND"),
        (core.tools.InvokeTool(tool_pb2.InvokeToolRequest(name="none")), "TOOL_NOT_FOUND"),
        (core.tools.InvokeTool(tool_pb2.InvokeToolRequest(name=LONG)), "TOOL_NOT_FOUND"),
        (core.tools.InvokeTool(tool_pb2.InvokeToolRequest(name="x", turn_token="none")), "NOT_FOUND"),
    ):
        failure = await refused(call)
        assert (failure.code, failure.reason) == (grpc.StatusCode.NOT_FOUND, reason)


@pytest.mark.parametrize(("size", "token"), [(-1, ""), (501, ""), (0, "nonsense")])
async def test_a_page_that_cannot_be_is_refused(serve: Serve, size: int, token: str) -> None:
    core = await serve(talking()[0])
    await core.say("hello")
    field = "page_token" if token else "page_size"
    asked = {"page_size": size, "page_token": token}
    for call in (
        core.sessions.ListSessions(session_pb2.ListSessionsRequest(**asked)),  # type: ignore[arg-type]
        core.sessions.ListTurns(session_pb2.ListTurnsRequest(session_id="s1", **asked)),  # type: ignore[arg-type]
        core.users.ListUsers(user_pb2.ListUsersRequest(**asked)),  # type: ignore[arg-type]
        core.tools.ListToolCalls(tool_pb2.ListToolCallsRequest(session_id="s1", **asked)),  # type: ignore[arg-type]
    ):
        assert list((await refused(call)).fields) == [field]


async def test_listings_come_in_pages_newest_session_first(serve: Serve) -> None:
    core = await serve(talking()[0])
    for n in range(5):
        await core.say("hello", sid=f"s{n}")
    seen, token = list[str](), ""
    while True:
        page = await core.sessions.ListSessions(session_pb2.ListSessionsRequest(page_size=2, page_token=token))
        seen += [session.session_id for session in page.sessions]
        if not (token := page.next_page_token):
            break
    assert seen == ["s4", "s3", "s2", "s1", "s0"]


# Keys


@dataclass(frozen=True)
class Key:
    name: str
    scopes: frozenset[str]
    namespace: str = ""


KEYS = {
    "sk-chat": Key("chatter", frozenset({"chat"}), "team-a"),
    "sk-inspect": Key("reader", frozenset({"inspect"}), "team-a"),
    "sk-other": Key("other", frozenset({"chat", "inspect"}), "team-b"),
    "sk-edge": Key("edge", frozenset({"edge"})),
}


def bearing(token: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {token}"),)


def test_every_method_needs_a_scope() -> None:
    methods = {
        f"/{service.full_name}/{method.name}"
        for module in (agent_pb2, session_pb2, tool_pb2, user_pb2)
        for service in module.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    }
    assert methods == set(callers.SCOPES)


@pytest.mark.parametrize("headers", [(), bearing("sk-none"), bearing(""), (("authorization", "sk-chat"),)])
async def test_over_tcp_a_call_without_a_valid_key_is_refused(serve: Serve, headers: Any) -> None:
    core = await serve(talking()[0], keys=KEYS.get)
    for call in (
        core.agents.RunTurn(request("x"), metadata=headers),
        core.sessions.ListSessions(session_pb2.ListSessionsRequest(), metadata=headers),
    ):
        failure = await refused(call)
        assert (failure.code, failure.reason) == (grpc.StatusCode.UNAUTHENTICATED, "INVALID_API_KEY")
    stream = Stream(core, metadata=headers)  # nothing is written: what meets a refusal under way may hide it
    assert await stream.call.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_a_key_opens_what_its_scopes_say(serve: Serve) -> None:
    core = await serve(talking()[0], keys=KEYS.get)
    run = core.agents.RunTurn
    look = core.sessions.ListTurns
    assert (await run(request("x"), metadata=bearing("sk-chat"))).reply.number == 1
    assert len((await look(session_pb2.ListTurnsRequest(session_id="s1"), metadata=bearing("sk-inspect"))).turns) == 1
    for call, scope in (
        (run(request("x"), metadata=bearing("sk-inspect")), "chat"),
        (look(session_pb2.ListTurnsRequest(session_id="s1"), metadata=bearing("sk-chat")), "inspect"),
    ):
        failure = await refused(call)
        assert (failure.code, failure.reason) == (grpc.StatusCode.PERMISSION_DENIED, "MISSING_SCOPE")
        assert scope in failure.message


async def test_two_namespaces_never_meet_and_a_key_cannot_speak_for_another(serve: Serve) -> None:
    core = await serve(talking()[0], keys=KEYS.get)
    forged = agent_pb2.Caller(namespace="team-a", key_name="chatter")
    headers = (*bearing("sk-other"), ("greenroom-namespace", "team-a"), ("greenroom-key", "chatter"))
    mine = (await core.agents.RunTurn(request("mine"), metadata=bearing("sk-chat"))).reply
    theirs = (await core.agents.RunTurn(request("theirs", caller=forged), metadata=headers)).reply
    assert (theirs.number, theirs.chat_id != mine.chat_id) == (1, True)
    stream = Stream(core, metadata=headers)
    await stream.send({1: request("theirs too", caller=forged)})
    assert (await stream.reply(1)).chat_id == theirs.chat_id
    stream.call.cancel()
    find = session_pb2.GetSessionRequest(chat_id=mine.chat_id)
    assert (await refused(core.sessions.GetSession(find, metadata=headers))).reason == "SESSION_NOT_FOUND"
    assert (await core.sessions.GetSession(find, metadata=bearing("sk-inspect"))).session.turn_count == 1


async def test_an_edges_key_speaks_for_whom_it_says(serve: Serve) -> None:
    core = await serve(talking()[0], keys=KEYS.get)
    caller = agent_pb2.Caller(namespace="team-a", key_name="chatter")
    await core.agents.RunTurn(request("x", caller=caller), metadata=bearing("sk-edge"))
    headers = (*bearing("sk-edge"), ("greenroom-namespace", "team-a"))
    listed = await core.sessions.ListSessions(session_pb2.ListSessionsRequest(), metadata=headers)
    assert [session.session_id for session in listed.sessions] == ["s1"]
    listed = await core.sessions.ListSessions(session_pb2.ListSessionsRequest(), metadata=bearing("sk-inspect"))
    assert [session.session_id for session in listed.sessions] == ["s1"]


async def test_a_unix_socket_is_its_owners_alone_and_needs_no_key(serve: Serve, tmp_path: Path) -> None:
    path = str(tmp_path / "core.sock")
    await serve(talking()[0], keys=KEYS.get, unix_path=path)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    async with grpc.aio.insecure_channel(f"unix:{path}") as channel:
        stub = agent_pb2_grpc.AgentServiceStub(channel)
        assert (await stub.RunTurn(request("x"), timeout=PATIENCE)).reply.number == 1


async def test_a_client_whose_certificate_is_trusted_needs_no_key(tmp_path: Path) -> None:
    ours, strangers = trustme.CA(), trustme.CA()
    server = ours.issue_cert("localhost")
    client = ours.issue_cert("edge.internal")
    tls = MutualTls(
        key=server.private_key_pem.bytes(),
        certificates=b"".join(pem.bytes() for pem in server.cert_chain_pems),
        client_authority=ours.cert_pem.bytes(),
    )
    agent, _ = talking()
    async with running(agent, database(tmp_path), keys=KEYS.get, listeners=Listeners(port=0, tls=tls)) as core:
        target = f"localhost:{core.server.port}"

        async def call(certificate: trustme.LeafCert | None) -> int:
            credentials = grpc.ssl_channel_credentials(
                ours.cert_pem.bytes(),
                certificate.private_key_pem.bytes() if certificate else None,
                b"".join(pem.bytes() for pem in certificate.cert_chain_pems) if certificate else None,
            )
            async with grpc.aio.secure_channel(target, credentials) as channel:
                stub = agent_pb2_grpc.AgentServiceStub(channel)
                return int((await stub.RunTurn(request("x"), timeout=PATIENCE)).reply.number)

        assert await call(client) == 1
        for refused_one in (None, strangers.issue_cert("edge.internal")):
            with pytest.raises(grpc.aio.AioRpcError) as error:
                await call(refused_one)
            assert error.value.code() is grpc.StatusCode.UNAVAILABLE


# Health, reflection, deadlines, drain


async def test_health_speaks_for_the_whole_each_service_and_what_it_depends_on(serve: Serve) -> None:
    core = await serve(talking()[0], keys=KEYS.get)
    for name in ("", "database", "agent", "greenroom.v1.AgentService", "greenroom.v1.SessionService"):
        assert await core.is_serving(name)
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await core.is_serving("none")
    assert error.value.code() is grpc.StatusCode.NOT_FOUND


async def test_a_watcher_is_told_when_the_core_drains(serve: Serve) -> None:
    core = await serve(talking()[0])
    watch = core.health.Watch(health_pb2.HealthCheckRequest())
    first = await watch.read()
    assert await core.server.drain(1)
    async with asyncio.timeout(PATIENCE):
        second = await watch.read()
    status = health_pb2.HealthCheckResponse
    assert (first, second) == (status(status=status.SERVING), status(status=status.NOT_SERVING))
    watch.cancel()


async def test_reflection_lists_our_services_without_a_key(serve: Serve) -> None:
    core = await serve(talking()[0], keys=KEYS.get)
    call = reflection_pb2_grpc.ServerReflectionStub(core.channel).ServerReflectionInfo(
        iter([reflection_pb2.ServerReflectionRequest(list_services="")])
    )
    answer = await call.read()
    names = {service.name for service in answer.list_services_response.service}
    assert {f"greenroom.v1.{name}Service" for name in ("Agent", "Tool", "User", "Session")} <= names
    assert "grpc.health.v1.Health" in names
    call.cancel()


async def test_a_callers_deadline_reaches_the_agent_and_its_tools(serve: Serve) -> None:
    agent = Agent("timed")

    @agent.reply
    async def reply(turn: Turn) -> str:
        return str(turn.time_left)

    core = await serve(agent)
    assert 0 < float((await core.agents.RunTurn(request("x"), timeout=5)).reply.text) <= 5
    assert 5 < float((await core.agents.RunTurn(request("x"), timeout=500)).reply.text) <= 60
    stream = Stream(core)
    await stream.send({1: request("x", timeout_ms=5000)})
    assert 0 < float((await stream.reply(1)).text) <= 5
    stream.call.cancel()


async def test_draining_lets_turns_finish_refuses_new_ones_and_turns_unhealthy(serve: Serve) -> None:
    agent, gate = talking()
    core = await serve(agent)
    stream = Stream(core)
    await stream.send({1: request("wait", sid="a")})
    unary = asyncio.ensure_future(core.say("wait", sid="b"))
    await until(lambda: core.core.turns.capacity.running == 2)
    draining = asyncio.ensure_future(core.server.drain(PATIENCE))
    await until(lambda: core.server._runner.draining)  # type: ignore[union-attr]
    assert not await core.is_serving()
    failure = await core.refuses("new", sid="c")
    assert (failure.code, failure.reason, failure.retryable, failure.retry_after) == (
        grpc.StatusCode.UNAVAILABLE,
        "DRAINING",
        True,
        1.0,
    )
    assert (await refused(core.turns("c"))).reason == "SESSION_NOT_FOUND"
    gate.set()
    assert await draining
    await core.server.stop()
    assert (await stream.reply(1)).number == 1
    assert (await unary).number == 1


async def test_turns_that_outlast_the_drain_are_stopped_and_leave_nothing(tmp_path: Path) -> None:
    agent, _ = talking()
    async with running(agent, database(tmp_path)) as core:
        stream = Stream(core)
        await stream.send({1: request("wait", sid="a")})
        await until(lambda: core.core.turns.capacity.running == 1)
        assert not await core.server.drain(0.01)
        stream.call.cancel()
    async with running(agent, database(tmp_path)) as core:
        assert (await refused(core.turns("a"))).reason == "SESSION_NOT_FOUND"


async def test_an_idle_core_stops_at_once_though_an_edge_keeps_its_stream_open(serve: Serve) -> None:
    core = await serve(talking()[0])
    stream = Stream(core)
    await stream.send({1: request("hello")})
    await stream.reply(1)
    async with asyncio.timeout(2):
        assert await core.server.drain(10)
        await core.server.stop()
    stream.call.cancel()


async def test_an_address_that_is_taken_is_said_so(serve: Serve, tmp_path: Path) -> None:
    first = await serve(talking()[0])
    folder = tmp_path / "second"
    folder.mkdir()
    with pytest.raises((OSError, RuntimeError)):
        async with running(talking()[0], database(folder), listeners=Listeners(port=first.server.port)):
            pass


async def test_a_name_is_hashed_the_same_whoever_asks(serve: Serve) -> None:
    core: Running = await serve(talking()[0])
    await core.say("hello", sid="with spaces & ünicode")
    head, world, _ = await core.world_view("with spaces & ünicode")
    assert (world, head.sha256) == ({}, hashlib.sha256(b"{}").hexdigest())
    assert isinstance(core.server, CoreServer)
