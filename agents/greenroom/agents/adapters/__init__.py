"""Agents of other frameworks, served as they are: one module for each framework, its class derived from `Agent`.

What an adapter carries over of tools, streaming, usage, history and state is in docs/frameworks.md; why it is built this way
in docs/adr/0010-adapters.md.
"""

from greenroom.agents.adapters.recognition import adapt
from greenroom.agents.adapters.tools import current_turn

__all__ = ["adapt", "current_turn"]
