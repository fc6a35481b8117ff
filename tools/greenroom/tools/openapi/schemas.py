"""Schemas of an OpenAPI document as JSON schemas that stand by themselves."""

import re
from typing import Any

from greenroom.tools.openapi.document import Document

_BY_NAME = ("properties", "patternProperties", "dependentSchemas")
_LISTS = ("allOf", "anyOf", "oneOf", "prefixItems")
_SINGLE = (
    "items", "additionalProperties", "unevaluatedProperties", "unevaluatedItems", "not", "if", "then", "else", "contains",
    "propertyNames",
)  # fmt: skip
_NOT_JSON_SCHEMA = ("example", "xml", "externalDocs", "discriminator", "nullable", "readOnly", "writeOnly")


class Definitions:
    """Translates schemas; what they refer to, themselves perhaps, is gathered in `defs`, for `$defs`."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._names: dict[str, str] = {}
        self._named: list[tuple[str, str]] = []
        """What was referred to and is not translated yet: a chain of references may be longer than the stack is deep."""
        self.defs: dict[str, Any] = {}

    def translated(self, schema: Any) -> Any:
        """Raises `Unusable` for a reference that leads nowhere, or elsewhere."""
        made = self._translated(schema)
        while self._named:
            name, reference = self._named.pop()
            self.defs[name] = self._translated(self._document.at(reference))
        return made

    def _translated(self, schema: Any) -> Any:
        if not isinstance(schema, dict):
            return schema
        if isinstance(schema.get("$ref"), str):
            others = {} if self._document.is_3_0 else {key: value for key, value in schema.items() if key != "$ref"}
            return {**self._translated(others), "$ref": f"#/$defs/{self._defined(schema['$ref'])}"}
        made: dict[str, Any] = {}
        for key, value in schema.items():
            if key in _BY_NAME and isinstance(value, dict):
                made[key] = {name: self._translated(one) for name, one in value.items()}
            elif key in _LISTS and isinstance(value, list):
                # where a discriminator says which one is meant, the others may fit as well
                made["anyOf" if key == "oneOf" and "discriminator" in schema else key] = list(
                    map(self._translated, value)
                )
            elif key in _SINGLE:
                made[key] = self._translated(value)
            elif key not in _NOT_JSON_SCHEMA and not key.startswith("x-"):
                made[key] = value
        self._leave_out_what_only_answers_have(schema, made)
        return _of_3_0(schema, made) if self._document.is_3_0 else made

    def _defined(self, reference: str) -> str:
        if reference not in self._names:
            wanted = re.sub(r"[^A-Za-z0-9_.-]", "_", reference.rpartition("/")[2]) or "schema"
            name, number = wanted, 1
            while name in self.defs:
                number += 1
                name = f"{wanted}_{number}"
            self._names[reference] = name
            self.defs[name] = {}
            self._named.append((name, reference))
        return self._names[reference]

    def _leave_out_what_only_answers_have(self, schema: dict[str, Any], made: dict[str, Any]) -> None:
        properties = schema.get("properties")
        if not isinstance(properties, dict):
            return
        hidden = {name for name, one in properties.items() if isinstance(one, dict) and one.get("readOnly") is True}
        if hidden:
            made["properties"] = {name: one for name, one in made["properties"].items() if name not in hidden}
            if isinstance(made.get("required"), list):
                made["required"] = [name for name in made["required"] if name not in hidden]


def _of_3_0(schema: dict[str, Any], made: dict[str, Any]) -> dict[str, Any]:
    """What 3.0 writes otherwise than JSON Schema does."""
    for bound, limit in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if made.get(bound) is True and limit in made:
            made[bound] = made.pop(limit)
        elif isinstance(made.get(bound), bool):
            del made[bound]
    if schema.get("nullable") is not True:
        return made
    if isinstance(made.get("type"), str):
        made["type"] = [made["type"], "null"]
        if isinstance(made.get("enum"), list) and None not in made["enum"]:
            made["enum"] = [*made["enum"], None]
        return made
    return {"anyOf": [made, {"type": "null"}]}
