"""An agent that asks a model: instructions, a model and tools. docs/llm-agent.md is its page.

It needs the extra `llm`, which is imported when the agent starts, never with this package.
"""

from greenroom.agents.llm.agent import LlmAgent
from greenroom.agents.llm.options import Endpoint, LlmOptions
from greenroom.agents.llm.table import read_llm

__all__ = ["Endpoint", "LlmAgent", "LlmOptions", "read_llm"]
