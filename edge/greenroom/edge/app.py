"""The ASGI app, put together."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match
from starlette.types import Receive, Scope, Send

from greenroom.edge.access import CHAT_PATH, Access
from greenroom.edge.errors import BAD_REQUEST, BY_STATUS, SERVER_ERROR, EdgeError
from greenroom.edge.exchange import exchange_of
from greenroom.edge.gate import Gate
from greenroom.edge.health import HealthMonitor
from greenroom.edge.meters import Meters
from greenroom.edge.openapi import document
from greenroom.edge.options import EdgeOptions
from greenroom.edge.principal import Authenticate
from greenroom.edge.rate_limit import LocalRateLimiter, RateLimiter
from greenroom.edge.recorder import Recorder
from greenroom.edge.refusals import Refusals
from greenroom.edge.request_log import RequestLog
from greenroom.edge.routes.chat import ChatEndpoint, add_chat_route
from greenroom.edge.routes.health import add_health_routes
from greenroom.edge.routes.models import add_model_routes
from greenroom.edge.routes.sessions import add_session_routes
from greenroom.edge.routes.users import add_user_routes
from greenroom.edge.service import Service


class EdgeApp(FastAPI):
    """FastAPI inside the gate: a chat request does not pass through FastAPI at all."""

    def __init__(self, service: Service, gate: Gate, **settings: Any) -> None:
        super().__init__(**settings)
        self._gate = gate.around(super().__call__)
        self.state.drain = service.drain
        """To be called when the process is asked to end: new turns get 503, health turns unhealthy (GRPC-04)."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._gate(scope, receive, send)

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            self.openapi_schema = document(super().openapi())
        return self.openapi_schema


def create_app(options: EdgeOptions, authenticate: Authenticate | None, limiter: RateLimiter | None = None) -> EdgeApp:
    """The edge as an ASGI app. Without `authenticate` every request is admitted (mind `HttpOptions.loopback_only`).

    `limiter` replaces the one in this process, so that replicas can share theirs.
    """
    service = Service(options)
    log = RequestLog(options.log) if options.log is not None else None
    meters = Meters(service.pending)
    recorder = Recorder(log, meters)
    monitor = HealthMonitor(service, meters, options.health_interval)
    if limiter is None and options.http.rate_limit is not None:
        limiter = LocalRateLimiter(options.http.rate_limit)

    @asynccontextmanager
    async def running(_: FastAPI) -> AsyncIterator[None]:
        service.start()
        monitor.start()
        try:
            yield
        finally:
            service.drain()
            await monitor.close()
            await service.close()
            await recorder.close()

    refusals = Refusals((*options.http.session_headers, *options.http.transcript_headers))
    chat = ChatEndpoint(service, options.http, refusals)
    gate = Gate(
        Access(authenticate, limiter, loopback_only=options.http.loopback_only),
        recorder,
        refusals,
        {("POST", CHAT_PATH): chat},
        options.http.cors_origins,
    )
    app = EdgeApp(
        service,
        gate,
        title="Greenroom",
        version=options.version,
        description="Hosts a chat agent where simulated users can reach it.",
        lifespan=running,
        redirect_slashes=False,
        redoc_url=None,
        exception_handlers=dict(_HANDLERS),
    )
    add_chat_route(app, chat)
    add_model_routes(app, service)
    add_user_routes(app, service, options.http)
    add_session_routes(app, service, options.http)
    add_health_routes(app, monitor, meters, recorder)
    return app


async def _edge_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, EdgeError)
    return _answer(request, error)


async def _http_error(request: Request, error: Exception) -> Response:
    """What routing finds: 404 and 405."""
    assert isinstance(error, HTTPException)
    response = _answer(request, EdgeError(BY_STATUS.get(error.status_code, SERVER_ERROR)))
    if error.status_code == 405:
        routes = [route for route in request.app.routes if route.matches(request.scope)[0] is not Match.NONE]
        response.headers["allow"] = ", ".join(sorted({method for route in routes for method in route.methods}))
    return response


async def _validation_error(request: Request, error: Exception) -> Response:
    """A path or query parameter is wrong: 400, never 422 (ERR-02)."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    name = str(first["loc"][-1])
    return _answer(request, EdgeError(BAD_REQUEST, f"`{name}`: {first['msg']}", param=name))


async def _unexpected(request: Request, _: Exception) -> Response:
    """ERR-04: a fixed message; the gate logs the rest."""
    return _answer(request, EdgeError(SERVER_ERROR))


def _answer(request: Request, error: EdgeError) -> Response:
    response = Response(
        error.body(exchange_of(request.scope).request_id), error.row.status, media_type="application/json"
    )
    response.raw_headers.extend(error.headers())
    return response


_HANDLERS: Mapping[type[Exception], Callable[[Request, Exception], Awaitable[Response]]] = {
    EdgeError: _edge_error,
    HTTPException: _http_error,
    RequestValidationError: _validation_error,
    Exception: _unexpected,
}
