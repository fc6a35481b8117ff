"""Agents and crews of CrewAI."""

from greenroom.agents.adapters.crewai.agent import CrewAIAgent

__all__ = ["CrewAIAgent"]
