"""Reading a request's body, bounded (ERR-02)."""

from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope

from greenroom.edge.errors import BODY_TOO_LARGE, WRONG_MEDIA_TYPE, EdgeError, bad_request
from greenroom.edge.exchange import Exchange

DISCARD_FACTOR = 16
"""How many times the limit is read and thrown away, so that the sender gets to see its 413 and keeps its connection."""


async def read_json(scope: Scope, receive: Receive, exchange: Exchange, limit: int) -> bytes:
    """The body of a request that must be JSON. Raises 413, 415, or 400 for two content types."""
    if len(exchange.headers) != len(scope["headers"]):
        _check_single(scope, b"content-type")
    content_type = exchange.headers.get(b"content-type")
    if content_type != b"application/json" and content_type is not None:
        _check_content_type(content_type)
    body = await _read(receive, limit, exchange)
    exchange.received = len(body)
    return body


async def read_small(receive: Receive, exchange: Exchange, limit: int) -> bytes | None:
    """The body of a request that is refused whatever it holds; None when it is larger than `limit`, or its sender has left."""
    length = exchange.headers.get(b"content-length", b"0")
    if not length.isdigit() or int(length[:20]) > limit:
        return None
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        chunk: bytes = message.get("body", b"")
        size += len(chunk)
        if size > limit or message["type"] == "http.disconnect":
            return None
        chunks.append(chunk)
        if not message.get("more_body"):
            exchange.received = size
            return b"".join(chunks)


async def _read(receive: Receive, limit: int, exchange: Exchange) -> bytes:
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        chunk: bytes = message.get("body", b"")
        size += len(chunk)
        if size <= limit:
            chunks.append(chunk)
        elif size > limit * DISCARD_FACTOR and message.get("more_body"):
            exchange.out_headers.append((b"connection", b"close"))
            raise _too_large(limit)
        if not message.get("more_body"):
            break
    if size > limit:
        raise _too_large(limit)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _too_large(limit: int) -> EdgeError:
    return EdgeError(BODY_TOO_LARGE, f"The request body is larger than {limit} bytes")


def _check_content_type(value: bytes) -> None:
    kind, _, parameters = value.decode("latin-1").lower().partition(";")
    kind = kind.strip()
    if "," in kind:
        raise bad_request("The request has two content types", "Content-Type")
    if kind != "application/json" and not (kind.startswith("application/") and kind.endswith("+json")):
        raise EdgeError(WRONG_MEDIA_TYPE)
    for parameter in parameters.split(";"):
        name, _, setting = parameter.partition("=")
        if name.strip() == "charset" and setting.strip(' "') not in {"utf-8", "utf8", "us-ascii"}:
            raise EdgeError(WRONG_MEDIA_TYPE, "JSON must be sent as UTF-8")


def _check_single(scope: Scope, name: bytes) -> None:
    if sum(key == name for key, _ in scope["headers"]) > 1:
        raise bad_request(f"The request has two headers {name.decode()}", name.decode())
