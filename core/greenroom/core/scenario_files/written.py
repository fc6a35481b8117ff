"""A scenario as it is written in a file. docs/scenario.schema.json and docs/scenarios.md follow from these models."""

import math
import re
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    StringConstraints,
    Tag,
    WithJsonSchema,
    model_validator,
)
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from greenroom.core.scenario_files.mistake import shown

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_LONGEST = timedelta(days=31)
_DURATION = r"^[0-9]+(\.[0-9]+)?(ms|s|m|h)$"

# no key of a file can be called so: pydantic names the chosen form of a value in an error's place
FORM = "\N{BULLET}"


def _given(value: Any) -> Any:
    if value is None:
        raise ValueError("has no value; give one, or leave the key out")
    return value


def _duration(value: Any) -> Any:
    match = re.fullmatch(_DURATION, value) if isinstance(value, str) else None
    if match is None:
        if isinstance(value, timedelta):
            return value
        raise ValueError(f"a number with ms, s, m or h is needed, for instance 1500ms, not {shown(value)}")
    seconds = float(value.removesuffix(match[2])) * _UNITS[match[2]]
    if seconds > _LONGEST.total_seconds():
        raise ValueError(f"{_LONGEST.days * 24}h at most, not {value}")
    return timedelta(microseconds=math.floor(seconds * 1e6 + 0.5))


def _some_time(value: timedelta | None) -> timedelta | None:
    if value is not None and not value:
        raise ValueError("takes no time; give a longer one, or leave the key out")
    return value


def _moment(value: Any) -> Any:
    try:
        moment = datetime.fromisoformat(value)
    except (ValueError, TypeError):
        moment = None
    if moment is None or moment.tzinfo is None:
        wanted = "a date with time and zone is needed, for instance 2024-01-21T10:30:00Z"
        raise ValueError(f"{wanted}, not {shown(value)}")
    if not 1000 <= moment.year < 9000:
        raise ValueError(f"a year from 1000 to 8999 is needed, not {moment.year}")
    return moment


def _pattern(value: str) -> str:
    try:
        re.compile(value)
    except re.error as error:
        raise ValueError(f"is no regular expression: {error}") from None
    return value


Given = BeforeValidator(_given)
Duration = Annotated[
    timedelta | None,
    BeforeValidator(_duration),
    WithJsonSchema({"type": "string", "pattern": _DURATION, "examples": ["60s", "1500ms", "2m", "1h"]}),
]
Moment = Annotated[datetime | None, BeforeValidator(_moment), WithJsonSchema({"type": "string", "format": "date-time"})]
Text = Annotated[str | None, Given]
Data = Annotated[dict[str, Any] | None, Given]
Ordinal = Annotated[Annotated[int, Field(ge=1)] | None, Given]


