"""One operation of an OpenAPI document as a tool: what it takes, and the request that this makes."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from greenroom.sdk import AgentError, ToolError
from greenroom.tools.http.server import Request
from greenroom.tools.http.url import UrlTemplate, encoded, pairs
from greenroom.tools.openapi.document import Document, Unusable
from greenroom.tools.openapi.placing import Parameter
from greenroom.tools.openapi.schemas import Definitions
from greenroom.tools.parameters import Parameters

_OUR_HEADERS = ("accept", "authorization", "content-type", "idempotency-key", "traceparent")
"""Filled in here, whatever the document says of them."""
_PLACES = ("path", "query", "header", "cookie")
_FORM = "application/x-www-form-urlencoded"
_LONGEST_DESCRIPTION = 1024
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True, slots=True)
class Body:
    """What is sent: the value of one argument."""

    argument: str
    kind: str
    styled: Mapping[str, Parameter]
    """The fields of a form that are not written as all others are."""

    def content(self, value: Any) -> bytes:
        """Raises `ToolError` for what has no place in a form."""
        if self.kind != _FORM:
            return json.dumps(value, ensure_ascii=False).encode(errors="replace")
        if not isinstance(value, dict):
            raise ToolError(f"{self.argument}: a form wants an object", code="invalid_arguments")
        fields: list[tuple[str, str]] = []
        for name, item in value.items():
            styled = self.styled.get(name)
            fields.extend(pairs({name: item}) if styled is None else styled.in_query(item))
        return urlencode(fields, errors="replace").encode()


@dataclass(frozen=True, slots=True)
class Operation:
    """Ready to be called. `url` has the parameters' names in its places."""

    method: str
    url: UrlTemplate
    description: str
    parameters: Parameters
    placed: tuple[Parameter, ...]
    body: Body | None

    def request(self, arguments: Mapping[str, Any]) -> Request:
        """Raises `ToolError` for arguments that it does not take."""
        self.parameters.check(arguments)
        given = [one for one in self.placed if one.argument in arguments]
        path = {one.name: one.in_path(arguments[one.argument]) for one in given if one.place == "path"}
        request = Request(self.method.upper(), self.url.filled(path), headers={"accept": "application/json, */*;q=0.5"})
        for one in given:
            value = arguments[one.argument]
            match one.place:
                case "query":
                    request.query.extend(one.in_query(value))
                case "cookie":
                    request.cookies.extend((name, encoded(text)) for name, text in one.in_query(value))
                case "header" if value is not None:
                    request.headers[one.name.lower()] = one.in_header(value)
        if self.body is None or self.body.argument not in arguments:
            return request
        request.headers["content-type"] = self.body.kind
        return request.sending(self.body.content(arguments[self.body.argument]))


class _Reading:
    """The parts of an operation's schema, as they are found."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.definitions = Definitions(document)
        self.properties: dict[str, Any] = {}
        self.required: list[str] = []
        self.placed: list[Parameter] = []

    def add(self, node: dict[str, Any]) -> None:
        """A parameter."""
        place, name = node.get("in"), node.get("name")
        if place not in _PLACES or not isinstance(name, str):
            raise Unusable(f"{name!r:.80} is no parameter: it is in {place!r:.80}")
        if place == "header" and name.lower() in _OUR_HEADERS:
            return
        argument = self._free(re.sub(r"[^A-Za-z0-9_.-]", "_", name) or place, place)
        written = node
        if "content" in node:
            [written] = node["content"].values()
        self._property(
            argument, written.get("schema"), node.get("description"), is_required=node.get("required") is True
        )
        self.placed.append(Parameter.read(argument, node))

    def body(self, node: Any) -> Body | None:
        """The body of a request, where it is of a kind that can be sent. Raises `Unusable` for a required one of another."""
        if node is None:
            return None
        body = self.document.object(node)
        content = body.get("content")
        kinds = content if isinstance(content, dict) else {}
        plain = {kind: kind.partition(";")[0].strip().lower() for kind in kinds}
        json_kind = next((kind for kind, name in plain.items() if name.endswith(("/json", "+json"))), None)
        kind = json_kind or next((kind for kind, name in plain.items() if name in (_FORM, "*/*")), None)
        if kind is None:
            if body.get("required") is True:
                raise Unusable(f"its body is {' or '.join(kinds) or 'of no kind'}; JSON and simple forms can be sent")
            return None
        argument = self._free("body", "request")
        is_required = body.get("required") is True
        self._property(argument, kinds[kind].get("schema"), body.get("description"), is_required=is_required)
        return Body(
            argument,
            "application/json" if plain[kind] == "*/*" else plain[kind],
            {
                name: Parameter.read(name, {"in": "query", "name": name, **written})
                for name, written in (kinds[kind].get("encoding") or {}).items()
                if "style" in written
            },
        )

    def parameters(self) -> Parameters:
        schema: dict[str, Any] = {"type": "object", "properties": self.properties, "additionalProperties": False}
        if self.required:
            schema["required"] = self.required
        if self.definitions.defs:
            schema["$defs"] = self.definitions.defs
        return Parameters(schema)

    def _property(self, name: str, schema: Any, description: Any, *, is_required: bool) -> None:
        made = self.definitions.translated({} if schema is None else schema)
        if isinstance(made, dict) and isinstance(description, str) and "description" not in made:
            made = {**made, "description": description[:_LONGEST_DESCRIPTION]}
        self.properties[name] = made
        if is_required:
            self.required.append(name)

    def _free(self, name: str, place: str) -> str:
        return name if name not in self.properties else self._free(f"{name}_{place}", place)


def read_operation(
    document: Document, base: str, path: str, method: str, item: Mapping[str, Any], node: Mapping[str, Any]
) -> Operation:
    """Raises `Unusable` with why it cannot be had."""
    reading = _Reading(document)
    parameters: dict[tuple[Any, Any], dict[str, Any]] = {}
    for one in (*(item.get("parameters") or ()), *(node.get("parameters") or ())):
        parameter = document.object(one)
        parameters[parameter.get("in"), parameter.get("name")] = parameter
    for parameter in parameters.values():
        reading.add({**parameter, "required": True} if parameter.get("in") == "path" else parameter)
    body = reading.body(node.get("requestBody"))
    in_path = {one.name for one in reading.placed if one.place == "path"}
    nowhere = sorted(set(_PLACEHOLDER.findall(path)) ^ in_path)
    if nowhere:
        raise Unusable(f"{{{nowhere[0]}}} is in the path or among its parameters, not in both")
    try:
        url = UrlTemplate(base.rstrip("/") + path)
        return Operation(method, url, _description(node), reading.parameters(), tuple(reading.placed), body)
    except AgentError as problem:
        raise Unusable(str(problem)) from None


def _description(node: Mapping[str, Any]) -> str:
    texts = [text.strip() for key in ("summary", "description") if isinstance(text := node.get(key), str)]
    return "\n\n".join(dict.fromkeys(filter(None, texts)))[:_LONGEST_DESCRIPTION]
