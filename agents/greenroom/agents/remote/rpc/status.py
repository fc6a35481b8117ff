"""gRPC statuses of a remote agent, and what each comes to here. Their texts stay in the log and the evidence."""

from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2
from grpc import StatusCode
from grpc.aio import AioRpcError

from greenroom.agents.remote.failure import RemoteFailed, shortened
from greenroom.sdk import AgentUnavailable

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
_DETAILS_KEY = "grpc-status-details-bin"


def failure_of(error: AioRpcError, where: str) -> AgentUnavailable | RemoteFailed:
    """What to raise for a call that failed."""
    said = f"{where}: {error.code().name}: {shortened(error.details() or '')}"
    if error.code() in DOWN:
        return AgentUnavailable(said, retry_after=_retry_after(error))
    return RemoteFailed(said)


def _retry_after(error: AioRpcError) -> float:
    """What a `RetryInfo` asks for, within a minute; else a second."""
    packed = dict(error.trailing_metadata() or ()).get(_DETAILS_KEY)
    if isinstance(packed, bytes):
        status, retry = status_pb2.Status(), error_details_pb2.RetryInfo()
        try:
            status.ParseFromString(packed)
            if any(detail.Unpack(retry) for detail in status.details):
                return min(max(float(retry.retry_delay.ToMilliseconds()) / 1000, 0.0), _LONGEST)
        except DecodeError:
            pass
    return 1.0
