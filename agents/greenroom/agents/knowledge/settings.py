"""Knowledge in an agent file: `knowledge = "docs/"`, or a table."""

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from greenroom.agents.knowledge.knowledge import DESCRIPTION, MOST_PASSAGES, SIZES, Knowledge
from greenroom.sdk import AgentError


class KnowledgeSettings(BaseModel):
    """The table's keys: what `Knowledge` takes, but for `embed`, which is a function."""

    model_config = ConfigDict(extra="forbid")

    folder: str | None = Field(None, min_length=1)
    """Relative to the agent file."""
    name: str = Field("search_knowledge", pattern=r"^[A-Za-z0-9_-]{1,64}$")
    description: str = Field(DESCRIPTION, min_length=1)
    top: int = Field(4, ge=1, le=MOST_PASSAGES)
    size: int = Field(800, ge=SIZES.start, lt=SIZES.stop)


def read_knowledge(settings: Any, folder: Path) -> Knowledge:
    """The knowledge that an agent file in `folder` describes: by a folder's name, or by a table of `KnowledgeSettings`.
    Raises `AgentError` with every mistake, one a line. The agent takes its `tool`, and its `load` at the start."""
    try:
        read = KnowledgeSettings.model_validate({"folder": settings} if isinstance(settings, str) else settings)
    except ValidationError as error:
        raise AgentError("\n".join(map(_mistake, error.errors()))) from None
    place = None if read.folder is None else (folder / read.folder).resolve()
    if place is not None and not place.is_dir():
        raise AgentError(f"knowledge.folder: there is no folder {place}")
    return Knowledge(place, name=read.name, description=read.description, top=read.top, size=read.size)


def _mistake(mistake: Any) -> str:
    key = ".".join(("knowledge", *map(str, mistake["loc"])))
    if mistake["type"] == "extra_forbidden":
        return f"{key}: there is no such setting; there are {', '.join(KnowledgeSettings.model_fields)}"
    if not mistake["loc"]:
        return f"{key}: it is a folder's name or a table, not {mistake['input']!r}"
    return f"{key}: {mistake['msg']}, not {mistake['input']!r}"
