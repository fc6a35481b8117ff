"""Clients that leave before they have their reply (CHAT-15)."""

import asyncio
import io
import json
import types
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest
from edge_running import in_process, options, served, until
from fake_core import FakeCore, reply_to
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from greenroom.edge import LogOptions, departures
from greenroom.v1 import agent_pb2, turn_pb2

PATH = "/v1/chat/completions"
SERVERS = ("httptools", "h11")


def turn(session: str = "s") -> dict[str, object]:
    return {"messages": [{"role": "user", "content": "yes"}], "session_id": session}


def hold(core: FakeCore) -> asyncio.Event:
    """Turns of the session "s" are answered once this is set."""
    gate = asyncio.Event()

    async def script(one: agent_pb2.RunTurnRequest) -> turn_pb2.Reply:
        if one.session_id == "s":
            await gate.wait()
        return reply_to(one)

    core.script = script
    return gate


@asynccontextmanager
async def gone(url: str, core: FakeCore) -> AsyncIterator[str]:
    """A client asked and left; the attempt id of its turn."""
    async with httpx2.AsyncClient(base_url=url, timeout=20) as client:
        asking = asyncio.create_task(client.post(PATH, json=turn()))
        await until(lambda: any(one.session_id == "s" for one in core.turns))
        asking.cancel()
        await asyncio.wait([asking])
    yield next(one.attempt_id for one in core.turns if one.session_id == "s")


@pytest.mark.parametrize("http", SERVERS)
async def test_a_client_that_leaves_while_its_turn_runs_is_told_to_the_core(
    core: FakeCore, monkeypatch: pytest.MonkeyPatch, http: str
) -> None:
    monkeypatch.setattr(departures, "SWEEP_SECONDS", 0.02)
    gate, log = hold(core), io.BytesIO()
    async with served(options(core.target, log=LogOptions(stream=log)), http=http) as url:
        async with gone(url, core) as attempt:
            await until(lambda: core.left == [attempt])
        assert not gate.is_set()
        gate.set()
        await until(lambda: log.getvalue().count(b"\n") == 1)
    assert core.left == [attempt]
    assert core.cancelled == []
    line = json.loads(log.getvalue())
    assert (line["status"], line["session_id"], line["turn"]) == (499, "s", 1)


@pytest.mark.parametrize("http", SERVERS)
async def test_a_client_that_is_gone_when_its_reply_is_there_is_told_to_the_core(
    core: FakeCore, monkeypatch: pytest.MonkeyPatch, http: str
) -> None:
    monkeypatch.setattr(departures, "SWEEP_SECONDS", 3600)
    gate, log = hold(core), io.BytesIO()
    async with served(options(core.target, log=LogOptions(stream=log)), http=http) as url:
        async with gone(url, core) as attempt, httpx2.AsyncClient(base_url=url, timeout=20) as other:
            assert (await other.post(PATH, json=turn("another"))).status_code == 200
            assert core.left == []
            gate.set()
            await until(lambda: core.left == [attempt])
        await until(lambda: log.getvalue().count(b"\n") == 2)
    assert {json.loads(line)["status"] for line in log.getvalue().splitlines()} == {200, 499}


async def test_a_client_that_stays_is_not_taken_for_gone(core: FakeCore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(departures, "SWEEP_SECONDS", 0.01)
    looks = 0
    look = departures.has_left

    def counted(receive: departures.Receive) -> bool:
        nonlocal looks
        looks += 1
        return look(receive)

    monkeypatch.setattr(departures, "has_left", counted)
    gate = hold(core)
    async with (
        served(options(core.target)) as url,
        in_process(options(core.target)) as in_memory,
        httpx2.AsyncClient(base_url=url, timeout=20) as over_http,
    ):
        asking = [asyncio.create_task(client.post(PATH, json=turn())) for client in (in_memory, over_http)]
        await until(lambda: looks > 10)
        gate.set()
        assert [(await one).status_code for one in asking] == [200, 200]
        looks = 0
        assert (await over_http.post(PATH, json=turn("quick"))).status_code == 200
        assert looks == 1
    assert core.left == []


async def test_a_core_whose_stream_broke_is_told_again_while_the_turn_runs(
    core: FakeCore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(departures, "SWEEP_SECONDS", 0.02)
    monkeypatch.setattr("greenroom.edge.turn_stream._TOLD_AGAIN", 0)
    gate = hold(core)
    async with served(options(core.target)) as url, httpx2.AsyncClient(base_url=url, timeout=20) as other:
        async with gone(url, core) as attempt:
            await until(lambda: core.left == [attempt])
        core.break_after = 1
        assert (await other.post(PATH, json=turn("another"))).status_code == 200
        await until(lambda: core.left == [attempt] * 2)
        gate.set()
        assert (await other.post(PATH, json=turn())).status_code == 200
        core.break_after = 1
        assert (await other.post(PATH, json=turn("another"))).status_code == 200
        assert (await other.post(PATH, json=turn("a third"))).status_code == 200
    assert core.left == [attempt] * 2


async def test_a_core_that_was_away_is_told_when_it_is_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(departures, "SWEEP_SECONDS", 0.02)
    address = f"unix:{tmp_path}/core.sock"
    first, second, told = FakeCore(), FakeCore(), asyncio.Event()
    hold(first)
    await first.start(address)
    async with served(options(address)) as url:
        left = departures.Departures._look

        def look(self: departures.Departures, attempt_id: str, client: departures._Client) -> bool:
            found = left(self, attempt_id, client)
            if found:
                told.set()
            return found

        monkeypatch.setattr(departures.Departures, "_look", look)
        async with httpx2.AsyncClient(base_url=url, timeout=20) as client:
            asking = asyncio.create_task(client.post(PATH, json=turn()))
            await until(lambda: len(first.turns) == 1)
            await first.stop()
            asking.cancel()
            await asyncio.wait([asking])
        async with asyncio.timeout(10):
            await told.wait()
        await second.start(address)
        await until(lambda: second.left == [first.turns[0].attempt_id])
        assert [(one.attempt_id, one.resent) for one in second.turns] == [(first.turns[0].attempt_id, True)]
    await second.stop()


async def test_looking_takes_no_message_away() -> None:
    message = asyncio.Event()

    async def receive() -> dict[str, str]:
        await message.wait()
        return {"type": "http.disconnect"}

    assert not departures.has_left(receive)
    message.set()
    assert departures.has_left(receive)


async def test_the_server_says_itself_whether_a_client_has_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where uvicorn no longer has the flag, looking goes by ASGI, which costs a request twice as much."""
    cycle = RequestResponseCycle.__new__(RequestResponseCycle)
    monkeypatch.setattr(RequestResponseCycle, "receive", None)
    for left in (False, True):
        cycle.disconnected = left
        assert departures.has_left(types.MethodType(lambda _: None, cycle)) is left
