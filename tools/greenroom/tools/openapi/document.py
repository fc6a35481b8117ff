"""An OpenAPI document, 3.0 to 3.2: read, and its references followed."""

import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote

import yaml

from greenroom.sdk import AgentError

METHODS = ("get", "head", "post", "put", "patch", "delete", "options")
_LONGEST_CHAIN = 20


class Unusable(Exception):
    """A part of a document that cannot be used. The message says why."""


class Document:
    """Raises `AgentError` for what is none."""

    def __init__(self, data: Any) -> None:
        version = data.get("openapi", data.get("swagger")) if isinstance(data, dict) else None
        if not isinstance(version, str) or not version.startswith(("3.0", "3.1", "3.2")):
            found = f"its version is {version!r}" if version else "it does not say its version"
            raise AgentError(f"no OpenAPI document 3.0 to 3.2: {found}")
        self._data = data
        self.is_3_0 = version.startswith("3.0")

    def at(self, reference: str) -> Any:
        """What a reference of this document names. Raises `Unusable`."""
        if not reference.startswith("#/"):
            raise Unusable(f"{reference} leads to another document")
        node = self._data
        for step in reference[2:].split("/"):
            key = unquote(step).replace("~1", "/").replace("~0", "~")
            try:
                node = node[int(key)] if isinstance(node, list) else node[key]
            except (LookupError, TypeError, ValueError):
                raise Unusable(f"there is no {reference}") from None
        return node

    def object(self, node: Any) -> dict[str, Any]:
        """The object that stands here, or that is named here. Raises `Unusable`."""
        for _ in range(_LONGEST_CHAIN):
            if not isinstance(node, dict):
                raise Unusable(f"{node!r:.80} is no object")
            if not isinstance(node.get("$ref"), str):
                return node
            node = self.at(node["$ref"])
        raise Unusable("references go round in a circle")

    def part(self, *path: str) -> Any:
        """A part of it; None where there is none."""
        node = self._data
        for key in path:
            node = node.get(key) if isinstance(node, dict) else None
        return node

    def operations(self) -> Iterator[tuple[str, str, Mapping[str, Any], Mapping[str, Any]]]:
        """Path, method, path item and operation of each."""
        paths = self.part("paths")
        for path, node in paths.items() if isinstance(paths, dict) else ():
            try:
                item = self.object(node)
            except Unusable:
                continue
            for method in METHODS:
                operation = item.get(method)
                if isinstance(operation, dict):
                    yield path, method, item, operation


def read_document(text: bytes) -> Document:
    """From JSON or YAML. Raises `AgentError`."""
    try:
        return Document(json.loads(text))
    except (ValueError, RecursionError):
        pass
    try:
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        # a JSON round trip gives keys that are numbers, and dates, the form that JSON has for them
        return Document(json.loads(json.dumps(yaml.load(text, loader), default=str)))  # a safe one
    except (ValueError, RecursionError, yaml.YAMLError) as problem:
        raise AgentError(f"no JSON and no YAML: {str(problem).partition(chr(10))[0]}") from None
