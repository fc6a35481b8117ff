"""What an MCP tool over stdio adds to its own time: `.venv/bin/python -m bench.mcp`.

One server is the SDK's, with a tool that takes a millisecond; one is a few lines, whose tool takes none. Each is called by the
SDK's own client, over the SDK's transport, and by a turn's toolbox, in turn, so that what else the machine does meets them
alike; then by many turns at once.
"""

import asyncio
import statistics
import sys
from collections.abc import Awaitable, Callable
from time import perf_counter, process_time

import uvloop
from mcp import Client, StdioServerParameters

from greenroom.core.agents import Agents
from greenroom.core.core import Core
from greenroom.core.limits import Limits
from greenroom.core.memory import MemoryStore
from greenroom.core.records import Message
from greenroom.core.request import TurnRequest
from greenroom.core.served import Served
from greenroom.sdk import Agent, Turn
from greenroom.tools.mcp import McpServer

ROUNDS, WARM_UP, AT_ONCE = 600, 30, 64
OWN = 0.001
SERVER = f"""
import time
from mcp.server import MCPServer

server = MCPServer("bench")

@server.tool()
def work(number: int) -> dict[str, int]:
    until = time.perf_counter() + {OWN}
    while time.perf_counter() < until:
        time.sleep(0)
    return {{"number": number}}

server.run()
"""
LIGHT = """
import json, sys

TOOL = {"name": "work", "inputSchema": {"type": "object"}}

for line in sys.stdin:
    asked = json.loads(line)
    match asked["method"]:
        case "initialize":
            told = {"protocolVersion": "2025-06-18", "capabilities": {}, "serverInfo": {"name": "light", "version": "1"}}
        case "tools/list":
            told = {"tools": [TOOL]}
        case "tools/call":
            told = {"content": [{"type": "text", "text": "done"}]}
        case _ if "id" in asked:
            print(json.dumps({"jsonrpc": "2.0", "id": asked["id"], "error": {"code": -32601, "message": "no"}}), flush=True)
            continue
        case _:
            continue
    print(json.dumps({"jsonrpc": "2.0", "id": asked["id"], "result": told}), flush=True)
"""


async def called(rounds: int, *calls: Callable[[int], Awaitable[object]]) -> list[list[tuple[float, float]]]:
    """Milliseconds, and milliseconds of this process's CPU, of each call."""
    taken: list[list[tuple[float, float]]] = [[] for _ in calls]
    for number in range(WARM_UP + rounds):
        for call, times in zip(calls, taken, strict=True):
            began, cpu = perf_counter(), process_time()
            await call(number)
            if number >= WARM_UP:
                times.append(((perf_counter() - began) * 1000, (process_time() - cpu) * 1000))
    return taken


class Caller:
    """An agent that calls the tool `calls` times a turn, in a core of its own."""

    def __init__(self, program: list[str]) -> None:
        agent, limits = Agent("caller", tools=[McpServer("bench", command=program)]), Limits()
        agent.reply(self._reply)
        self.core = Core(Agents([Served(agent, "caller", limits)]), MemoryStore(), limits)
        self.calls = 1
        self.spent: list[tuple[float, float]] = []
        """Milliseconds of each turn's calls, and of this process's CPU."""
        self._turns = 0

    async def turn(self, _: int = 0) -> None:
        self._turns += 1
        await self.core.turns.run(TurnRequest(messages=(Message("user", "go"),), session_id=f"s{self._turns}"))

    async def _reply(self, turn: Turn) -> str:
        began, cpu = perf_counter(), process_time()
        for number in range(self.calls):
            await turn.call("work", number=number)
        self.spent.append(((perf_counter() - began) * 1000, (process_time() - cpu) * 1000))
        return "done"


async def measure(name: str, program: list[str], own: float) -> None:
    """`own`: the milliseconds that the tool takes."""
    caller = Caller(program)
    await caller.core.start()
    try:
        async with Client(StdioServerParameters(command=program[0], args=program[1:])) as client:
            calls = (lambda number: client.call_tool("work", {"number": number}), caller.turn)
            [direct, _] = await called(ROUNDS, *calls)
        ours = caller.spent[WARM_UP:]
        caller.calls = 4
        began = perf_counter()
        await asyncio.gather(*(caller.turn() for _ in range(AT_ONCE)))
        rate = AT_ONCE * caller.calls / (perf_counter() - began)
    finally:
        await caller.core.stop()
    print(f"{name}; {AT_ONCE} turns at once make {rate:.0f} calls/s over one connection")
    for caller_name, times in (("the SDK's client", direct), ("a turn's tool call", ours)):
        latency, cpu = (list(column) for column in zip(*times, strict=True))
        p50, p95 = statistics.median(latency), statistics.quantiles(latency, n=20)[-1]
        added, here = p50 - own, statistics.median(cpu)
        print(
            f"  {caller_name:<20} p50 {p50:6.2f} ms  p95 {p95:6.2f} ms  adds {added:5.2f} ms  CPU here {here:5.2f} ms"
        )


async def main() -> None:
    await measure("the SDK's server, a tool of 1 ms", [sys.executable, "-c", SERVER], OWN * 1000)
    await measure("a server of a few lines", [sys.executable, "-S", "-c", LIGHT], 0)


if __name__ == "__main__":
    uvloop.run(main())
