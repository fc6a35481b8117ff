"""A process with tools: a real gRPC server on a free port, in the test's own event loop."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc

from greenroom.v1 import tool_pb2, tool_pb2_grpc, turn_pb2

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
SECRET = "sk-0123456789abcdef"
Context = grpc.aio.ServicerContext[Any, Any]


def done(result: Any, *, ok: bool = True) -> tool_pb2.InvokeToolResponse:
    text = result if isinstance(result, str) else json.dumps(result)
    return tool_pb2.InvokeToolResponse(call=turn_pb2.ToolCall(result_json=text, ok=ok))


class Elsewhere(tool_pb2_grpc.ToolServiceServicer):
    """Lists its tools, and answers as a test says."""

    def __init__(self, *names: str, answer: Callable[[Any], Any] | None = None) -> None:
        self.listed = [
            tool_pb2.Tool(name=name, description="Far.", parameters_json=json.dumps(SCHEMA)) for name in names
        ]
        self.answer = answer or (lambda request: done(json.loads(request.arguments_json)))
        self.metadata: list[dict[str, Any]] = []
        self.agents: list[str] = []
        self.asked = asyncio.Event()

    async def ListTools(self, request: tool_pb2.ListToolsRequest, context: Context) -> tool_pb2.ListToolsResponse:
        self.agents.append(request.agent)
        return tool_pb2.ListToolsResponse(tools=self.listed)

    async def InvokeTool(self, request: tool_pb2.InvokeToolRequest, context: Context) -> tool_pb2.InvokeToolResponse:
        self.metadata.append(dict(context.invocation_metadata() or ()))  # type: ignore[arg-type]
        self.agents.append(request.agent)
        self.asked.set()
        answer = self.answer(request)
        if isinstance(answer, grpc.StatusCode):
            await context.abort(answer, f"no {SECRET}")
        if answer is None:
            await asyncio.Event().wait()
        assert isinstance(answer, tool_pb2.InvokeToolResponse)
        return answer


@asynccontextmanager
async def serving(servicer: Elsewhere, port: int = 0) -> AsyncIterator[int]:
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    tool_pb2_grpc.add_ToolServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    try:
        yield port
    finally:
        await server.stop(grace=None)
