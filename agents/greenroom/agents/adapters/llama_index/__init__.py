"""LlamaIndex: agents and workflows of agents."""

from greenroom.agents.adapters.llama_index.agent import LlamaIndexAgent

__all__ = ["LlamaIndexAgent"]
