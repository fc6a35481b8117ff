"""Why a turn or a start failed, as its agent's author wants to know it."""

import traceback
from pathlib import Path

import greenroom
from greenroom.core.agent import AgentError
from greenroom.core.errors import AgentDown, AgentFailed, GreenroomError


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
            return found
        cause = cause.__cause__ or cause.__context__
    return []


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