class Part(BaseModel):
    """What all parts of a file have in common: no key that is not theirs, and no value read as something else."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class WorldFile(Part):
    """The starting world, in a file of its own."""

    file: str = Field(description="A JSON or YAML file, relative to this one.")


class ClockPart(Part):
    """A clock that the story moves, never the machine."""

    start: Moment = Field(None, description="The world's time at the first turn; the agent's own where it is left out.")
    per_turn: Duration = Field(None, description="How far each turn moves it: 60s where it is left out.")
    per_call: Duration = Field(None, description="How far each tool call moves it: 1s where it is left out.")


def _form_of_world(value: Any) -> str:
    return FORM + ("file" if isinstance(value, dict) and value.keys() == {"file"} else "world")


World = Annotated[
    Annotated[WorldFile, Tag(FORM + "file")]
    | Annotated[
        dict[str, Any],
        Tag(FORM + "world"),
        WithJsonSchema({"type": "object", "not": {"required": ["file"], "maxProperties": 1}}),
    ],
    Discriminator(_form_of_world),
]
Time = Annotated[
    Annotated[Literal["real"], Tag(FORM + "real")] | Annotated[ClockPart, Tag(FORM + "clock")],
    Discriminator(lambda value: FORM + ("real" if isinstance(value, str) else "clock")),
]


class UserPart(Part):
    """Who the user is, where neither `POST /users` nor the request says otherwise (top-level key by key)."""

    profile: Data = Field(None, description="Defaults of the user's profile.")
    metadata: Data = Field(None, description="Defaults of the user's metadata.")


class RegexPart(Part):
    """A text in which the pattern is found."""

    regex: Annotated[str, AfterValidator(_pattern)] = Field(description="A regular expression of Python's, searched.")


class InPart(Part):
    """One of these values."""

    among: list[Any] = Field(alias="in", min_length=1, description="The values.")


def _form_of_condition(value: Any) -> str:
    if isinstance(value, dict) and value and value.keys() <= {"regex", "in"}:
        return FORM + ("regex" if "regex" in value else "in")
    return FORM + "value"


Condition = Annotated[
    Annotated[RegexPart, Tag(FORM + "regex")]
    | Annotated[InPart, Tag(FORM + "in")]
    | Annotated[
        Any,
        Tag(FORM + "value"),
        WithJsonSchema({"not": {"type": "object", "minProperties": 1, "propertyNames": {"enum": ["regex", "in"]}}}),
    ],
    Discriminator(_form_of_condition),
]


class WhenPart(Part):
    """Which calls a rule is for: all that is given must hold."""

    call: Ordinal = Field(None, description="The tool's n-th call along the session's path, from 1; failed ones count.")
    turn: Ordinal = Field(None, description="The n-th turn along the session's path, from 1.")
    args: Annotated[dict[str, Condition] | None, Given] = Field(
        None, description="By argument: the value it has, or {regex: …}, or {in: […]}."
    )


class ErrorPart(Part):
    """How the call fails."""

    code: Annotated[str, StringConstraints(min_length=1, max_length=128)] = Field(
        description="What the agent sees as the failure's type."
    )
    message: str = Field(description="What the agent sees as its message.")


class RulePart(Part):
    """A rule: when it applies, and what then happens. With `delay` alone the real tool is called after it."""

    model_config = ConfigDict(
        json_schema_extra={
            "anyOf": [{"required": [name]} for name in ("error", "return", "timeout", "delay")],
            "not": {
                "anyOf": [
                    {"required": list(two)}
                    for two in (("error", "return"), ("error", "timeout"), ("return", "timeout"))
                ]
            },
        }
    )

    when: Annotated[WhenPart | None, Given] = Field(None, description="Left out: every call.")
    delay: Annotated[Duration, AfterValidator(_some_time)] = Field(
        None, description="How long nothing happens; it counts against the tool's own timeout."
    )
    error: Annotated[ErrorPart | None, Given] = Field(None, description="The call fails so.")
    returns: Any = Field(None, alias="return", description="The call returns this; the tool is not called.")
    timeout: Annotated[Literal[True] | None, Given] = Field(
        None, description="The call fails as one that ran out of time."
    )

    @model_validator(mode="after")
    def _does_one_thing(self) -> "RulePart":
        outcomes = [name for name, own in OUTCOMES.items() if own in self.model_fields_set]
        if len(outcomes) > 1:
            raise ValueError(f"{' and '.join(outcomes)} cannot both happen; give one")
        if not outcomes and self.delay is None:
            raise ValueError("does nothing; give error, return, timeout or delay")
        return self


OUTCOMES = {"error": "error", "return": "returns", "timeout": "timeout"}


class CassettePart(Part):
    """What is recorded and replayed in place of the settings' cassette. Files are relative to this one."""

    model_config = ConfigDict(json_schema_extra={"anyOf": [{"required": ["replay"]}, {"required": ["record"]}]})

    replay: Text = Field(None, description="A cassette that answers what was recorded in it.")
    record: Text = Field(
        None, description="A cassette to which the answers of tools and models are added. It may be the same."
    )
    until_turn: Ordinal = Field(None, description="The last turn of a session that is replayed. Left out: all are.")

    @model_validator(mode="after")
    def _does_something(self) -> "CassettePart":
        if self.replay is None and self.record is None:
            raise ValueError("does nothing; give replay or record")
        return self


class WrittenScenario(Part):
    """A scenario: the world a session starts in, its clock, its user, and how the agent's tools behave."""

    model_config = ConfigDict(title="Greenroom scenario")

    id: Annotated[str, StringConstraints(min_length=1, max_length=128)] = Field(
        description="What `metadata.scenario_id` asks for. `default` is used where nothing is asked for."
    )
    title: Text = Field(None, description="A line for people.")
    agent: Text = Field(
        None, description="The agent that it is for, as it is given to `greenroom serve`. Left out: every agent."
    )
    extends: Text = Field(
        None, description="The id of the scenario that this one adds to. Left out: the agent as it is."
    )
    world: Annotated[World | None, Given] = Field(
        None, description="The starting world, in place of the one extended: collections of records, or {file: …}."
    )
    patch: Data = Field(None, description="A JSON Merge Patch (RFC 7386) on top of the world; null removes.")
    clock: Annotated[Time | None, Given] = Field(None, description="The world's time; `real` for the machine's.")
    user: Annotated[UserPart | None, Given] = Field(None, description="Defaults of the user.")
    instructions: Text = Field(None, description="Context for the agent, ahead of the request's system messages.")
    memory: Annotated[bool | None, Given] = Field(
        None,
        description="Whether sessions know their user from earlier ones. Left out: as the setting `user_memory` says.",
    )
    cassette: Annotated[CassettePart | None, Given] = Field(
        None, description="What is recorded and replayed. Left out: as the settings `record` and `replay` say."
    )
    tools: Annotated[dict[str, list[RulePart]] | None, Given] = Field(
        None, description="By tool: its rules. The first that applies decides; where none does, the tool is itself."
    )


class _Schema(GenerateJsonSchema):
    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        """A key may be left out; it may not be null."""
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def json_schema() -> dict[str, Any]:
    """The format as JSON Schema, for editors."""
    schema = WrittenScenario.model_json_schema(by_alias=True, schema_generator=_Schema)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
