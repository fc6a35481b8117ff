"""What goes wrong between us and an MCP server, in words for people."""

from collections.abc import Sequence
from typing import Final

import httpx2
from mcp import MCPError
from mcp.types import CONNECTION_CLOSED, INVALID_PARAMS, INVALID_REQUEST, METHOD_NOT_FOUND
from pydantic import ValidationError

from greenroom.sdk import ToolError
from greenroom.tools.excerpt import shortened
from greenroom.tools.mcp.http import TOO_LONG

_OF_THE_SDK: Final = {
    f"Failed to parse JSON response: {TOO_LONG}": "too_large",
    "Failed to parse ": "bad_answer",
    "Unexpected content type": "bad_answer",
    "SSE stream ": "unavailable",
    "Connection closed": "unavailable",
}
"""What the SDK says in the server's place, by how that begins: its codes are those that servers have for anything."""


class Lost(Exception):
    """The connection is of no use, or not any more. The message says why."""


class Refused(Exception):
    """A server behind HTTP answered with a status that says no."""


def refusal(error: BaseException, statuses: Sequence[int]) -> str:
    """Why a server behind HTTP did not answer, where it says so in its status alone; "" where that is not so. The SDK has a
    text of its own for all of them."""
    error = _first_of(error)
    if isinstance(error, MCPError) and error.message in ("Server returned an error response", "Not Found"):
        match statuses[-1:]:
            case [401 | 403 as status]:
                return f"it refuses our credentials, or wants some (HTTP {status})"
            case [status] if status >= 400:
                return f"it answers with HTTP {status}"
    return ""


def is_over(error: Exception) -> bool:
    """Whether the server has not looked at a request because it does not know our session: it was started anew."""
    return isinstance(error, MCPError) and (error.code, error.message) == (INVALID_REQUEST, "Session terminated")


def why_lost(error: BaseException, patience: float) -> str:
    """Why a connection could not be made, or was lost."""
    match error := _first_of(error):
        case Lost():
            return str(error)
        case TimeoutError():
            return f"it does not answer within {patience:g} s"
        case httpx2.HTTPError() | httpx2.InvalidURL():
            return f"it cannot be reached: {shortened(str(error)) or type(error).__name__}"
        case MCPError(code=code) if code == CONNECTION_CLOSED:
            return "the connection ended"
        case MCPError(code=code) if code == METHOD_NOT_FOUND:
            return "it offers no tools"
        case MCPError():
            return f"it refuses: {shortened(error.message)}"
        case OSError():
            return f"it cannot be started: {error.strerror or error}"
        case ValidationError():
            return f"it answers what is not MCP: {_first_mistake(error)}"
        case _:
            return f"{type(error).__name__}: {shortened(str(error))}"


def _first_of(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _first_mistake(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    return shortened(f"{'.'.join(map(str, first['loc']))}: {first['msg']}")


def failed_call(error: Exception, server: str) -> ToolError:
    """What a failed call is for the turn."""
    match error:
        case Refused():
            return ToolError(f"{server}: {error}", code="refused")
        case MCPError(code=code) if code == INVALID_PARAMS:
            return ToolError(f"{server}: {shortened(error.message)}", code="invalid_arguments")
        case MCPError():
            kind = next((kind for words, kind in _OF_THE_SDK.items() if error.message.startswith(words)), "failed")
            return ToolError(f"{server}: {shortened(error.message)}", code=kind)
        case ValidationError():
            return ToolError(f"{server} gave an answer that is none: {_first_mistake(error)}", code="bad_answer")
        case _:  # it does not hold what its schema promises
            return ToolError(f"{server} gave an answer that is not right: {shortened(str(error))}", code="bad_answer")
