"""docs/tools.md, done with servers that stand for those it names."""

import json
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from shop_api import OK, one
from stub_endpoint import Asked, Told, endpoint
from stub_tool_service import Elsewhere, done, serving
from walked_page import walk


def answer(asked: Asked) -> Told:
    match asked.path:
        case "/openapi.json":
            order_id = {"name": "order_id", "in": "path", "required": True, "schema": {"type": "string"}}
            document = one(order_id, path="/orders/{order_id}", operationId="getOrder")
            document["paths"]["/orders/{order_id}/cancel"] = {
                "post": {"operationId": "cancelOrder", "parameters": [order_id], **OK}
            }
            return Told(document)
        case "/api/orders/7":
            return Told({"sku": "umbrella", "status": "on its way"})
        case "/v1/cities/Oslo?units=metric" if asked.headers["authorization"] == "Bearer sk-…":
            return Told({"now": {"degrees": 18}})
        case _:
            return Told(status=404)


async def test_the_page_does_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = Elsewhere(
        "count_stock", answer=lambda request: done({"umbrella": 3}[json.loads(request.arguments_json)["sku"]])
    )
    async with AsyncExitStack() as stack:
        served = await stack.enter_async_context(endpoint(answer))
        port = await stack.enter_async_context(serving(there))
        real = {
            "https://weather.example": served.url,
            "https://shop.example": served.url,
            "stock.example:50061": f"127.0.0.1:{port}",
        }
        await walk("tools.md", tmp_path, monkeypatch, real)
    assert "idempotency-key" in there.metadata[0]
