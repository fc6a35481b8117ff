"""LLM agents on the stub, for a conversation (talk.py)."""

from typing import Any

from stub_model import StubModel

from greenroom.agents.llm import LlmAgent, LlmOptions

QUICK: dict[str, Any] = {"backoff": 0.0}


def agent_of(model: StubModel, *, options: dict[str, Any] | None = None, **parts: Any) -> LlmAgent:
    """An agent on the stub, which is asked again at once."""
    return LlmAgent(model="openai:stub", base_url=model.url, options=LlmOptions(**QUICK, **(options or {})), **parts)
