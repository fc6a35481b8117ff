"""LangGraph: compiled graphs, with and without a checkpointer; agents of `create_agent` are such graphs."""

from greenroom.agents.adapters.langgraph.agent import LangGraphAgent
from greenroom.agents.adapters.langgraph.shape import Shape

__all__ = ["LangGraphAgent", "Shape"]
