"""CHAT-17 under kill -9: a session is exactly as it was, or fully has the turn; nothing is ever half."""

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
from core_running import PATIENCE, Running, Stream, database, request, running
from killed_core import counting

from greenroom.v1 import agent_pb2, agent_pb2_grpc, session_pb2

SCRIPT = Path(__file__).with_name("killed_core.py")


class Victim:
    """A core in a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process, channel: grpc.aio.Channel) -> None:
        self.process = process
        self.agents = agent_pb2_grpc.AgentServiceStub(channel)

    async def says(self) -> str:
        assert self.process.stdout is not None
        return (await asyncio.wait_for(self.process.stdout.readline(), PATIENCE)).decode().strip()

    async def kill(self) -> None:
        self.process.kill()
        await asyncio.wait_for(self.process.wait(), PATIENCE)


@asynccontextmanager
async def victim(folder: Path) -> AsyncIterator[Victim]:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(SCRIPT), database(folder), stdin=pipe, stdout=pipe, cwd=SCRIPT.parent
    )
    assert process.stdout is not None
    assert process.stdin is not None
    try:
        word, port = (await asyncio.wait_for(process.stdout.readline(), PATIENCE)).decode().split()
        assert word == "port"
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield Victim(process, channel)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        process.stdin.close()


async def whole_turns(core: Running, sid: str) -> int:
    """How many turns the session has, each of them whole."""
    listed = await core.sessions.ListSessions(session_pb2.ListSessionsRequest(page_size=500))
    if sid not in {session.session_id for session in listed.sessions}:
        return 0
    turns = (await core.turns(sid)).turns
    for n, turn in enumerate(turns, 1):
        assert (turn.number, turn.parent, turn.reply.text, json.loads(turn.state_json)) == (n, n - 1, str(n), {"n": n})
        assert [(call.name, call.result_json, call.ok) for call in turn.reply.tool_calls] == [("add", str(n), True)]
        assert await core.world(sid, turn=n) == {"counters": {"a": n, "b": n}}
    return len(turns)


async def test_a_core_killed_in_mid_turn_leaves_the_session_as_it_was(tmp_path: Path) -> None:
    async with victim(tmp_path) as core:
        await core.agents.RunTurn(request("one"), timeout=PATIENCE)
        lost = core.agents.RunTurn(request("hang", attempt_id="lost"), timeout=PATIENCE)
        new = core.agents.RunTurn(request("hang", sid="new", user_id="ann"), timeout=PATIENCE)
        lost_code, new_code = asyncio.ensure_future(lost.code()), asyncio.ensure_future(new.code())
        assert [await core.says(), await core.says()] == ["hanging", "hanging"]
        await core.kill()
        assert {await lost_code, await new_code} == {grpc.StatusCode.UNAVAILABLE}
    async with running(counting(), database(tmp_path)) as again:
        assert await whole_turns(again, "s1") == 1
        assert await whole_turns(again, "new") == 0
        assert (await again.say("two", attempt_id="lost", resent=True)).text == "2"
        assert await whole_turns(again, "s1") == 2


async def test_a_core_killed_while_it_commits_has_each_turn_whole_or_not_at_all(tmp_path: Path) -> None:
    answered: dict[str, int] = {}
    asked: dict[str, tuple[int, agent_pb2.RunTurnRequest]] = {}
    async with victim(tmp_path) as core:
        enough = asyncio.Event()

        async def talk(sid: str) -> None:
            with contextlib.suppress(grpc.aio.AioRpcError):
                for n in range(1, 1000):
                    turn = request(str(n), sid=sid, attempt_id=f"{sid}-{n}")
                    asked[sid] = n, turn
                    reply = (await core.agents.RunTurn(turn, timeout=PATIENCE)).reply
                    answered[sid] = reply.number
                    if sum(answered.values()) > 150:
                        enough.set()

        talks = [asyncio.ensure_future(talk(f"s{n}")) for n in range(16)]
        await asyncio.wait_for(enough.wait(), PATIENCE)
        await core.kill()
        await asyncio.gather(*talks)
    async with running(counting(), database(tmp_path)) as again:
        stream = Stream(again)
        for sid, (n, turn) in asked.items():
            stored = await whole_turns(again, sid)
            assert answered.get(sid, 0) <= stored <= n  # what was answered is durable
            turn.resent = True
            await stream.send({int(sid[1:]): turn})
            reply = await stream.reply(int(sid[1:]))
            assert (reply.number, reply.text, reply.replayed) == (n, str(n), stored == n)
            assert await whole_turns(again, sid) == n
        stream.call.cancel()
