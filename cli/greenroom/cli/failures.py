"""Why a turn failed, as its agent's author wants to know it."""

import traceback
from pathlib import Path

from greenroom.core.errors import AgentDown, AgentFailed, GreenroomError


def failure_text(failed: GreenroomError) -> str:
    """What the agent raised, and where in the current folder's files it came from; else what a caller is told."""
    raised = failed.__context__
    if raised is None or not isinstance(failed, AgentFailed | AgentDown):
        return failed.message
    first = f"the agent raised {type(raised).__name__}: {raised}"
    if isinstance(failed, AgentDown):
        first = f"the agent is not available: {raised}"
    return "\n".join([first, *_places(raised)])


def _places(raised: BaseException) -> list[str]:
    here = Path.cwd()
    frames = traceback.extract_tb(raised.__traceback__)
    own = [(Path(frame.filename), frame) for frame in frames if _is_own(Path(frame.filename), here)]
    return [f"  {path.relative_to(here)}:{frame.lineno} in {frame.name}: {frame.line}" for path, frame in own]


def _is_own(path: Path, here: Path) -> bool:
    return path.is_relative_to(here) and "site-packages" not in path.parts
