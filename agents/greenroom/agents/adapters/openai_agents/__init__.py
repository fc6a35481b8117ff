"""Agents of the OpenAI Agents SDK (`openai-agents`)."""

from greenroom.agents.adapters.openai_agents.agent import OpenAIAgentsAgent

__all__ = ["OpenAIAgentsAgent"]
