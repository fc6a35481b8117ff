"""Agents of pydantic-ai."""

from greenroom.agents.adapters.pydantic_ai.agent import PydanticAIAgent

__all__ = ["PydanticAIAgent"]
