"""Agents that run in a process of their own: behind gRPC, or a command that reads and writes JSON lines.

They are described in docs/remote-agents.md.
"""

from greenroom.agents.remote.command.agent import CommandAgent
from greenroom.agents.remote.rpc.agent import GrpcAgent

__all__ = ["CommandAgent", "GrpcAgent"]
