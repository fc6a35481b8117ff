"""Agents and teams of agno."""

from greenroom.agents.adapters.agno.agent import AgnoAgent

__all__ = ["AgnoAgent"]
