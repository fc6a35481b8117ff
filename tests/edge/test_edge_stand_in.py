"""A core whose agents cannot be loaded, as an edge and its clients see it: told at once, and nothing is run twice (CHAT-15)."""

import asyncio
import os
import stat
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import httpx2
import pytest
from edge_running import in_process, options, until
from fake_core import Answer, FakeCore, failure, reply_to

from greenroom.core.errors import NotLoaded
from greenroom.core.rpc.stand_in import StandIn
from greenroom.v1 import agent_pb2, turn_pb2

PATH = "/v1/chat/completions"
YES: dict[str, Any] = {"messages": [{"role": "user", "content": "yes"}], "session_id": "s"}
SAID = "The agent cannot be started: shop.py, line 3"
AGAIN = {"x-stainless-retry-count": "1"}


@pytest.fixture
def socket(tmp_path: Path) -> str:
    return f"{tmp_path}/core.sock"


@asynccontextmanager
async def standing_in(socket: str) -> AsyncIterator[None]:
    stand_in = StandIn(NotLoaded(SAID))
    await stand_in.start(socket)
    try:
        yield
    finally:
        await stand_in.stop()


@asynccontextmanager
async def core_at(socket: str) -> AsyncIterator[FakeCore]:
    core = FakeCore()
    await core.start(f"unix:{socket}")
    try:
        yield core
    finally:
        await core.stop()


def check_told(answer: httpx2.Response) -> None:
    error = answer.json()["error"]
    assert (answer.status_code, error["type"], error["code"]) == (503, "overloaded_error", "agent_not_loaded")
    assert error["message"] == SAID
    assert answer.headers["retry-after"] == "1"


async def test_every_call_is_told_why_and_health_is_not_well(socket: str) -> None:
    async with standing_in(socket), in_process(options(f"unix:{socket}")) as client:
        assert stat.S_IMODE(os.stat(socket).st_mode) == 0o600
        for answer in (
            await client.post(PATH, json=YES),
            await client.post(PATH, json={**YES, "stream": True}),
            await client.post("/users", json={"user_id": "u"}),
            await client.get("/v1/sessions"),
            await client.get("/v1/models"),
        ):
            check_told(answer)
        health = await client.get("/health")
        assert (health.status_code, health.json()["status"]) == (503, "unhealthy")
        assert health.json()["dependencies"]["agent"] == "unhealthy"
        assert (await client.get("/readyz")).status_code == 503


async def test_what_waits_for_a_core_is_told_and_its_retry_runs(socket: str) -> None:
    async with in_process(options(f"unix:{socket}")) as client:
        waiting = asyncio.create_task(client.post(PATH, json=YES))
        began = time.time()
        async with standing_in(socket):
            check_told(await waiting)
        async with core_at(socket) as core:
            assert (await client.post(PATH, json=YES, headers=AGAIN)).status_code == 200
            [turn] = core.turns
            # so that it is not taken for a retry of an equal message that was answered before
            assert turn.refused_at_us / 1_000_000 >= began


@asynccontextmanager
async def begun(client: httpx2.AsyncClient, socket: str) -> AsyncIterator[tuple["asyncio.Task[httpx2.Response]", str]]:
    """A request that a core had begun with when it ended, and its attempt."""
    async with core_at(socket) as core:
        asked = asyncio.Event()

        async def never(_: agent_pb2.RunTurnRequest) -> turn_pb2.Reply:
            asked.set()
            await asyncio.Event().wait()
            raise AssertionError

        core.script = never
        request = asyncio.create_task(client.post(PATH, json={**YES, "session_id": "begun"}))
        await asked.wait()
    yield request, core.turns[0].attempt_id
    assert (await request).status_code in (200, 503)


async def test_a_turn_that_a_core_before_has_begun_waits_for_the_next_one(
    socket: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with in_process(options(f"unix:{socket}")) as client, begun(client, socket) as (request, attempt):
        # what is asked before the edge has noticed would be sent to the core that ends, which may have begun with it too
        await until(lambda: "the stream to the core broke" in caplog.text)
        async with standing_in(socket):
            check_told(await client.post(PATH, json=YES))
            assert not request.done()
        async with core_at(socket) as core:
            assert (await request).status_code == 200
            assert [(turn.attempt_id, turn.resent) for turn in core.turns] == [(attempt, True)]


async def test_what_a_draining_core_refuses_is_a_refusal_unless_it_was_begun_before(socket: str) -> None:
    async def draining(turn: agent_pb2.RunTurnRequest) -> Answer:
        return reply_to(turn) if turn.retry_count else failure(grpc.StatusCode.UNAVAILABLE, "DRAINING")

    async with (
        in_process(options(f"unix:{socket}")) as client,
        begun(client, socket) as (request, _),
        core_at(socket) as core,
    ):
        core.script = draining
        assert (await request).status_code == 503
        assert (await client.post(PATH, json=YES)).status_code == 503
        for session_id, is_refusal in (("begun", False), ("s", True)):
            again = {**YES, "session_id": session_id}
            assert (await client.post(PATH, json=again, headers=AGAIN)).status_code == 200
            assert (core.turns[-1].refused_at_us > 0) is is_refusal
