"""LangGraph's graphs, Google ADK's agents and LlamaIndex's as agents, with the frameworks as they are published: their turns,
that their sessions are sealed, and that docs/frameworks.md leads from nothing to its answer."""

import json
import re
import sys
from pathlib import Path

import pytest
from adapted_agents import HERE, PAGE, Adapted

MORE = {
    "adk": (),
    "langgraph": ("langchain>=1", "langchain-openai>=1"),
    "llama-index": ("llama-index-llms-openai",),
}
"""What the examples need beside the extra."""
SEALED = {
    "adk": ("adk_leaks:agent",),
    "langgraph": ("langgraph_leaks:forgetful", "langgraph_leaks:remembering"),
    "llama-index": ("llama_index_leaks:agent",),
}

sys.path.insert(0, str(HERE))


@pytest.mark.parametrize("extra", MORE)
def test_a_framework(tmp_path: Path, extra: str) -> None:
    """In one test, for what is installed serves all of it."""
    from stub_openai import StubOpenAI  # noqa: PLC0415  # beside the modules that need a framework

    name = extra.replace("-", "_")
    adapted = Adapted(tmp_path, extra, *MORE[extra])
    adapted.run(f"{name}_turns.py")
    for number, agent in enumerate(SEALED[extra]):
        folder = tmp_path / f"sealed{number}"
        folder.mkdir()
        adapted.check_sealed(folder, agent)
    [shown] = set(re.findall(r'^  "content": (".*")', PAGE.read_text(encoding="utf-8"), re.MULTILINE))
    words = json.loads(shown)
    with StubOpenAI("get_order", {"order_id": "12345"}, words) as model:
        keys = {"OPENAI_API_KEY": "sk-1", "OPENAI_BASE_URL": model.url, "OPENAI_API_BASE": model.url}
        google = {"GOOGLE_API_KEY": "AIza", "GOOGLE_GEMINI_BASE_URL": model.url.removesuffix("/v1")}
        with adapted.serving_page(tmp_path, f"{name}_shop", **keys, **google) as sandbox:
            answer = sandbox.chat("Where is my order #12345?", headers={"X-Tool-Trace": "metadata"})
            assert answer.json()["choices"][0]["message"]["content"] == words, answer.text + sandbox.log()
            assert "12345" in json.dumps(answer.json()["metadata"])
            model.status = 401
            refused = sandbox.chat("Hi", session="s2")
            assert (refused.status_code, refused.json()["error"]["code"]) == (503, "agent_unavailable"), sandbox.log()
            assert "SECRET" not in refused.text
