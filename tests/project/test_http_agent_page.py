"""docs/http-agent.md, done with an endpoint that stands for the shop's, and one for the model."""

from pathlib import Path

import pytest
from stub_endpoint import Asked, Told, endpoint
from walked_page import walk

from greenroom.agents.agent_file import read_agent_file

SHOP = {
    "answer": "It has been shipped.",
    "actions": [{"name": "get_order", "args": {"id": "12345"}, "result": {"status": "shipped"}}],
}
MODEL = {
    "choices": [{"message": {"role": "assistant", "content": "Hello!"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 9, "completion_tokens": 2},
}


def answer(asked: Asked) -> Told:
    return Told(SHOP if asked.path == "/chat" else MODEL)


async def test_the_page_does_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with endpoint(answer) as served:
        real = {"https://shop.example": served.url, "https://models.example": served.url}
        await walk("http-agent.md", tmp_path, monkeypatch, real)
    shop, model = served.asked
    assert shop.body == {"question": "Where is my order #12345?", "customer": "ada", "conversation": "s1"}
    assert shop.headers["authorization"] == "Bearer sk-…"
    assert (model.path, model.body["model"], model.body["temperature"]) == ("/v1/chat/completions", "small", 0.2)
    assert read_agent_file(tmp_path / "shop.toml").name == "shop"
