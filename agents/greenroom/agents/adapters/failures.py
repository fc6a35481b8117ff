"""Which errors of a framework mean that what it asks is down, refuses or is overloaded, or takes no conversation as long."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from greenroom.agents.too_long import is_too_long, says_too_long
from greenroom.sdk import AgentUnavailable, ConversationTooLong

_CLIENTS = frozenset({
    "aiohttp", "anthropic", "botocore", "cohere", "crewai", "google", "groq", "httpcore", "httpx", "httpx2", "litellm",
    "mistralai", "ollama", "openai", "requests", "urllib3",
})  # fmt: skip
"""Packages through which a model is asked."""
_UNREACHED = frozenset({
    "APIConnectionError", "ClientConnectionError", "ConnectTimeout", "ConnectionError", "ConnectionTimeoutError",
    "EndpointConnectionError", "HTTPError", "NetworkError", "ServerTimeoutError", "Timeout", "TransportError",
})  # fmt: skip
"""Their errors where no answer came."""
_REFUSALS = frozenset({401, 402, 403, 404, 408, 409, 425, 429})
"""Statuses below 500 of an endpoint that does not serve us now; any other says that what we sent is wrong."""
_TOO_LONG = frozenset({"ContextWindowExceededError", "LLMContextLengthExceededError"})
"""Errors of LiteLLM and CrewAI that say so by their name."""


@contextmanager
def backend_failures() -> Iterator[None]:
    """Raises `AgentUnavailable` or `ConversationTooLong` for them; any other error goes on as it is."""
    try:
        yield
    except (AgentUnavailable, ConversationTooLong):
        raise
    except Exception as error:
        failure = failure_for(error)
        if failure is None:
            raise
        raise failure from error


def failure_for(error: BaseException) -> AgentUnavailable | ConversationTooLong | None:
    """What to raise for an error that stems from a backend (or wraps one that does); None for any other."""
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        message = f"{type(cause).__name__}: {cause}"
        if _is_too_long(cause):
            return ConversationTooLong(message)
        if _is_backend(cause):
            wait = _retry_after(cause)
            return AgentUnavailable(message) if wait is None else AgentUnavailable(message, retry_after=wait)
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
    return None


def _is_too_long(error: BaseException) -> bool:
    ours = _classes_of_clients(error)
    if not _TOO_LONG.isdisjoint(cls.__name__ for cls in ours):
        return True
    status, said = _status(error), (getattr(error, "body", None), str(error))
    return bool(ours) and any(says_too_long(one) if status is None else is_too_long(status, one) for one in said)


def _classes_of_clients(error: BaseException) -> list[type]:
    return [cls for cls in type(error).__mro__ if cls.__module__.partition(".")[0] in _CLIENTS]


def _is_backend(error: BaseException) -> bool:
    if isinstance(error, ConnectionError):
        return True
    ours = _classes_of_clients(error)
    if not ours:
        return False
    status = _status(error)
    if status is not None:
        return status in _REFUSALS or status >= 500
    return any(cls.__name__ in _UNREACHED for cls in ours)


def _status(error: BaseException) -> int | None:
    response: Any = getattr(error, "response", None)
    places = ((error, "status_code"), (error, "code"), (error, "status"), (response, "status_code"))
    for holder, name in places:
        value = getattr(holder, name, None)
        if type(value) is int:
            return value
    return None


def _retry_after(error: BaseException) -> float | None:
    """Seconds, where the backend named them."""
    headers: Any = getattr(getattr(error, "response", None), "headers", None) or {}
    try:
        return max(float(headers.get("retry-after")), 0.0)
    except (TypeError, ValueError, AttributeError):
        return None
