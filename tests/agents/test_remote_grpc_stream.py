"""An agent that takes all its turns over one stream: what becomes of them when it, or one of them, goes wrong."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import grpc
import pytest
from core_running import PATIENCE, database, request, running, until
from google.rpc import error_details_pb2, status_pb2
from remote_server import WAY, Context, Joined, Remote, answering, completed, hosting, text

from greenroom.agents.remote import GrpcAgent
from greenroom.agents.remote.failure import RemoteFailed
from greenroom.agents.remote.rpc.status import DOWN
from greenroom.agents.remote.rpc.turn_stream import LARGEST, AskedTurn
from greenroom.v1 import agent_pb2, agent_pb2_grpc

Turn = agent_pb2.RunTurnRequest
Events = AsyncIterator[agent_pb2.StreamTurnResponse]


@pytest.fixture(autouse=True)
def joined() -> Iterator[None]:
    token = WAY.set(Joined)
    yield
    WAY.reset(token)


def as_joined(remote: Remote) -> Joined:
    assert isinstance(remote, Joined)
    return remote


async def greeting(turn: Turn, context: Context) -> Events:
    yield completed("hello")


async def waiting_for(gate: asyncio.Event, word: str) -> str:
    await asyncio.wait_for(gate.wait(), PATIENCE)
    return word


async def test_turns_run_side_by_side_on_it_and_come_in_any_order(tmp_path: Path) -> None:
    gate = asyncio.Event()

    async def by_word(turn: Turn, context: Context) -> Events:
        word = turn.messages[-1].content
        yield completed(await waiting_for(gate, word) if word == "slow" else word)

    async with hosting(by_word, tmp_path) as (core, remote):
        slow = asyncio.create_task(core.say("slow", sid="slow"))
        quick = await asyncio.gather(*(core.say(f"quick {number}", sid=f"s{number}") for number in range(5)))
        assert not slow.done()
        gate.set()
        assert (await slow).text == "slow"
    assert [reply.text for reply in quick] == [f"quick {number}" for number in range(5)]
    assert as_joined(remote).joined == len(remote.turns) == 6


@pytest.mark.parametrize("code", [grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNIMPLEMENTED])
async def test_the_end_of_one_turn_is_not_that_of_the_stream(tmp_path: Path, code: grpc.StatusCode) -> None:
    async def failing(turn: Turn, context: Context) -> Events:
        if turn.messages[-1].content == "fail":
            retry = error_details_pb2.RetryInfo()
            retry.retry_delay.FromMilliseconds(7500)
            status = status_pb2.Status()
            status.details.add().Pack(retry)
            await context.abort(
                code, "the password is 1234", (("grpc-status-details-bin", status.SerializeToString()),)
            )
        yield completed("fine")

    async with hosting(failing, tmp_path) as (core, remote):
        await core.say("first")
        failure = await core.refuses("fail")
        [kept] = (await core.turns()).failed
        assert (await core.say("again")).text == "fine"
    assert as_joined(remote).joined == len(remote.turns) == 3
    assert f"{code.name}: the password is 1234" in kept.detail
    assert failure.reason == ("AGENT_UNAVAILABLE" if code in DOWN else "AGENT_FAILED")
    assert failure.retry_after == (7.5 if code in DOWN else None)


async def test_one_that_hangs_is_told_to_stop_at_the_turns_deadline_and_the_others_go_on(tmp_path: Path) -> None:
    gate = asyncio.Event()

    async def hanging(turn: Turn, context: Context) -> Events:
        yield completed(await waiting_for(gate, turn.messages[-1].content))

    async with hosting(hanging, tmp_path) as (core, remote):
        other = asyncio.create_task(core.say("other", sid="other"))
        await until(lambda: bool(remote.turns))
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await core.agents.RunTurn(request("hello"), timeout=0.3)
        assert failed.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        await asyncio.wait_for(remote.gone.wait(), PATIENCE)
        gate.set()
        assert (await other).text == "other"


async def test_a_stream_without_an_answer_in_the_end_is_the_agents_failure(tmp_path: Path) -> None:
    class Deaf(Remote):
        async def RunTurns(
            self, requests: AsyncIterator[agent_pb2.RunTurnsRequest], context: Context
        ) -> AsyncIterator[agent_pb2.RunTurnsResponse]:
            await anext(requests)
            return
            yield agent_pb2.RunTurnsResponse()

    token = WAY.set(Deaf)
    async with hosting(greeting, tmp_path) as (core, _):
        assert (await core.refuses("hello")).reason == "AGENT_FAILED"
    WAY.reset(token)


async def test_text_that_is_not_what_was_told_fails_its_turn_alone(tmp_path: Path) -> None:
    async def wrongly(turn: Turn, context: Context) -> Events:
        yield text("one")
        yield completed(turn.messages[-1].content)

    async with hosting(wrongly, tmp_path) as (core, _):
        stream = core.agents.StreamTurn(agent_pb2.StreamTurnRequest(turn=request("two")), timeout=PATIENCE)
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            _ = [event async for event in stream]
        assert failed.value.code() is grpc.StatusCode.INTERNAL
        assert (await core.say("one")).text == "one"


async def test_how_much_was_read_is_told(tmp_path: Path) -> None:
    async def talking(turn: Turn, context: Context) -> Events:
        for _ in range(20):
            yield text("x" * 1024)
        yield completed("x" * 20 * 1024)

    async with hosting(talking, tmp_path) as (core, remote):
        asked = agent_pb2.StreamTurnRequest(turn=request("much"))
        _ = [event async for event in core.agents.StreamTurn(asked, timeout=PATIENCE)]
        await until(lambda: as_joined(remote).read == 16 * 1024)


async def test_what_is_told_ahead_of_its_reader_is_bounded() -> None:
    asked = AskedTurn(1)
    asked.told([text("x" * 1024 * 1024)] * 8)
    await asked.next()
    asked.told([text("x" * 1024 * 1024)] * 2)
    asked.told([text("more")])
    with pytest.raises(RemoteFailed, match="not read yet"):
        await asked.next()


async def test_a_turn_that_is_too_large_for_it_is_a_call_of_its_own(tmp_path: Path) -> None:
    async with hosting(greeting, tmp_path) as (core, remote):
        await core.say("x" * LARGEST, sid="large")
        await core.say("small")
    assert (len(remote.turns), as_joined(remote).joined) == (2, 1)


async def test_while_an_agent_is_shut_down_its_successor_gets_the_new_turns(tmp_path: Path) -> None:
    gate = asyncio.Event()

    async def slowly(turn: Turn, context: Context) -> Events:
        yield completed("old" if turn.messages[-1].content == "quick" else await waiting_for(gate, "old"))

    async def successor(turn: Turn, context: Context) -> Events:
        yield completed("new")

    server, old = grpc.aio.server(options=[("grpc.so_reuseport", 0)]), Joined(slowly)
    agent_pb2_grpc.add_AgentServiceServicer_to_server(old, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with running(GrpcAgent(f"grpc://127.0.0.1:{port}"), database(tmp_path)) as core:
        assert (await core.say("quick")).text == "old"
        pending = asyncio.create_task(core.say("slow", sid="slow"))
        await until(lambda: len(old.turns) == 2)
        stopping = asyncio.create_task(server.stop(grace=PATIENCE))
        async with AsyncExitStack() as stack:
            while True:  # the port is free once the old one no longer listens
                try:
                    await stack.enter_async_context(answering(Joined(successor), port))
                    break
                except RuntimeError:
                    await asyncio.sleep(0)
            while (await core.say("quick")).text != "new":
                pass
            gate.set()
            assert (await pending).text == "old"
            await asyncio.wait_for(stopping, PATIENCE / 2)  # nobody holds its stream open
