"""How backends say that a conversation is longer than their model takes."""

from collections.abc import Mapping
from typing import Any, Final

_TOO_LARGE: Final = 413
_STATUSES: Final = frozenset({400, 413, 422})
_CODES: Final = frozenset({"context_length_exceeded", "exceed_context_size_error", "request_too_large"})
_WORDS: Final = (
    "maximum context length", "context length exceeded", "context window", "context size", "prompt is too long",
    "input is too long", "input token count", "reduce the length",
)  # fmt: skip
"""Of OpenAI, vLLM, llama.cpp, Anthropic, Google, Bedrock and gateways before them, which have no code of their own."""


def is_too_long(status: int, body: Any) -> bool:
    """Whether an answer with this status and JSON body says so; `body` may be anything."""
    return status == _TOO_LARGE or (status in _STATUSES and says_too_long(body))


def says_too_long(body: Any) -> bool:
    """The same of an error that came without a status of its own."""
    error = body[0] if isinstance(body, list) and body else body
    if isinstance(error, Mapping):
        error = error.get("error", error)
    if isinstance(error, Mapping):
        if not _CODES.isdisjoint(str(error.get(name)) for name in ("code", "type")):
            return True
        error = error.get("message")
    return isinstance(error, str) and any(words in error.lower() for words in _WORDS)
