"""From what pydantic says of a scenario to what its author needs to hear."""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from greenroom.core.scenario_files.mistake import Place, meant, shown
from greenroom.core.scenario_files.written import (
    FORM,
    CassettePart,
    ClockPart,
    ErrorPart,
    InPart,
    RegexPart,
    RulePart,
    UserPart,
    WhenPart,
    WrittenScenario,
)


def explained(error: ValidationError) -> Iterator[tuple[Place, str]]:
    """Where each mistake is, and what would be right."""
    for found in error.errors(include_url=False):
        place = tuple(part for part in found["loc"] if not (isinstance(part, str) and part.startswith(FORM)))
        yield place, _text(place, found)


def _text(place: Place, found: Mapping[str, Any]) -> str:
    value, ctx = found["input"], found.get("ctx", {})
    match found["type"]:
        case "extra_forbidden":
            known = _keys_at(place[:-1])
            return "there is no such key" + (meant(str(place[-1]), known) or f"; the keys here are {', '.join(known)}")
        case "missing":
            return "is required"
        case "string_type":
            quote = "; put it in quotes" if isinstance(value, int | float) else ""
            return f"a text is needed, not {shown(value)}{quote}"
        case "string_too_short":
            return "a text is needed, not an empty one"
        case "string_too_long":
            return f"{ctx['max_length']} characters at most"
        case "int_type":
            return f"a whole number is needed, not {shown(value)}"
        case "greater_than_equal":
            return f"{ctx['ge']} or more is needed, not {shown(value)}"
        case "dict_type" | "model_type":
            return f"a mapping is needed, not {shown(value)}"
        case "list_type" if place[0] == "tools" and len(place) == 2:
            return f"a list of rules is needed, not {shown(value)}; each begins with a dash"
        case "list_type":
            return f"a list is needed, not {shown(value)}"
        case "too_short":
            return "a list with something in it is needed"
        case "literal_error" if place == ("clock",):
            return f"{{start, per_turn, per_call}} is needed, or real, not {shown(value)}"
        case "literal_error":
            return f"true is needed, not {shown(value)}"
        case "value_error":
            return str(ctx["error"])
        case _:
            return str(found["msg"])


def _keys_at(place: Place) -> list[str]:
    return [field.alias or name for name, field in _part_at(place).model_fields.items()]


def _part_at(place: Place) -> type[BaseModel]:
    match place:
        case ("clock",):
            return ClockPart
        case ("user",):
            return UserPart
        case ("cassette",):
            return CassettePart
        case ("tools", _, int()):
            return RulePart
        case ("tools", _, int(), "when"):
            return WhenPart
        case ("tools", _, int(), "error"):
            return ErrorPart
        case ("tools", _, int(), "when", "args", _):
            return _Conditions
        case _:
            return WrittenScenario


class _Conditions(RegexPart, InPart):
    """The keys of either; a condition has one of them."""
