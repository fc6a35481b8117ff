"""What a tool takes, by a JSON schema that somebody else has written."""

from collections.abc import Mapping
from typing import Any

from greenroom.sdk import AgentError, ToolError
from greenroom.tools.extras import import_extra

EXTRA = "http"
_SHOWN = 5


class Parameters:
    """A JSON schema of arguments, which checks them. Raises `AgentError` where it is none, or not that of an object.
    References to other documents are not followed."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        jsonschema = import_extra("jsonschema_rs", EXTRA)
        self.schema = dict(schema)
        if self.schema.get("type", "object") != "object":
            raise AgentError(f"no JSON schema of arguments: its type is {self.schema['type']!r}, not 'object'")
        try:
            self._validator = jsonschema.validator_for(self.schema, offline=True)
        except (ValueError, jsonschema.ReferencingError) as problem:
            raise AgentError(f"no JSON schema: {str(problem).splitlines()[0]}") from None

    def check(self, arguments: Mapping[str, Any]) -> None:
        """Raises `ToolError` that names each argument that is not as the schema wants it."""
        if self._validator.is_valid(arguments):
            return
        found = [_mistake(error) for error in self._validator.iter_errors(arguments)]
        more = f"; and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        raise ToolError("; ".join(found[:_SHOWN]) + more, code="invalid_arguments")


def _mistake(error: Any) -> str:
    where = ".".join(map(str, error.instance_path))
    return f"{where}: {error.message:.300}" if where else f"{error.message:.300}"
