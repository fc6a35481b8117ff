"""The core's `/metrics` over HTTP (HEALTH-04): a listener of its own, since gRPC has no place for it."""

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app

from greenroom.cli.exposure import shown
from greenroom.cli.keys import KeyRing
from greenroom.cli.process import CannotStart

WsgiApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


@contextlib.contextmanager
def serve_metrics(host: str, port: int, registry: CollectorRegistry, keys: KeyRing | None) -> Iterator[str]:
    """Answers in a thread as long as the context lasts; yields `host:port`."""
    try:
        server = make_server(host, port, _guarded(make_wsgi_app(registry), keys), handler_class=_Silent)
    except OSError as problem:
        raise CannotStart(f"metrics_port: cannot listen on {shown(host, port)}: {problem.strerror}") from None
    thread = threading.Thread(target=server.serve_forever, args=(0.1,), name="metrics", daemon=True)
    thread.start()
    try:
        yield shown(host, server.server_port)
    finally:
        server.shutdown()
        server.server_close()


def _guarded(app: Any, keys: KeyRing | None) -> WsgiApp:
    def answer(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        if environ.get("PATH_INFO") != "/metrics":
            start("404 Not Found", [("Content-Type", "text/plain")])
            return [b"not found\n"]
        if keys is not None:
            scheme, _, token = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
            principal = keys.authenticate(token.strip()) if scheme.lower() == "bearer" else None
            if principal is None or "inspect" not in principal.scopes:
                start("401 Unauthorized", [("Content-Type", "text/plain"), ("WWW-Authenticate", "Bearer")])
                return [b"a key with scope inspect is needed\n"]
        answered: Iterable[bytes] = app(environ, start)
        return answered

    return answer


class _Silent(WSGIRequestHandler):
    """Scrapes are not worth a line each."""

    def log_message(self, format: str, *args: Any) -> None:
        return
