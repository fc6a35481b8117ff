"""Knowledge for agents (RAG): a folder of texts, and what a request's system messages bring, searched by passages.

from greenroom.agents.knowledge import Knowledge

knowledge = Knowledge("docs")
agent = Agent("helper", tools=[knowledge.tool])
agent.on_startup(knowledge.load)

docs/knowledge.md shows a whole agent. It is written on `greenroom.sdk` alone.
"""

from greenroom.agents.knowledge.knowledge import Knowledge
from greenroom.agents.knowledge.passage import Passage
from greenroom.agents.knowledge.settings import read_knowledge

__all__ = ["Knowledge", "Passage", "read_knowledge"]
