"""A tool as a server lists it, before anybody relies on it."""

from collections.abc import Mapping
from typing import Any

from jsonschema import SchemaError
from jsonschema.validators import Draft202012Validator, validator_for
from mcp.types import methods
from pydantic import ValidationError

from greenroom.tools.excerpt import shortened

_AROUND = {"resultType": "complete", "ttlMs": 0, "cacheScope": "public"}
"""What a list of tools has beside them, from 2026 on."""


def mistake_in(entry: object, version: str) -> str:
    """What is wrong with it; "" for nothing. A schema that is none fails every call that it is asked about."""
    try:
        methods.validate_server_result("tools/list", version, {**_AROUND, "tools": [entry]})
    except ValidationError as error:
        first = error.errors()[0]
        return f"{'.'.join(map(str, first['loc'][2:])) or 'it'}: {first['msg']}"
    assert isinstance(entry, Mapping)
    for part in ("inputSchema", "outputSchema"):
        schema = entry.get(part)
        if schema is not None and (wrong := _mistake_in_schema(schema)):
            return f"its {part} is no JSON schema: {wrong}"
    return ""


def _mistake_in_schema(schema: Any) -> str:
    try:
        validator_for(schema, default=Draft202012Validator).check_schema(schema)
    except SchemaError as error:
        where = ".".join(map(str, error.absolute_path))
        return f"{where}: {shortened(error.message, 200)}" if where else shortened(error.message, 200)
    except RecursionError:
        return "it is nested too deeply"
    return ""
