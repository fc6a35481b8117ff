"""Why a turn or a start failed, as its agent's author wants to know it."""

import logging
import traceback
from pathlib import Path

import greenroom
from greenroom.core.agent import AgentError
from greenroom.core.errors import AgentDown, AgentFailed, GreenroomError
from greenroom.core.tools import ToolError

_MOST = 20
"""Places: of a recursion without an end there are a thousand."""


def failure_text(failed: GreenroomError) -> str:
    """What the agent raised, and where in the current folder's files it came from; else what a caller is told."""
    raised = failed.__context__
    if raised is None or not isinstance(failed, AgentFailed | AgentDown):
        return failed.message
    first = f"the agent raised {type(raised).__name__}: {raised}"
    if isinstance(failed, AgentDown):
        first = f"the agent is not available: {raised}"
    return "\n".join([first, *places(raised)])


def start_text(raised: BaseException) -> str:
    """What kept an agent from starting: it says so itself, or its author's code raised something."""
    said = (
        str(raised) if isinstance(raised, AgentError) else f"the agent cannot start: {type(raised).__name__}: {raised}"
    )
    return "\n".join([said, *places(raised)])


def places(raised: BaseException) -> list[str]:
    """Where in the current folder's files it came from, outermost first: `  shop.py:12 in reply: …`. Where none of them has
    a part in it, those of what it was raised for."""
    here = Path.cwd()
    cause: BaseException | None = raised
    while cause is not None:
        if found := [line for frame in _frames(cause) if (line := _line(frame, here))]:
            return found if len(found) <= _MOST else [*found[: _MOST // 2], "  ...", *found[-_MOST // 2 :]]
        cause = cause.__cause__ or cause.__context__
    return []


class ToolsRaised(logging.Handler):
    """Where in the author's files tools have raised what they did not mean to. From `listen` to `close` the core's log of
    failed calls is heard here, and nowhere else."""

    def __init__(self) -> None:
        super().__init__()
        self._places: dict[str, list[str]] = {}
        self._log = logging.getLogger("greenroom.core.toolbox")

    def listen(self) -> None:
        self._log.addHandler(self)
        self._log.setLevel(logging.DEBUG)
        self._log.propagate = False

    def close(self) -> None:
        self._log.removeHandler(self)
        self._log.setLevel(logging.NOTSET)
        self._log.propagate = True
        super().close()

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(record.args, tuple) and error is not None and not isinstance(error, ToolError | TimeoutError):
            self._places[str(record.args[1])] = places(error)

    def of(self, call_id: str) -> list[str]:
        """Of one call; told once."""
        return self._places.pop(call_id, [])


def _frames(raised: BaseException) -> list[traceback.FrameSummary]:
    frames = list(traceback.extract_tb(raised.__traceback__))
    if isinstance(raised, SyntaxError) and raised.filename:
        text = (raised.text or "").strip()
        frames.append(traceback.FrameSummary(raised.filename, raised.lineno, "", line=text, lookup_line=False))
    return frames


def _line(frame: traceback.FrameSummary, here: Path) -> str:
    """ "": it is none of the author's."""
    path = Path(frame.filename)
    ours = any(path.is_relative_to(root) for root in greenroom.__path__)
    if ours or not path.is_relative_to(here) or "site-packages" in path.parts:
        return ""
    within = f" in {frame.name}" if frame.name else ""
    return f"  {path.relative_to(here)}:{frame.lineno}{within}: {frame.line}"
