"""What every RPC goes through: who calls, what it is called in the log, how it fails, how long it takes."""

import logging
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from time import perf_counter
from typing import Any, TypeAlias

import grpc

from greenroom.core.errors import GreenroomError
from greenroom.core.rpc import callers
from greenroom.core.rpc.meters import Meters
from greenroom.core.rpc.status import DETAILS_KEY, code_of, to_status, unexpected

_log = logging.getLogger(__name__)
Context = grpc.aio.ServicerContext[Any, Any]
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any] | None"  # generic in the stubs alone


class Door(grpc.aio.ServerInterceptor):
    """Authenticates, times, logs and meters each call, and renders its errors."""

    def __init__(self, keys: callers.Authenticate | None, meters: Meters) -> None:
        self._keys = keys
        self._meters = meters

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler:
        handler: Any = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or method not in callers.SCOPES:
            return handler  # type: ignore[no-any-return]
        metadata = dict(handler_call_details.invocation_metadata or ())
        serializers = (handler.request_deserializer, handler.response_serializer)
        if handler.request_streaming and handler.response_streaming:
            return grpc.stream_stream_rpc_method_handler(
                self._streaming(method, metadata, handler.stream_stream), *serializers
            )
        if handler.response_streaming:
            return grpc.unary_stream_rpc_method_handler(
                self._streaming(method, metadata, handler.unary_stream), *serializers
            )
        return grpc.unary_unary_rpc_method_handler(self._unary(method, metadata, handler.unary_unary), *serializers)

    def _unary(self, method: str, metadata: dict[str, Any], behaviour: Any) -> Any:
        async def call(request: Any, context: Context) -> Any:
            async with self._open(method, metadata, context):
                return await behaviour(request, context)

        return call

    def _streaming(self, method: str, metadata: dict[str, Any], behaviour: Any) -> Any:
        async def call(request: Any, context: Context) -> AsyncIterator[Any]:
            async with self._open(method, metadata, context):
                async for response in behaviour(request, context):
                    yield response

        return call

    @asynccontextmanager
    async def _open(self, method: str, metadata: dict[str, Any], context: Context) -> AsyncIterator[None]:
        started = perf_counter()
        try:
            callers.current.set(callers.identify(method, metadata, context, self._keys))
            yield
        except GreenroomError as error:
            await self._fail(method, metadata, context, error, started)
        except (grpc.aio.AbortError, grpc.aio.UsageError):
            raise
        except Exception:
            _log.exception("%s failed, request %s", method, _request_id(metadata))
            await self._fail(method, metadata, context, unexpected(), started)
        else:
            self._done(method, metadata, context, "OK", started)

    async def _fail(
        self, method: str, metadata: dict[str, Any], context: Context, error: GreenroomError, started: float
    ) -> None:
        self._done(method, metadata, context, error.status, started)
        trailing = ((DETAILS_KEY, to_status(error).SerializeToString()),)
        await context.abort(code_of(error), error.message, trailing)

    def _done(self, method: str, metadata: dict[str, Any], context: Context, code: str, started: float) -> None:
        took = perf_counter() - started
        self._meters.rpc(method, code, took)
        facts = {
            "method": method.removeprefix("/greenroom.v1."),
            "code": code,
            "duration_ms": round(took * 1000, 3),
            "request_id": _request_id(metadata),
        }
        _log.log(logging.DEBUG if callers.is_local_edge(context) else logging.INFO, "rpc", extra=facts)


def _request_id(metadata: dict[str, Any]) -> str:
    return str(metadata.get("x-request-id") or "-")


def new_request_id() -> str:
    """For a turn whose caller gave none."""
    return "req_" + secrets.token_hex(12)
