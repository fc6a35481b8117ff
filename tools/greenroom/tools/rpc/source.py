"""The tools of a process that implements `greenroom.v1.ToolService`."""

import asyncio
import json
import re
from contextlib import suppress
from functools import partial
from typing import Any

import grpc

from greenroom.sdk import Call, Tool, ToolError, ToolSource
from greenroom.tools.excerpt import beginning, shortened
from greenroom.tools.headers import Secrets
from greenroom.tools.rpc.target import Target
from greenroom.v1 import tool_pb2, tool_pb2_grpc

_AT_START = 5.0
"""Seconds that the start waits for the list of tools, and that a process may take to give it."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 5.0
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_CODES = {
    grpc.StatusCode.UNAVAILABLE: "unreachable",
    grpc.StatusCode.DEADLINE_EXCEEDED: "timeout",
    grpc.StatusCode.UNAUTHENTICATED: "unauthorized",
    grpc.StatusCode.PERMISSION_DENIED: "unauthorized",
}
"""Those that say something of the process, or of how we are let in. Others are told by their own name."""
_AWAY = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)


class GrpcSource(ToolSource):
    """`timeout` is a call's, in seconds. Of results longer than `max_bytes` only the beginning is given. The tools are listed
    when the source is started, again and again until they are, and whenever the connection is there again."""

    def __init__(
        self, name: str, target: Target, secrets: Secrets, *, prefix: str, timeout: float, max_bytes: int
    ) -> None:
        self._name = name
        self._target = target
        self._secrets = secrets
        self._prefix = prefix
        self._timeout = timeout
        self._max_bytes = max_bytes
        self.missing = ""
        """Which credential there is not; "" when there is all that is wanted."""
        self._tools: tuple[Tool[..., Any], ...] = ()
        self._problem = "its tools have not been listed yet"
        self._left_out: list[str] = []
        self._stub: Any = None
        self._watching: asyncio.Task[None] | None = None
        self._doubted = asyncio.Event()
        """Set by a call that got no answer: whether the process still lists its tools says whether it is well."""

    @property
    def name(self) -> str:
        return self._name

    @property
    def tools(self) -> tuple[Tool[..., Any], ...]:
        return self._tools

    def problem(self) -> str:
        return self.missing or "; ".join(filter(None, [self._problem, *self._left_out]))

    async def startup(self) -> None:
        if self.missing:
            return
        listed = asyncio.Event()
        self._watching = asyncio.create_task(self._watch(listed))
        with suppress(TimeoutError):
            async with asyncio.timeout(_AT_START):
                await listed.wait()

    async def shutdown(self) -> None:
        watching, self._watching = self._watching, None
        if watching is not None:
            watching.cancel()
            await asyncio.wait([watching])

    async def _watch(self, listed: asyncio.Event) -> None:
        """Keeps the connection and the list. `listed` is set when it was tried first."""
        async with self._target.channel() as channel:
            self._stub = tool_pb2_grpc.ToolServiceStub(channel)
            pause = _FIRST_PAUSE
            while True:
                is_there = await self._list()
                listed.set()
                if is_there:
                    pause = _FIRST_PAUSE
                    self._doubted.clear()
                    await self._while_there(channel)
                else:
                    await asyncio.sleep(pause)
                    pause = min(pause * 2, _LONGEST_PAUSE)

    async def _while_there(self, channel: grpc.aio.Channel) -> None:
        """Until the connection is lost, or a call has got no answer."""
        while (state := channel.get_state()) is grpc.ChannelConnectivity.READY:
            doubted = asyncio.create_task(self._doubted.wait())
            changed = asyncio.ensure_future(channel.wait_for_state_change(state))
            try:
                await asyncio.wait((doubted, changed), return_when=asyncio.FIRST_COMPLETED)
            finally:
                doubted.cancel()
                changed.cancel()
            if self._doubted.is_set():
                await asyncio.sleep(_FIRST_PAUSE)
                return

    async def _list(self) -> bool:
        asked = tool_pb2.ListToolsRequest(agent=self._target.agent)
        try:
            answer = await self._stub.ListTools(asked, timeout=_AT_START, metadata=self._target.metadata)
        except grpc.aio.AioRpcError as error:
            self._problem = self._said(error)
            return False
        tools, self._left_out = [], []
        for tool in answer.tools:
            schema = _schema(tool.parameters_json)
            name = self._prefix + tool.name
            if schema is None or not _NAME.fullmatch(name):
                why = "its parameters are no JSON schema of an object" if schema is None else "it is no name for a tool"
                self._left_out.append(f"{shortened(name, 64)} is left out: {why}")
                continue
            call = partial(self._call, tool.name)
            tools.append(_tool(name, tool.description, schema, call))
        self._tools, self._problem = tuple(tools), ""
        return True

    async def _call(self, tool: str, arguments: dict[str, Any], call: Call) -> Any:
        metadata = [*self._target.metadata, ("idempotency-key", call.key)]
        if call.traceparent:
            metadata.append(("traceparent", call.traceparent))
        seconds = min(self._timeout, call.time_left)
        asked = tool_pb2.InvokeToolRequest(
            name=tool, arguments_json=json.dumps(arguments, ensure_ascii=True), agent=self._target.agent
        )
        try:
            answer = await self._stub.InvokeTool(asked, timeout=seconds, metadata=metadata)
        except grpc.aio.AioRpcError as error:
            if error.code() in _CODES and seconds == self._timeout:
                self._problem = self._said(error)
                if error.code() in _AWAY:
                    self._doubted.set()
            code = _CODES.get(error.code(), error.code().name.lower())
            raise ToolError(f"{self._name}: {self._said(error)}", code=code) from None
        self._problem = ""
        return self._result(answer.call)

    def _result(self, done: Any) -> Any:
        try:
            result = json.loads(done.result_json) if done.result_json else None
        except (ValueError, RecursionError):
            told = self._secrets.hidden_in(shortened(done.result_json))
            raise ToolError(f"{self._name}: its result is no JSON: {told}", code="bad_answer") from None
        if not done.ok:
            error = result.get("error") if isinstance(result, dict) else None
            known = error if isinstance(error, dict) else {}
            message = self._secrets.hidden_in(shortened(str(known.get("message") or "it failed and does not say why")))
            raise ToolError(f"{self._name}: {message}", code=shortened(str(known.get("type") or "failed"), 64))
        size = len(done.result_json.encode())
        return result if size <= self._max_bytes else beginning(done.result_json, str(size), self._max_bytes)

    def _said(self, error: grpc.aio.AioRpcError) -> str:
        details = self._secrets.hidden_in(shortened(error.details() or ""))
        return f"{self._target.url}: {error.code().name}: {details}".rstrip(": ")


def _tool(name: str, description: str, schema: dict[str, Any], invoke: Any) -> Tool[..., Any]:
    async def call(arguments: dict[str, Any], call: Call) -> Any:
        return await invoke(arguments, call)

    return Tool.described(name, call, description=description, parameters=schema)


def _schema(text: str) -> dict[str, Any] | None:
    """None for what is none."""
    try:
        schema = json.loads(text) if text else {}
    except (ValueError, RecursionError):
        return None
    if not isinstance(schema, dict) or schema.get("type", "object") != "object":
        return None
    made = {"type": "object", "properties": {}, **schema}
    properties, required = made["properties"], made.get("required", [])
    is_one = isinstance(properties, dict) and all(isinstance(one, dict | bool) for one in properties.values())
    return made if is_one and isinstance(required, list) else None
