"""gRPC statuses of a remote agent, and what each comes to here. Their texts stay in the log and the evidence."""

import re
from dataclasses import dataclass

from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2
from grpc import StatusCode
from grpc.aio import AioRpcError

from greenroom.agents.remote.failure import RemoteFailed
from greenroom.sdk import AgentUnavailable, ConversationTooLong
from greenroom.tools.excerpt import shortened

DOWN = frozenset(
    {
        StatusCode.UNAVAILABLE,
        StatusCode.RESOURCE_EXHAUSTED,
        StatusCode.DEADLINE_EXCEEDED,
        StatusCode.ABORTED,
        StatusCode.UNAUTHENTICATED,
        StatusCode.PERMISSION_DENIED,
    }
)
"""It is down, overloaded, late, or does not let us in: another try may help, now or once somebody has seen to it. All others
say that the agent failed."""

_LONGEST = 60.0
_SMALL = 1024 * 1024
_NO_ROOM = frozenset({StatusCode.RESOURCE_EXHAUSTED, StatusCode.OUT_OF_RANGE})
_TOO_LARGE = re.compile(r"larger than max|exceeds (the )?maximum|length too large", re.IGNORECASE)
"""What gRPC's libraries say for an agent that takes no message of this size (4 MiB are the most, unless it says otherwise):
those of C, Go and Node, of Java and .NET, of Rust."""
_DETAILS_KEY = "grpc-status-details-bin"


_CODES = {code.value[0]: code for code in StatusCode}


@dataclass(slots=True)
class CallFailed(Exception):
    """What a turn came to that was not answered. `status` has the details, if there are any."""

    code: StatusCode
    said: str
    status: status_pb2.Status
    lost: bool = False
    """Its connection broke: the agent has refused nothing."""
    of_no_stream: bool = False
    """The stream that it was asked over never was one: it is to be asked with a call."""


def of_call(error: AioRpcError, *, lost: bool, of_no_stream: bool = False) -> CallFailed:
    """A call's own end."""
    packed = dict(error.trailing_metadata() or ()).get(_DETAILS_KEY)
    status = status_pb2.Status()
    if isinstance(packed, bytes):
        try:
            status.ParseFromString(packed)
        except DecodeError:
            status.Clear()
    return CallFailed(error.code(), error.details() or "", status, lost, of_no_stream)


def of_turn(status: status_pb2.Status) -> CallFailed:
    """The end of one turn of a stream."""
    return CallFailed(_CODES.get(status.code, StatusCode.UNKNOWN), status.message, status)


def failure_of(failed: CallFailed, where: str, size: int) -> AgentUnavailable | ConversationTooLong | RemoteFailed:
    """What to raise for it. `size` is the request's, in bytes."""
    said = f"{where}: {failed.code.name}: {shortened(failed.said)}"
    if size > _SMALL and failed.code in _NO_ROOM and _TOO_LARGE.search(failed.said):
        return ConversationTooLong(said)
    if failed.code in DOWN:
        return AgentUnavailable(said, retry_after=_retry_after(failed.status))
    return RemoteFailed(said)


def _retry_after(status: status_pb2.Status) -> float:
    """What a `RetryInfo` asks for, within a minute; else a second."""
    retry = error_details_pb2.RetryInfo()
    try:
        if any(detail.Unpack(retry) for detail in status.details):
            return min(max(float(retry.retry_delay.ToMilliseconds()) / 1000, 0.0), _LONGEST)
    except DecodeError:
        pass
    return 1.0
