"""The tables of agent files: read by a pydantic model, every mistake told with its field and what would be right."""

import difflib
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from greenroom.sdk import AgentError


class Table(BaseModel):
    """What a kind of agent takes from its table."""

    model_config = ConfigDict(extra="forbid", frozen=True)


T = TypeVar("T", bound=Table)


def read_table(kind: type[T], settings: Mapping[str, Any], name: str) -> T:
    """The table `name`. Raises `AgentError` with every mistake in it, one a line."""
    try:
        return kind.model_validate(dict(settings))
    except ValidationError as error:
        raise AgentError("\n".join(_mistake(kind, name, mistake) for mistake in error.errors())) from None


def _mistake(kind: type[Table], name: str, mistake: Any) -> str:
    field = ".".join(map(str, mistake["loc"]))
    known = kind.model_fields
    match mistake["type"]:
        case "extra_forbidden" if len(mistake["loc"]) == 1:
            near = difflib.get_close_matches(field, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
            return f"{name}.{field}: there is no such setting; {hint}"
        case "missing" if len(mistake["loc"]) == 1:
            examples = known[field].examples or []
            return f"{name}.{field} is missing" + (f"; for instance {field} = {examples[0]!r}" if examples else "")
        case _:
            message = str(mistake["msg"]).removeprefix("Value error, ")
            return f"{name}.{field}: {message}, not {mistake['input']!r:.80}"
