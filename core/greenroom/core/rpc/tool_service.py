"""`ToolService`: decodes, calls the use case, encodes."""

import json
from typing import Any

import grpc

from greenroom.core.core import Core
from greenroom.core.rpc import callers
from greenroom.core.rpc.codec import tool_call_to
from greenroom.core.tool_desk import CallAside
from greenroom.v1 import tool_pb2, tool_pb2_grpc

Context = grpc.aio.ServicerContext[Any, Any]


class ToolService(tool_pb2_grpc.ToolServiceServicer):
    def __init__(self, core: Core) -> None:
        self._core = core

    async def ListTools(self, request: tool_pb2.ListToolsRequest, context: Context) -> tool_pb2.ListToolsResponse:
        return tool_pb2.ListToolsResponse(
            tools=[
                tool_pb2.Tool(
                    name=tool.name,
                    description=tool.description,
                    parameters_json=json.dumps(tool.signature.schema(), ensure_ascii=False),
                )
                for tool in self._core.tools.list(request.agent)
            ]
        )

    async def ListToolCalls(
        self, request: tool_pb2.ListToolCallsRequest, context: Context
    ) -> tool_pb2.ListToolCallsResponse:
        page = await self._core.sessions.tool_calls(
            callers.current.get().principal, request.session_id, request.page_size, request.page_token
        )
        calls = [
            tool_pb2.RecordedToolCall(turn=number, superseded=superseded, call=tool_call_to(call))
            for number, superseded, call in page.items
        ]
        return tool_pb2.ListToolCallsResponse(tool_calls=calls, next_page_token=page.next_token)

    async def InvokeTool(self, request: tool_pb2.InvokeToolRequest, context: Context) -> tool_pb2.InvokeToolResponse:
        desk = self._core.tools
        if request.turn_token:
            record = await desk.invoke_in_turn(request.turn_token, request.name, request.arguments_json)
            call = tool_call_to(record)
            call.ClearField("scripted_by")  # an agent asks
        else:
            aside = CallAside(request.name, request.arguments_json, request.session_id, request.user_id, request.agent)
            call = tool_call_to(await desk.invoke_aside(callers.current.get().principal, aside))
        return tool_pb2.InvokeToolResponse(call=call)
