"""What an agent in a process of its own adds to a turn: `.venv/bin/python -m bench.remote`.

All reply with what was said. Their turns are run in turn, each in a session of its own with a short history, on a store in
memory, so that what else the machine does meets them alike.
"""

import statistics
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import grpc
import uvloop

from greenroom.agents.remote import CommandAgent, GrpcAgent
from greenroom.core.agents import Agents
from greenroom.core.core import Core
from greenroom.core.limits import Limits
from greenroom.core.memory import MemoryStore
from greenroom.core.records import Message
from greenroom.core.request import TurnRequest
from greenroom.core.served import Served
from greenroom.sdk import Agent, Turn
from greenroom.v1 import agent_pb2, agent_pb2_grpc, turn_pb2

ROUNDS, WARM_UP = 600, 30
SAID = tuple(
    Message(role, text)
    for role, text in [
        ("user", "Hello, where is my order #12345?"),
        ("assistant", "It is on its way, and should be with you tomorrow."),
        ("user", "And the other one?"),
    ]
)

SHELL = """#!/bin/sh
IFS= read -r turn
echo '{"text": "And the other one?"}'
"""

WORKER = f"""#!{sys.executable} -S
import json, sys
for line in sys.stdin:
    print(json.dumps({{"reply": json.loads(line)["text"]}}), flush=True)
"""


class Echo(agent_pb2_grpc.AgentServiceServicer):
    """In a process of its own."""

    async def StreamTurn(
        self, request: agent_pb2.StreamTurnRequest, context: Any
    ) -> AsyncIterator[agent_pb2.StreamTurnResponse]:
        yield agent_pb2.StreamTurnResponse(completed=turn_pb2.Reply(text=request.turn.messages[-1].content))


class Whole(agent_pb2_grpc.AgentServiceServicer):
    """The same without streams."""

    async def RunTurn(self, request: agent_pb2.RunTurnRequest, context: Any) -> agent_pb2.RunTurnResponse:
        return agent_pb2.RunTurnResponse(reply=turn_pb2.Reply(text=request.messages[-1].content))


class Joined(Whole):
    """The same over one stream of turns, too."""

    async def RunTurns(
        self, requests: AsyncIterator[agent_pb2.RunTurnsRequest], context: Any
    ) -> AsyncIterator[agent_pb2.RunTurnsResponse]:
        async for request in requests:
            response = agent_pb2.RunTurnsResponse()
            for item in request.turns:
                response.outcomes.add(sequence=item.sequence).reply.text = item.turn.messages[-1].content
            yield response


async def serve(servicer: agent_pb2_grpc.AgentServiceServicer) -> None:
    server = grpc.aio.server()
    agent_pb2_grpc.add_AgentServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(port, flush=True)
    await server.wait_for_termination()


SERVICERS = {"joined": Joined, "echo": Echo, "whole": Whole}


@contextmanager
def served(kind: str) -> Iterator[GrpcAgent]:
    command = [sys.executable, "-m", "bench.remote", kind]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield GrpcAgent(f"grpc://127.0.0.1:{process.stdout.readline().strip()}")
        finally:
            process.kill()


def here() -> Agent:
    agent = Agent("here")

    @agent.reply
    async def reply(turn: Turn) -> str:
        return turn.text

    return agent


def command(folder: Path, name: str, text: str, workers: int = 0) -> CommandAgent:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)
    return CommandAgent(str(path), workers=workers)


async def measured(agents: dict[str, Agent]) -> dict[str, list[tuple[float, float]]]:
    """Milliseconds, and milliseconds of this process's CPU, of each turn."""
    limits = Limits()
    core = Core(Agents([Served(agent, name, limits) for name, agent in agents.items()]), MemoryStore(), limits)
    await core.start()
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in agents}
    try:
        for number in range(WARM_UP + ROUNDS):
            for name in agents:
                request = TurnRequest(messages=SAID, session_id=f"{name} {number}", agent=name)
                began, cpu = perf_counter(), process_time()
                reply = await core.turns.run(request)
                ended = (perf_counter() - began) * 1000, (process_time() - cpu) * 1000
                assert reply.turn.reply == SAID[-1].content
                if number >= WARM_UP:
                    taken[name].append(ended)
    finally:
        await core.stop()
    return taken


def main() -> None:
    if sys.argv[1:]:
        uvloop.run(serve(SERVICERS[sys.argv[1]]()))
        return
    with (
        tempfile.TemporaryDirectory() as folder,
        served("joined") as joined,
        served("echo") as echo,
        served("whole") as whole,
    ):
        agents: dict[str, Agent] = {
            "in the core": here(),
            "gRPC, RunTurns": joined,
            "gRPC, StreamTurn": echo,
            "gRPC, RunTurn": whole,
            "a command, a shell per turn": command(Path(folder), "shell", SHELL),
            "a command, one worker": command(Path(folder), "worker", WORKER, workers=1),
        }
        taken = uvloop.run(measured(agents))
    base = [statistics.median(column) for column in zip(*taken["in the core"], strict=True)]
    for name, turns in taken.items():
        latency, cpu = (list(column) for column in zip(*turns, strict=True))
        p50, p95 = statistics.median(latency), statistics.quantiles(latency, n=20)[-1]
        added, added_cpu = p50 - base[0], statistics.median(cpu) - base[1]
        print(f"{name:<30} p50 {p50:6.2f} ms  p95 {p95:7.2f} ms  adds {added:6.2f} ms, {added_cpu:6.2f} ms of CPU")


if __name__ == "__main__":
    main()
