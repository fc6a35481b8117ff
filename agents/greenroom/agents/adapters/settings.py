"""What every adapter takes for the agent that it makes."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, TypedDict


class AgentSettings(TypedDict, total=False):
    """See `Agent`. `instructions` are laid before what the framework's agent has of its own."""

    instructions: str
    world: Mapping[str, Any] | str | Path | None
    story_start: datetime
    scenarios: str | Path | None
