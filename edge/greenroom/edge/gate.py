"""The one middleware: request id, key, limit, timing, log line, metrics (SEC-04, SEC-06, SEC-07). Pure ASGI."""

import logging
from collections.abc import Mapping

from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from greenroom.edge.access import Access
from greenroom.edge.errors import SERVER_ERROR, EdgeError, Refused
from greenroom.edge.exchange import SCOPE_KEY, Exchange
from greenroom.edge.identifiers import minting
from greenroom.edge.recorder import Recorder
from greenroom.edge.refusals import Refusals

CLIENT_LEFT = 499
"""In the log only: nobody was there to be answered."""

_log = logging.getLogger("greenroom.edge")


class Gate:
    """Around the whole app. `hot` are (method, path) that skip the app's routing and go straight to their endpoint."""

    def __init__(
        self,
        access: Access,
        recorder: Recorder,
        refusals: Refusals,
        hot: Mapping[tuple[str, str], ASGIApp],
        cors_origins: tuple[str, ...] = (),
    ) -> None:
        self._access = access
        self._recorder = recorder
        self._refusals = refusals
        self._hot = hot
        self._mint = minting("req_")
        self._app: ASGIApp = self.admitted
        self._entry: ASGIApp = self.admitted
        if cors_origins:  # outside the check of keys, which a preflight has not, and around what that check answers
            self._entry = CORSMiddleware(
                self.admitted, cors_origins, allow_methods=["*"], allow_headers=["*"], expose_headers=["*"]
            )

    def around(self, app: ASGIApp) -> "Gate":
        """Stands in front of `app` from now on."""
        self._app = app
        return self

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = Exchange(scope, self._mint)
        scope[SCOPE_KEY] = exchange
        bodies = self._recorder.bodies
        if bodies:
            exchange.response_body = []

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                exchange.status = message["status"]
                message["headers"] = [*message.get("headers", ()), *exchange.out_headers]
            else:
                body = message.get("body", b"")
                exchange.sent += len(body)
                if exchange.response_body is not None:
                    exchange.response_body.append(body)
            await send(message)

        try:
            await self._entry(scope, receive, answer)
        finally:
            if not exchange.route:
                exchange.route = getattr(scope.get("route"), "path", "unmatched")
            self._recorder.record(exchange)

    async def admitted(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The outermost handler: whatever goes wrong further in is answered in the one shape (ERR-01, ERR-04)."""
        exchange: Exchange = scope[SCOPE_KEY]
        try:
            await self._access.admit(scope, exchange)
            await self._hot.get((exchange.method, exchange.path), self._app)(scope, receive, send)
        except EdgeError as error:
            if isinstance(error, Refused):
                await self._refusals.note(exchange, receive)
            await send_error(error, exchange, send)
        except ClientDisconnect:
            exchange.status = CLIENT_LEFT
        except Exception:
            _log.exception("request %s failed", exchange.request_id)
            if not exchange.status:
                await send_error(EdgeError(SERVER_ERROR), exchange, send)


async def send_error(error: EdgeError, exchange: Exchange, send: Send) -> None:
    """Answers with the envelope."""
    body = error.body(exchange.request_id)
    await send_json(send, error.row.status, body, error.headers())


async def send_json(send: Send, status: int, body: bytes, headers: list[tuple[bytes, bytes]]) -> None:
    """Answers with a JSON body, in two ASGI messages."""
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [
                (b"content-type", b"application/json"),
                (b"content-length", b"%d" % len(body)),
                *headers,
            ],
        }
    )
    await send({"type": "http.response.body", "body": body})
