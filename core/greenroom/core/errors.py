"""Everything that can go wrong with a request, once.

Each class says on itself what the outside may know: `status` (a gRPC code's name), `reason` (upper snake case, stable), and
whether a retry can help. `core/rpc/status.py` renders it for gRPC, `edge/errors.py` renders that for HTTP.

    GreenroomError
    ├── InvalidRequest          a field is wrong; `field` names it
    │   ├── LimitExceeded       a bound of SEC-08 was passed
    │   └── ContextExceeded     the conversation is longer than what the agent asks takes
    ├── Unauthenticated         no key, or an unknown one
    ├── PermissionDenied        the key lacks the scope
    ├── NotFound
    │   ├── SessionNotFound · TurnNotFound · UserNotFound · ToolNotFound · AgentNotFound
    ├── Conflict                the request is fine, the session is not in the state for it
    │   ├── UserMismatch · SessionClosed · SessionFull · SessionDeleted · StreamBroken · UserExists
    │   └── IdempotencyMismatch · NotRecorded
    ├── SessionBusy             too many turns wait for this session
    ├── Unavailable             try again later; nothing was stored
    │   ├── Overloaded · Draining · NotLoaded · StoreUnavailable · AgentDown
    ├── TurnTimeout             the turn's deadline passed
    ├── TurnCancelled           its caller went away
    └── AgentFailed             the agent raised; its text stays in the log
"""

from typing import ClassVar

_MESSAGE_LENGTH = 500


class GreenroomError(Exception):
    """A failure the caller is told about. `message` reaches the wire: it never quotes an exception, a path or a secret."""

    status: ClassVar[str] = "INTERNAL"
    reason: ClassVar[str] = "SERVER_ERROR"
    retryable: ClassVar[bool] = False
    """Whether the same request may succeed later."""
    retry_after: float | None = None
    """Seconds after which it is worth another try."""

    def __init__(self, message: str, *, field: str | None = None) -> None:
        if len(message) > _MESSAGE_LENGTH:  # it quotes the request; gRPC carries 16 KiB of status at most
            message = message[: _MESSAGE_LENGTH - 1] + "…"
        super().__init__(message)
        self.message = message
        self.field = field


class InvalidRequest(GreenroomError):
    status = "INVALID_ARGUMENT"
    reason = "BAD_REQUEST"


class LimitExceeded(InvalidRequest):
    reason = "LIMIT_EXCEEDED"


class ContextExceeded(InvalidRequest):
    """As OpenAI's clients know it. What was said of it stays in the log."""

    reason = "CONTEXT_LENGTH_EXCEEDED"

    def __init__(self) -> None:
        super().__init__("The conversation is too long for the agent", field="messages")


class Unauthenticated(GreenroomError):
    status = "UNAUTHENTICATED"
    reason = "INVALID_API_KEY"


class PermissionDenied(GreenroomError):
    status = "PERMISSION_DENIED"
    reason = "MISSING_SCOPE"


class NotFound(GreenroomError):
    status = "NOT_FOUND"
    reason = "NOT_FOUND"


class SessionNotFound(NotFound):
    reason = "SESSION_NOT_FOUND"


class TurnNotFound(NotFound):
    reason = "TURN_NOT_FOUND"


class UserNotFound(NotFound):
    reason = "USER_NOT_FOUND"


class ToolNotFound(NotFound):
    reason = "TOOL_NOT_FOUND"


class AgentNotFound(NotFound):
    reason = "AGENT_NOT_FOUND"


class Conflict(GreenroomError):
    status = "FAILED_PRECONDITION"
    reason = "CONFLICT"


class UserMismatch(Conflict):
    reason = "USER_MISMATCH"


class SessionClosed(Conflict):
    reason = "SESSION_CLOSED"


class SessionFull(Conflict):
    reason = "SESSION_FULL"


class SessionDeleted(Conflict):
    status = "ABORTED"
    reason = "SESSION_DELETED"


class StreamBroken(Conflict):
    """What was told of a reply no longer holds: its turn would have to run anew, and might say something else."""

    status = "ABORTED"
    reason = "STREAM_BROKEN"
    retryable = True


class UserExists(Conflict):
    status = "ALREADY_EXISTS"
    reason = "USER_ALREADY_EXISTS"


class IdempotencyMismatch(Conflict):
    reason = "IDEMPOTENCY_KEY_REUSED"


class NotRecorded(Conflict):
    """A turn is replayed from a cassette, and asks what the cassette has no answer to."""

    reason = "NOT_RECORDED"


class SessionBusy(GreenroomError):
    status = "RESOURCE_EXHAUSTED"
    reason = "SESSION_BUSY"
    retryable = True
    retry_after = 1.0


class Unavailable(GreenroomError):
    status = "UNAVAILABLE"
    reason = "UNAVAILABLE"
    retryable = True
    retry_after = 1.0


class Overloaded(Unavailable):
    reason = "OVERLOADED"


class Draining(Unavailable):
    reason = "DRAINING"


class NotLoaded(Unavailable):
    """The agents cannot be loaded, and whoever is writing them is told why, where `message` may quote what they raised."""

    reason = "AGENT_NOT_LOADED"


class StoreUnavailable(Unavailable):
    reason = "DATABASE_UNAVAILABLE"


class AgentDown(Unavailable):
    """What the agent asks cannot be reached, or refuses; its text stays in the log."""

    reason = "AGENT_UNAVAILABLE"

    def __init__(self, retry_after: float) -> None:
        super().__init__("The agent is not available, try again later")
        self.retry_after = retry_after


class TurnTimeout(GreenroomError):
    status = "DEADLINE_EXCEEDED"
    reason = "TURN_TIMEOUT"


class TurnCancelled(GreenroomError):
    status = "CANCELLED"
    reason = "TURN_CANCELLED"


class AgentFailed(GreenroomError):
    status = "INTERNAL"
    reason = "AGENT_FAILED"
    retryable = True

    def __init__(self) -> None:
        super().__init__("Internal server error")
