"""Agents, crews and flows of CrewAI."""

from greenroom.agents.adapters.crewai.agent import CrewAIAgent
from greenroom.agents.adapters.crewai.flow_agent import CrewAIFlowAgent

__all__ = ["CrewAIAgent", "CrewAIFlowAgent"]
