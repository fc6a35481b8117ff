"""The chat route against a core that answers the published tool call (CHAT-01..10)."""

import httpx2
import pytest
from edge_running import published
from fake_core import FakeCore

PATH = "/v1/chat/completions"


@pytest.mark.parametrize("name", ["chat-minimal", "chat-basic", "chat-full", "chat-tools", "chat-curl"])
async def test_every_published_request_is_answered(client: httpx2.AsyncClient, core: FakeCore, name: str) -> None:
    request = published(f"{name}.request")
    response = await client.post(PATH, json=request)
    assert response.status_code == 200, response.text
    body = response.json()
    expected = published("chat-tools.response")
    assert body["choices"] == [{"index": 0, "finish_reason": "stop", **expected["choices"][0]}]
    assert body["session_id"] == request.get("session_id", "minted_session")
    assert body["object"] == "chat.completion"
    assert body["usage"] == {"prompt_tokens": 9, "completion_tokens": 21, "total_tokens": 30}
    assert body["metadata"] == {
        "response_time_ms": 12,
        "tools_used": ["get_order_status"],
        "turn": 1,
        "history": "new",
        "scenario": {"id": "default", "requested": None, "found": False},
    }
    turn = core.turns[-1]
    assert [(one.role, one.content) for one in turn.messages] == [
        (one["role"], one["content"]) for one in request["messages"]
    ]
