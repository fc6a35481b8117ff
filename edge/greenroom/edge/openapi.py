"""The OpenAPI document: what FastAPI finds out by itself, with request bodies, our errors and the published examples."""

import json
from collections.abc import Mapping
from importlib import resources
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from greenroom.edge import schemas, session_schemas
from greenroom.edge.access import CHAT_PATH, PUBLIC
from greenroom.edge.errors import BY_STATUS, published

_REF = "#/components/schemas/{model}"
_ERROR_REF = {"$ref": _REF.format(model="ErrorBody")}

BODIES: Mapping[str, tuple[type[BaseModel], tuple[str, ...]]] = {
    CHAT_PATH: (schemas.ChatRequest, ("chat-minimal", "chat-basic", "chat-full", "chat-tools", "chat-curl")),
    "/users": (schemas.UserRequest, ("users",)),
    "/v1/sessions": (session_schemas.SessionRequest, ()),
}
"""What is posted where, and the published examples of it."""

ANSWERS: Mapping[tuple[str, str], tuple[str, ...]] = {
    (CHAT_PATH, "post"): ("chat-basic", "chat-tools"),
    ("/users", "post"): ("users",),
}

SHARED = (401, 403, 429, 500, 503, 504)
"""What any request to the core may end with."""
MORE: Mapping[str, tuple[int, ...]] = {"post": (400, 404, 409, 413, 415), "get": (400, 404), "delete": (400, 404, 409)}


def example(name: str) -> Any:
    """A published body (`chat-basic.request`, …)."""
    return json.loads(resources.files("greenroom.edge").joinpath("examples", f"{name}.json").read_bytes())


def document(found: dict[str, Any]) -> dict[str, Any]:
    """`found` is FastAPI's own document; it is completed in place."""
    components = found.setdefault("components", {})
    models: list[type[BaseModel]] = [schemas.ErrorBody, *(model for model, _ in BODIES.values())]
    _, definitions = models_json_schema([(model, "validation") for model in models], ref_template=_REF)
    known = components.setdefault("schemas", {})
    for absent in ("HTTPValidationError", "ValidationError"):
        known.pop(absent, None)
    known.update(definitions["$defs"])
    components["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer"},
        "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    }
    for path, methods in found["paths"].items():
        for method, operation in methods.items():
            _complete(path, method, operation)
    return found


def _complete(path: str, method: str, operation: dict[str, Any]) -> None:
    responses = operation["responses"]
    responses.pop("422", None)
    if path not in PUBLIC:
        operation["security"] = [{"bearer": []}, {"key": []}]
        for status in sorted({*SHARED, *MORE[method]}):
            responses[str(status)] = _error(status)
    if method == "post" and path in BODIES:
        model, names = BODIES[path]
        media: dict[str, Any] = {"schema": {"$ref": _REF.format(model=model.__name__)}}
        if names:
            media["examples"] = {name: {"value": example(f"{name}.request")} for name in names}
        operation["requestBody"] = {"required": True, "content": {"application/json": media}}
    for name in ANSWERS.get((path, method), ()):
        media = responses["200"]["content"]["application/json"]
        media.setdefault("examples", {})[name] = {"value": example(f"{name}.response")}


def _error(status: int) -> dict[str, Any]:
    row = BY_STATUS[status]
    media = {"schema": _ERROR_REF, "example": published(row)}
    return {"description": row.message, "content": {"application/json": media}}
