"""Events of ADK, read back from what they were written as."""

from typing import Any

from google.adk.events import Event
from pydantic import TypeAdapter
from pydantic_core import SchemaValidator

_FOR_AUTHORS = ("_accept_convenience_kwargs", "_check_field_type_mismatches")
"""Python code before each validation, for what people write by hand; it takes two thirds of the time that events take."""
_AS_THEY_ARE = frozenset({"cls", "config", "default", "function", "metadata", "serialization"})
"""Parts of a schema that have none of these within."""


def events_reader() -> Any:
    """What validates a list of events that ADK itself has dumped."""
    events: TypeAdapter[list[Any]] = TypeAdapter(list[Event])
    schema: Any = _without(events.core_schema)
    try:
        # else the validators of the classes are taken, as they are
        return SchemaValidator(schema, _use_prebuilt=False)  # type: ignore[call-arg, unused-ignore]
    except TypeError:  # this pydantic does not know of it
        return events.validator


def _without(schema: Any) -> Any:
    """A schema without that code."""
    if isinstance(schema, list | tuple):
        return type(schema)(map(_without, schema))
    if not isinstance(schema, dict):
        return schema
    if schema.get("type") == "function-before" and schema["function"]["function"].__name__ in _FOR_AUTHORS:
        inner = _without(schema["schema"])
        return {**inner, "ref": schema["ref"]} if "ref" in schema else inner
    made = {key: value if key in _AS_THEY_ARE else _without(value) for key, value in schema.items()}
    return {**made, "custom_init": False} if made.get("custom_init") else made
