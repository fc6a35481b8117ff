"""How the cold routes read and answer: typed JSON in, free JSON out as it is stored."""

from typing import Any, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from greenroom.edge import strict_json
from greenroom.edge.body import read_json
from greenroom.edge.exchange import exchange_of

_Body = TypeVar("_Body")


async def read_body(request: Request, decoder: msgspec.json.Decoder[_Body], limit: int) -> _Body:
    """The request's JSON, or 400, 413, 415."""
    exchange = exchange_of(request.scope)
    body = await read_json(request.scope, request.receive, exchange, limit)
    exchange.request_body = body
    return strict_json.parse(body, decoder)


def json_answer(value: Any, status: int = 200) -> Response:
    """`value` may hold `msgspec.Raw`: written as it is."""
    return Response(msgspec.json.encode(value), status, media_type="application/json")
