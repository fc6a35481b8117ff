"""What can be wrong with a model's answer, in words that quote nothing of it."""

from dataclasses import dataclass

from pydantic_ai import exceptions

from greenroom.agents.too_long import is_too_long

_TABLE: tuple[tuple[type[Exception], str, bool], ...] = (
    (exceptions.ModelRateLimitError, "rate_limited", True),
    (exceptions.ModelQuotaExceededError, "quota_exceeded", False),
    (exceptions.ModelUnavailableError, "unavailable", True),
    (exceptions.ModelServerError, "server_error", True),
    (exceptions.ModelTimeoutError, "timeout", True),
    (exceptions.ModelRequestTimeout, "timeout", True),
    (TimeoutError, "timeout", True),
    (exceptions.ModelConnectionError, "connection", True),
    (exceptions.ModelAuthenticationError, "unauthorized", False),
    (exceptions.ModelNotFoundError, "no_such_model", False),
    (exceptions.ModelContextWindowExceededError, "too_long", False),
    (exceptions.ModelRequestRejectedError, "refused_request", False),
    (exceptions.ModelAPIError, "broken_answer", True),
    (exceptions.UnexpectedModelBehavior, "broken_answer", True),
)
"""The first that fits, from the special to the general. The last column: whether it is worth asking again."""


@dataclass(slots=True)
class Problem(Exception):
    """A request that came to no answer. `reason` is one of docs/llm-agent.md's."""

    reason: str
    again: bool
    retry_after: float | None = None
    status: int | None = None

    @property
    def is_models(self) -> bool:
        """Whether it says something of the model, and not of what it was asked."""
        return self.reason not in ("too_long", "refused_request")

    @property
    def is_down(self) -> bool:
        """Whether the model can be asked by nobody now."""
        return self.reason in ("unavailable", "server_error", "timeout", "connection", "unauthorized")

    def __str__(self) -> str:
        return f"{self.reason} ({self.status})" if self.status else self.reason


def problem_of(error: Exception) -> Problem:
    """What an exception of the model's client comes to. One that no client is known to raise is an answer that it could not
    read."""
    if isinstance(error, exceptions.ModelHTTPError) and is_too_long(error.status_code, error.body):
        return Problem("too_long", again=False, status=error.status_code)
    for kind, reason, again in _TABLE:
        if isinstance(error, kind):
            return Problem(reason, again, getattr(error, "retry_after", None), getattr(error, "status_code", None))
    return Problem("broken_answer", again=True)
