"""The one table from gRPC's codes to what HTTP clients see (ERR-01, ERR-03, ERR-05).

Every failure of the edge is an `EdgeError` on one of the rows below; what the core reports is turned into one by
`from_status` and `from_rpc_error`. A row's `message` stands in where the text is not ours to show.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import grpc
import msgspec
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2

DOMAIN = "greenroom.dev"
Header = tuple[bytes, bytes]


@dataclass(frozen=True, slots=True)
class ErrorRow:
    """One kind of failure, as HTTP tells it."""

    status: int
    type: str
    code: str
    message: str


BAD_REQUEST = ErrorRow(400, "invalid_request_error", "bad_request", "Invalid request format")
UNAUTHENTICATED = ErrorRow(401, "authentication_error", "invalid_api_key", "A valid API key is required")
FORBIDDEN = ErrorRow(403, "permission_error", "missing_scope", "This key may not do that")
NOT_FOUND = ErrorRow(404, "not_found_error", "not_found", "Not found")
METHOD_NOT_ALLOWED = ErrorRow(405, "invalid_request_error", "method_not_allowed", "Method not allowed")
CONFLICT = ErrorRow(409, "conflict_error", "conflict", "The session is not in the state for this")
BODY_TOO_LARGE = ErrorRow(413, "invalid_request_error", "body_too_large", "The request body is too large")
WRONG_MEDIA_TYPE = ErrorRow(
    415, "invalid_request_error", "unsupported_media_type", "The content type must be application/json"
)
RATE_LIMITED = ErrorRow(429, "rate_limit_error", "rate_limit_exceeded", "Rate limit exceeded")
SERVER_ERROR = ErrorRow(500, "internal_error", "server_error", "Internal server error")
OVERLOADED = ErrorRow(503, "overloaded_error", "overloaded", "The server is not available, try again later")
TIMEOUT = ErrorRow(504, "timeout_error", "timeout", "The turn took too long")

TABLE: Mapping[grpc.StatusCode, ErrorRow] = {
    grpc.StatusCode.CANCELLED: OVERLOADED,
    grpc.StatusCode.UNKNOWN: SERVER_ERROR,
    grpc.StatusCode.INVALID_ARGUMENT: BAD_REQUEST,
    grpc.StatusCode.DEADLINE_EXCEEDED: TIMEOUT,
    grpc.StatusCode.NOT_FOUND: NOT_FOUND,
    grpc.StatusCode.ALREADY_EXISTS: CONFLICT,
    grpc.StatusCode.PERMISSION_DENIED: FORBIDDEN,
    grpc.StatusCode.RESOURCE_EXHAUSTED: RATE_LIMITED,
    grpc.StatusCode.FAILED_PRECONDITION: CONFLICT,
    grpc.StatusCode.ABORTED: CONFLICT,
    grpc.StatusCode.OUT_OF_RANGE: BAD_REQUEST,
    grpc.StatusCode.UNIMPLEMENTED: SERVER_ERROR,
    grpc.StatusCode.INTERNAL: SERVER_ERROR,
    grpc.StatusCode.UNAVAILABLE: OVERLOADED,
    grpc.StatusCode.DATA_LOSS: SERVER_ERROR,
    grpc.StatusCode.UNAUTHENTICATED: UNAUTHENTICATED,
}
BY_STATUS: Mapping[int, ErrorRow] = {
    row.status: row for row in (*TABLE.values(), METHOD_NOT_ALLOWED, BODY_TOO_LARGE, WRONG_MEDIA_TYPE)
}
_BY_NUMBER = {code.value[0]: row for code, row in TABLE.items()}
_PARAMS: Mapping[str, str] = {"agent": "model", "origin.session_id": "from.session_id", "origin.turn": "from.turn"}
_Detail = TypeVar("_Detail", bound=Message)
_LEFT_ALONE = frozenset({"DRAINING", "AGENT_NOT_LOADED"})
"""Reasons of a core that has done nothing, and will not be there to say so."""
_WORTH_A_RETRY = frozenset({429, 500, 503})


class EdgeError(Exception):
    """A request's failure, ready to be told. `message` reaches the wire: it never quotes an exception or a secret."""

    def __init__(
        self,
        row: ErrorRow,
        message: str | None = None,
        *,
        code: str | None = None,
        param: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        self.row = row
        self.message = message or row.message
        super().__init__(self.message)
        self.code = code or row.code
        self.param = param
        self.retry_after = retry_after

    def body(self, request_id: str) -> bytes:
        """The envelope (ERR-01)."""
        error = {"message": self.message, "type": self.row.type, "code": self.code}
        if self.param:
            error["param"] = self.param
        return msgspec.json.encode({"error": {**error, "request_id": request_id}})

    def headers(self) -> list[Header]:
        """What tells a client whether and when to try again (ERR-03)."""
        status = self.row.status
        if status not in _WORTH_A_RETRY:
            headers: list[Header] = [(b"x-should-retry", b"false")]
            if status == UNAUTHENTICATED.status:
                headers.append((b"www-authenticate", b"Bearer"))
            return headers
        if status == SERVER_ERROR.status:
            return []
        wait = 1.0 if self.retry_after is None else self.retry_after
        return [
            (b"retry-after", b"%d" % min(60, max(1, math.ceil(wait)))),
            (b"retry-after-ms", b"%d" % min(60_000, max(1, math.ceil(wait * 1000)))),
        ]


class Refused(EdgeError):
    """What is refused now and perhaps not later: no core has begun with the request, nor will one know of it (CHAT-15)."""


def bad_request(message: str, param: str | None = None) -> EdgeError:
    """A field is wrong, in our own words."""
    return EdgeError(BAD_REQUEST, message, param=param)


def from_status(status: status_pb2.Status, *, resent: bool = False) -> EdgeError:
    """What the core says of one turn. `resent`: another core may have begun with it before."""
    row = _BY_NUMBER.get(status.code, SERVER_ERROR)
    if row is SERVER_ERROR:
        return EdgeError(row)
    info = _detail(status, error_details_pb2.ErrorInfo())
    if info is None or info.domain != DOMAIN:
        return EdgeError(row)
    fields = _detail(status, error_details_pb2.BadRequest())
    retry = _detail(status, error_details_pb2.RetryInfo())
    kind = Refused if info.reason in _LEFT_ALONE and not resent else EdgeError
    return kind(
        row,
        status.message,
        code=info.reason.lower(),
        param=_param(fields.field_violations[0].field) if fields and fields.field_violations else None,
        retry_after=retry.retry_delay.ToTimedelta().total_seconds() if retry else None,
    )


def _param(field: str) -> str:
    """A field of the core's, as JSON calls it."""
    return _PARAMS.get(field, field)


def from_rpc_error(error: grpc.aio.AioRpcError) -> EdgeError:
    """What a call to the core ended with. gRPC's own texts (addresses, sockets) are not shown."""
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            status = status_pb2.Status()
            try:
                status.ParseFromString(value if isinstance(value, bytes) else value.encode("latin-1"))
            except DecodeError:
                break
            return from_status(status)
    return EdgeError(TABLE.get(error.code(), SERVER_ERROR))


def is_ours(error: grpc.aio.AioRpcError) -> bool:
    """Whether the core itself said so, rather than the connection."""
    return any(key == "grpc-status-details-bin" for key, _ in error.trailing_metadata() or ())


def _detail(status: status_pb2.Status, into: _Detail) -> _Detail | None:
    for detail in status.details:
        if detail.Unpack(into):
            return into
    return None


def published(row: ErrorRow) -> dict[str, Any]:
    """A row as an example body."""
    return {"error": {"message": row.message, "type": row.type, "code": row.code}}
