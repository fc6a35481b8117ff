"""An OpenAPI document for a test, and what it describes."""

import copy
from typing import Any

PAGE = {"name": "page", "in": "query", "schema": {"type": "integer", "minimum": 1}}
ORDER_ID = {"name": "order_id", "in": "path", "required": True, "schema": {"type": "string"}}
OK = {"responses": {"200": {"description": "It is."}}}

SHOP: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {"title": "Shop", "version": "1"},
    "servers": [{"url": "/api"}],
    "paths": {
        "/orders": {
            "get": {"operationId": "listOrders", "summary": "All orders.", "parameters": [PAGE], **OK},
            "post": {
                "operationId": "createOrder",
                "requestBody": {
                    "required": True,
                    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Order"}}},
                },
                **OK,
            },
        },
        "/orders/{order_id}": {
            "parameters": [{"$ref": "#/components/parameters/OrderId"}],
            "get": {"operationId": "getOrder", "description": "One order.", **OK},
            "delete": {"operationId": "cancelOrder", **OK},
        },
        "/ping": {"get": OK},
    },
    "components": {
        "parameters": {"OrderId": ORDER_ID},
        "schemas": {
            "Order": {
                "type": "object",
                "required": ["id", "items"],
                "properties": {
                    "id": {"type": "string", "readOnly": True},
                    "items": {"type": "array", "items": {"$ref": "#/components/schemas/Item"}},
                },
            },
            "Item": {
                "type": "object",
                "required": ["sku"],
                "properties": {
                    "sku": {"type": "string", "example": "A-1"},
                    "parts": {"type": "array", "items": {"$ref": "#/components/schemas/Item"}},
                },
            },
        },
    },
}


def shop(**changes: Any) -> dict[str, Any]:
    """A copy with other parts at its top."""
    return {**copy.deepcopy(SHOP), **changes}


def one(*parameters: dict[str, Any], method: str = "get", path: str = "/x", **operation: Any) -> dict[str, Any]:
    """A document with one operation, `x`."""
    node = {"operationId": "x", "parameters": list(parameters), **OK, **operation}
    return shop(paths={path: {method: node}})
