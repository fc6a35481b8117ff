"""Our errors as `google.rpc.Status`, and nowhere else (ERR-05)."""

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2

from greenroom.core.errors import GreenroomError

DOMAIN = "greenroom.dev"
DETAILS_KEY = "grpc-status-details-bin"

CODES: dict[str, grpc.StatusCode] = {code.name: code for code in grpc.StatusCode}


class _Unexpected(GreenroomError):
    """What a failure that nobody foresaw looks like from outside (ERR-04)."""


def unexpected() -> GreenroomError:
    return _Unexpected("Internal server error")


def code_of(error: GreenroomError) -> grpc.StatusCode:
    return CODES[error.status]


def to_status(error: GreenroomError) -> status_pb2.Status:
    """`ErrorInfo` always; `BadRequest` where a field is to blame; `RetryInfo` where waiting helps."""
    number: int = code_of(error).value[0]
    info = error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN)
    info.metadata["retryable"] = "true" if error.retryable else "false"
    status = status_pb2.Status(code=number, message=error.message, details=[_packed(info)])
    if error.field is not None:
        violation = error_details_pb2.BadRequest.FieldViolation(field=error.field, description=error.message)
        status.details.append(_packed(error_details_pb2.BadRequest(field_violations=[violation])))
    if error.retry_after is not None:
        delay = duration_pb2.Duration()
        delay.FromMilliseconds(int(error.retry_after * 1000))
        status.details.append(_packed(error_details_pb2.RetryInfo(retry_delay=delay)))
    return status


def _packed(
    message: error_details_pb2.ErrorInfo | error_details_pb2.BadRequest | error_details_pb2.RetryInfo,
) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(message)
    return packed
