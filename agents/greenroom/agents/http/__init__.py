"""Agents behind HTTP endpoints that run already: of a shape of their own, or OpenAI's.

from greenroom.agents.http import AnswerPaths, HttpAgent

agent = HttpAgent("https://host/chat", AnswerPaths(reply="$.answer", tools="$.actions"), request="body.json.j2")
"""

from greenroom.agents.http.agent import HttpAgent
from greenroom.agents.http.answer import AnswerPaths
from greenroom.agents.http.openai_agent import OpenAiAgent

__all__ = ["AnswerPaths", "HttpAgent", "OpenAiAgent"]
