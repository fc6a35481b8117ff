"""Google ADK: agents, workflows and apps."""

from greenroom.agents.adapters.adk.agent import AdkAgent

__all__ = ["AdkAgent"]
