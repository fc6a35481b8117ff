"""What a tool from elsewhere adds to its own time: `.venv/bin/python -m bench.tools`.

The same call is made as an agent makes it, through its turn's toolbox, and by hand with the client that is underneath. What is
asked is in a process of its own and answers at once. The calls are made in turn, so that what else the machine does meets all
alike.
"""

import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from time import perf_counter
from typing import Any

import grpc
import httpx2
import uvloop

from greenroom.core.agents import Agents
from greenroom.core.core import Core
from greenroom.core.limits import Limits
from greenroom.core.memory import MemoryStore
from greenroom.core.records import Message
from greenroom.core.request import TurnRequest
from greenroom.core.served import Served
from greenroom.sdk import Agent, Turn
from greenroom.tools.tools_file import read_tools_file
from greenroom.v1 import tool_pb2, tool_pb2_grpc, turn_pb2

ROUNDS, WARM_UP = 600, 30
ORDER = {"order_id": "7", "status": "on its way", "items": [{"sku": f"A-{number}", "count": 1} for number in range(10)]}
SCHEMA = {"type": "object", "properties": {"order_id": {"type": "string"}}, "required": ["order_id"]}
ANSWER = json.dumps(ORDER).encode()
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(ANSWER)

Ways = dict[str, Callable[[], Awaitable[Any]]]


class Orders(tool_pb2_grpc.ToolServiceServicer):
    """In a process of its own."""

    async def ListTools(self, request: tool_pb2.ListToolsRequest, context: Any) -> tool_pb2.ListToolsResponse:
        return tool_pb2.ListToolsResponse(tools=[tool_pb2.Tool(name="far", parameters_json=json.dumps(SCHEMA))])

    async def InvokeTool(self, request: tool_pb2.InvokeToolRequest, context: Any) -> tool_pb2.InvokeToolResponse:
        return tool_pb2.InvokeToolResponse(call=turn_pb2.ToolCall(result_json=ANSWER.decode(), ok=True))


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while await reader.readuntil(b"\r\n\r\n"):
            writer.write(HEAD + ANSWER)
    except asyncio.IncompleteReadError:
        writer.close()


async def serve() -> None:
    """Both servers; their ports are printed."""
    http = await asyncio.start_server(answer, "127.0.0.1", 0)
    server = grpc.aio.server()
    tool_pb2_grpc.add_ToolServiceServicer_to_server(Orders(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(http.sockets[0].getsockname()[1], port, flush=True)
    await server.wait_for_termination()


@contextmanager
def served() -> Iterator[tuple[str, str]]:
    """The ports of HTTP and gRPC."""
    with subprocess.Popen([sys.executable, "-m", "bench.tools", "serve"], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            http, rpc = process.stdout.readline().split()
            yield http, rpc
        finally:
            process.kill()


def tools_file(folder: Path, http: str, rpc: str) -> Path:
    parameter = {"name": "order_id", "in": "path", "required": True, "schema": {"type": "string"}}
    paths = {"/orders/{order_id}": {"get": {"operationId": "operation", "parameters": [parameter], "responses": {}}}}
    document = {"openapi": "3.1.0", "info": {"title": "Shop", "version": "1"}, "paths": paths}
    (folder / "shop.json").write_text(json.dumps(document), encoding="utf-8")
    tables = {
        "http": {"declared": {"url": f"http://127.0.0.1:{http}/orders/{{order_id}}", "parameters": SCHEMA}},
        "openapi": {"shop": {"document": "shop.json", "base_url": f"http://127.0.0.1:{http}"}},
        "grpc": {"stock": {"target": f"grpc://127.0.0.1:{rpc}"}},
    }
    path = folder / "tools.yaml"
    path.write_text(json.dumps(tables), encoding="utf-8")
    return path


@asynccontextmanager
async def by_hand(http: str, rpc: str) -> AsyncIterator[Ways]:
    """The same requests with nothing of ours."""
    async with httpx2.AsyncClient() as client, grpc.aio.insecure_channel(f"127.0.0.1:{rpc}") as channel:
        stub = tool_pb2_grpc.ToolServiceStub(channel)

        async def get() -> Any:
            return (await client.get(f"http://127.0.0.1:{http}/orders/7")).json()

        async def invoke() -> Any:
            asked = tool_pb2.InvokeToolRequest(name="far", arguments_json='{"order_id":"7"}')
            return json.loads((await stub.InvokeTool(asked)).call.result_json)

        yield {"httpx2 by hand": get, "a gRPC stub by hand": invoke}


async def measured(path: Path, http: str, rpc: str) -> dict[str, list[float]]:
    """Milliseconds of each call."""
    taken: dict[str, list[float]] = {}
    agent = Agent("bench", tools=read_tools_file(path))

    @agent.reply
    async def reply(turn: Turn) -> str:
        async with by_hand(http, rpc) as ways:
            for name in ("declared", "operation", "far"):
                ways[name] = lambda name=name: turn.call(name, order_id="7")
            for number in range(WARM_UP + ROUNDS):
                for name, way in ways.items():
                    began = perf_counter()
                    assert await way() == ORDER
                    if number >= WARM_UP:
                        taken.setdefault(name, []).append((perf_counter() - began) * 1000)
        return ""

    limits = Limits(turn_timeout=600, turn_tool_calls=10**6, session_world_bytes=10**9)
    core = Core(Agents([Served(agent, "bench", limits)]), MemoryStore(), limits)
    await core.start()
    try:
        await core.turns.run(TurnRequest(messages=(Message("user", "Go."),), session_id="bench"))
    finally:
        await core.stop()
    return taken


def main() -> None:
    if sys.argv[1:]:
        uvloop.run(serve())
        return
    with tempfile.TemporaryDirectory() as folder, served() as (http, rpc):
        taken = uvloop.run(measured(tools_file(Path(folder), http, rpc), http, rpc))
    shown = {"declared": "[http] tool", "operation": "[openapi] tool", "far": "[grpc] tool"}
    for name, calls in taken.items():
        base = taken["a gRPC stub by hand" if name in ("far", "a gRPC stub by hand") else "httpx2 by hand"]
        p50, p95 = statistics.median(calls), statistics.quantiles(calls, n=20)[-1]
        added = p50 - statistics.median(base)
        print(f"{shown.get(name, name):<22} p50 {p50:6.2f} ms  p95 {p95:6.2f} ms  adds {added:6.2f} ms")


if __name__ == "__main__":
    main()
