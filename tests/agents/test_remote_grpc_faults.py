"""What an agent behind gRPC does wrong, and what its caller is told."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
import trustme
from core_running import PATIENCE, Failure, Running, database, refused, request, running, until
from google.rpc import error_details_pb2, status_pb2
from remote_server import Context, Joined, Remote, answering, completed, hosting, text

from greenroom.agents.remote import GrpcAgent
from greenroom.agents.remote.rpc.status import DOWN
from greenroom.core.limits import Limits
from greenroom.sdk import Agent, AgentError
from greenroom.sdk import Turn as Turn_
from greenroom.v1 import agent_pb2, agent_pb2_grpc, session_pb2, turn_pb2

Turn = agent_pb2.RunTurnRequest
Events = AsyncIterator[agent_pb2.StreamTurnResponse]

UNAVAILABLE = (grpc.StatusCode.UNAVAILABLE, "AGENT_UNAVAILABLE", "The agent is not available, try again later")
TOO_LONG = (grpc.StatusCode.INVALID_ARGUMENT, "CONTEXT_LENGTH_EXCEEDED", "The conversation is too long for the agent")
FAILED = (grpc.StatusCode.INTERNAL, "AGENT_FAILED", "Internal server error")


def told(failure: Failure) -> tuple[grpc.StatusCode, str, str]:
    return failure.code, failure.reason, failure.message


async def evidence(core: Running) -> list[session_pb2.FailedTurn]:
    """The failed attempts of the session, newest last."""
    return list((await core.turns()).failed)


@pytest.mark.parametrize("code", [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK])
async def test_each_status_says_that_it_is_down_or_that_it_failed_and_its_text_is_for_the_evidence(
    tmp_path: Path, code: grpc.StatusCode
) -> None:
    async def failing(turn: Turn, context: Context) -> Events:
        if turn.messages[-1].content == "fail":
            await context.abort(code, "the password is 1234")
        yield completed("fine")

    async with hosting(failing, tmp_path) as (core, remote):
        await core.say("first")  # so that there is a session whose evidence can be read
        failure = await core.refuses("fail")
        [kept] = await evidence(core)
        tries = len(remote.turns)
    if code is grpc.StatusCode.UNIMPLEMENTED:  # RunTurn is asked then, which says the same of itself
        assert (told(failure), tries) == (FAILED, 2)
        return
    assert (told(failure), tries) == (UNAVAILABLE if code in DOWN else FAILED, 2)
    assert f"{code.name}: the password is 1234" in kept.detail


async def test_the_pause_it_asks_for_is_passed_on(tmp_path: Path) -> None:
    async def busy(turn: Turn, context: Context) -> Events:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromMilliseconds(7500)
        status = status_pb2.Status(code=grpc.StatusCode.RESOURCE_EXHAUSTED.value[0])
        status.details.add().Pack(retry)
        packed = (("grpc-status-details-bin", status.SerializeToString()),)
        await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "busy", packed)
        yield completed("never")

    async with hosting(busy, tmp_path) as (core, _):
        failure = await core.refuses("hello")
    assert (told(failure), failure.retry_after) == (UNAVAILABLE, 7.5)


async def test_a_conversation_that_is_larger_than_the_messages_it_takes_is_too_long(tmp_path: Path) -> None:
    async def fine(turn: Turn, context: Context) -> Events:
        yield completed("fine")

    async with hosting(fine, tmp_path) as (core, _):
        for _turn in range(2):
            assert (await core.say("x" * 1_500_000)).text == "fine"
        failure = await core.refuses("x" * 1_500_000)
        [kept] = await evidence(core)
        assert (await core.say("hello", sid="another")).text == "fine"
    assert told(failure) == TOO_LONG
    assert "larger than max" in kept.detail


SAID = {
    "grpc: received message larger than max (5400847 vs. 4194304)": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "gRPC message exceeds maximum size 4194304: 5400847": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "Received message exceeds the maximum configured message size.": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "Error, decoded message length too large: found 5400847 bytes": grpc.StatusCode.OUT_OF_RANGE,
}


@pytest.mark.parametrize("said", SAID)
async def test_other_languages_say_so_in_other_words_and_a_short_turn_is_not_meant(tmp_path: Path, said: str) -> None:
    async def refusing(turn: Turn, context: Context) -> Events:
        await context.abort(SAID[said], said)
        yield completed("never")

    async with hosting(refusing, tmp_path) as (core, _):
        assert told(await core.refuses("x" * 1_500_000)) == TOO_LONG
        assert told(await core.refuses("x")) == (UNAVAILABLE if SAID[said] in DOWN else FAILED)


WRONG: dict[str, tuple[list[agent_pb2.StreamTurnResponse], str]] = {
    "nothing": ([], "without `completed`"),
    "no completion": ([text("half")], "without `completed`"),
    "another text": ([text("one"), completed("two")], "not what was streamed"),
    "an evaluation that is a list": (
        [completed("one", evaluation_json="[1]")],
        "evaluation_json is no JSON object: [1]",
    ),
    "metadata that is no JSON": ([completed("one", metadata_json="{")], "metadata_json is no JSON object: {"),
    "a state that is no object": ([completed("one", state=3)], "state_json is no JSON object: 3"),
    "a confidence past 1": ([completed("one", confidence=1.5)], "not between 0 and 1"),
}


@pytest.mark.parametrize("wrong", WRONG)
async def test_an_answer_against_the_contract_fails_the_turn_and_the_evidence_says_how(
    tmp_path: Path, wrong: str
) -> None:
    events, said = WRONG[wrong]

    async def wrongly(turn: Turn, context: Context) -> Events:
        for event in [completed("fine")] if turn.messages[-1].content == "first" else events:
            yield event

    async with hosting(wrongly, tmp_path) as (core, remote):
        await core.say("first")
        assert told(await core.refuses("now")) == FAILED
        assert said in (await evidence(core))[0].detail
        assert len(remote.turns) == 2


async def test_results_that_are_no_json_are_kept_as_texts(tmp_path: Path) -> None:
    calls = [
        turn_pb2.ToolCall(name="look", arguments_json="here", result_json="NaN", ok=True),
        turn_pb2.ToolCall(name="pay", result_json="no money"),
    ]

    async def careless(turn: Turn, context: Context) -> Events:
        yield completed("done", tool_calls=calls)

    async with hosting(careless, tmp_path) as (core, _):
        reply = await core.say("go")
    assert [(call.arguments_json, json.loads(call.result_json)) for call in reply.tool_calls] == [
        ('{"arguments": "here"}', "NaN"),
        ("{}", {"error": {"type": "failed", "message": "no money"}}),
    ]


async def test_one_that_does_not_stream_is_asked_for_the_whole_reply_once_and_for_all(tmp_path: Path) -> None:
    asked: list[str] = []

    class Whole(agent_pb2_grpc.AgentServiceServicer):
        async def StreamTurn(self, request: agent_pb2.StreamTurnRequest, context: Context) -> None:
            asked.append("StreamTurn")
            await context.abort(grpc.StatusCode.UNIMPLEMENTED, "no")

        async def RunTurn(self, request: Turn, context: Context) -> agent_pb2.RunTurnResponse:
            asked.append("RunTurn")
            state = agent_pb2.HostedReply(state_json=f'{{"turn":{request.hosted.number}}}')
            return agent_pb2.RunTurnResponse(reply=turn_pb2.Reply(text=request.hosted.state_json), hosted=state)

    async with (
        answering(Whole()) as port,
        running(GrpcAgent(f"grpc://127.0.0.1:{port}"), database(tmp_path)) as core,
    ):
        assert [(await core.say(said)).text for said in ("one", "two")] == ["{}", '{"turn":1}']
    assert asked == ["StreamTurn", "RunTurn", "RunTurn"]


@pytest.mark.parametrize("kind", [Remote, Joined])
async def test_it_may_be_absent_at_start_and_go_and_come_back(tmp_path: Path, kind: type[Remote]) -> None:
    async def greeting(turn: Turn, context: Context) -> Events:
        yield completed("hello")

    async with answering(kind(greeting)) as port:
        pass  # a port that nobody listens on any more
    agent = GrpcAgent(f"grpc://127.0.0.1:{port}")
    async with running(agent, database(tmp_path)) as core:
        assert told(await core.refuses("anyone?")) == UNAVAILABLE
        assert agent.problem() == f"grpc://127.0.0.1:{port} cannot be reached"
        for _ in range(2):
            async with answering(kind(greeting), port):
                await until(lambda: not agent.problem())
                assert (await core.say("anyone?")).text == "hello"
            await until(lambda: bool(agent.problem()))


@pytest.mark.parametrize("kind", [Remote, Joined])
@pytest.mark.parametrize("told_before", [False, True])
async def test_a_turn_whose_connection_broke_is_sent_again_unless_something_was_told(
    tmp_path: Path, told_before: bool, kind: type[Remote]
) -> None:
    began = asyncio.Event()

    async def breaking(turn: Turn, context: Context) -> Events:
        if told_before:
            yield text("well")
        began.set()
        await asyncio.Event().wait()

    async def answers(turn: Turn, context: Context) -> Events:
        yield completed("well, then")

    first, second = kind(breaking), kind(answers)
    async with AsyncExitStack() as before:
        port = await before.enter_async_context(answering(first))
        # what is in front of it stays while it is replaced, as a load balancer does
        async with (
            relay(port) as front,
            running(GrpcAgent(f"grpc://127.0.0.1:{front.port}"), database(tmp_path)) as core,
        ):
            stream = core.agents.StreamTurn(agent_pb2.StreamTurnRequest(turn=request("go")), timeout=PATIENCE)
            events = aiter(stream)
            if told_before:
                assert [(await anext(events)).WhichOneof("event") for _ in range(2)] == ["started", "text_delta"]
            await asyncio.wait_for(began.wait(), PATIENCE)
            async with answering(second) as other:
                front.move(other)
                if told_before:
                    assert told(await refused(drained(events))) == UNAVAILABLE
                    assert second.turns == []
                    return
                assert (await drained(events))[-1].completed.text == "well, then"
    assert [(turn.attempt_id, turn.resent) for turn in second.turns] == [(first.turns[0].attempt_id, True)]
    assert first.turns[0].resent is False


async def drained(events: Events) -> list[agent_pb2.StreamTurnResponse]:
    return [event async for event in events]


class Front:
    """Passes connections on to a port; moved, it cuts those that there are."""

    def __init__(self, port: int) -> None:
        self.port = 0
        self._behind = port
        self._open: set[asyncio.StreamWriter] = set()

    def move(self, port: int) -> None:
        self._behind = port
        for writer in self._open:
            writer.transport.abort()

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", self._behind)
        self._open |= {writer, inner_writer}
        await asyncio.gather(self._pass(reader, inner_writer), self._pass(inner_reader, writer))
        self._open -= {writer, inner_writer}

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                writer.write(data)
        writer.close()


@asynccontextmanager
async def relay(port: int) -> AsyncIterator[Front]:
    front = Front(port)
    server = await asyncio.start_server(front.connected, "127.0.0.1", 0)
    front.port = server.sockets[0].getsockname()[1]
    try:
        yield front
    finally:
        server.close()
        front.move(0)


async def test_one_that_hangs_is_left_at_the_turns_deadline_and_hears_of_it(tmp_path: Path) -> None:
    async def hanging(turn: Turn, context: Context) -> Events:
        yield text("wait")
        await asyncio.Event().wait()

    async with hosting(hanging, tmp_path) as (core, remote):
        asked = core.agents.RunTurn(request("hello"), timeout=0.3)
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await asked
        assert failed.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        await asyncio.wait_for(remote.gone.wait(), PATIENCE)


async def test_the_cores_own_deadline_is_a_timeout_of_the_turn(tmp_path: Path) -> None:
    async def hanging(turn: Turn, context: Context) -> Events:
        await asyncio.Event().wait()
        yield text("never")

    remote = Remote(hanging)
    async with (
        answering(remote) as port,
        running(GrpcAgent(f"grpc://127.0.0.1:{port}"), database(tmp_path), limits=Limits(turn_timeout=0.2)) as core,
    ):
        failure = await core.refuses("hello")
    assert (failure.code, failure.reason) == (grpc.StatusCode.DEADLINE_EXCEEDED, "TURN_TIMEOUT")


async def test_it_is_reached_over_tls_with_a_key_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def greeting(turn: Turn, context: Context) -> Events:
        yield completed(f"hello from {turn.agent}")

    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    credentials = grpc.ssl_server_credentials(
        [(issued.private_key_pem.bytes(), b"".join(each.bytes() for each in issued.cert_chain_pems))]
    )
    monkeypatch.setenv("SHOP_KEY", "s3cret")
    remote = Remote(greeting)
    async with answering(remote, credentials=credentials) as port:
        agent = GrpcAgent(f"grpcs://127.0.0.1:{port}/second", key_env="SHOP_KEY", authority=tmp_path / "ca.pem")
        async with running(agent, database(tmp_path)) as core:
            assert (await core.say("hello")).text == "hello from second"
            [info] = (await core.agents.ListAgents(agent_pb2.ListAgentsRequest())).agents
    assert remote.metadata["authorization"] == "Bearer s3cret"
    assert info.description == "Is the second one."


@pytest.mark.parametrize(
    ("target", "options", "said"),
    [
        ("http://127.0.0.1:1", {}, "is asked at grpc://host:port"),
        ("grpc://127.0.0.1", {}, "is asked at grpc://host:port"),
        ("grpc://127.0.0.1:what", {}, "is asked at grpc://host:port"),
        ("grpc://key@127.0.0.1:1", {}, "name its variable with key_env"),
        ("grpc://127.0.0.1:1", {"key_env": "NOWHERE_SET"}, "NOWHERE_SET is not set"),
        ("grpc://127.0.0.1:1", {"authority": "ca.pem"}, "has no TLS"),
        ("grpcs://127.0.0.1:1", {"authority": "nowhere.pem"}, "nowhere.pem: No such file"),
    ],
)
def test_settings_that_cannot_work_are_refused_and_never_shown_with_a_key(
    target: str, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(AgentError) as refusal:
        GrpcAgent(target, **options)
    assert said in str(refusal.value)
    assert "key@" not in str(refusal.value)


async def test_a_core_pays_no_attention_to_what_is_for_hosted_agents(tmp_path: Path) -> None:
    """Neither from a client that sets it, nor where a Greenroom hosts another one."""
    inner_agent = Agent("inner")

    @inner_agent.reply
    async def reply(turn: Turn_) -> str:
        turn.state["said"] = [*turn.state.get("said", ()), turn.text]
        return " ".join(turn.state["said"])

    (tmp_path / "outer").mkdir()
    async with running(inner_agent, database(tmp_path)) as inner:
        hosted = agent_pb2.HostedTurn(state_json='{"said":["not this"]}', turn_token="x", number=7)
        assert (await inner.say("one", sid="direct", hosted=hosted)).text == "one"
        agent = GrpcAgent(f"grpc://127.0.0.1:{inner.server.port}")
        async with running(agent, database(tmp_path / "outer")) as outer:
            assert [(await outer.say(said)).text for said in ("one", "two")] == ["one", "one two"]
            assert (await outer.say("one", "one", "other", transcript=True)).text == "one other"
            listed = await outer.turns()
    assert [turn.reply.text for turn in listed.turns] == ["one", "one two", "one other"]
