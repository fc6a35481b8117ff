"""What an agent's author imports.

from greenroom.sdk import Agent, Reply, Turn, World, tool

@tool
def get_order_status(world: World, order_id: str) -> dict:
    \"\"\"Look up where an order stands.\"\"\"
    return world["orders"][order_id]

agent = Agent("support", tools=[get_order_status], world="orders.yaml")

@agent.reply
async def reply(turn: Turn) -> Reply:
    order = await turn.call(get_order_status, order_id=turn.text.strip("# ?"))
    return Reply(f"It is {order['status']}.", confidence=0.9)
"""

from greenroom.core.agent import (
    Agent,
    AgentError,
    AgentUnavailable,
    ConversationTooLong,
    Reply,
    Usage,
    as_agent,
    delegate,
)
from greenroom.core.conversation import Conversation
from greenroom.core.notes import EarlierSession, Fact
from greenroom.core.plain import WorldError
from greenroom.core.records import Message
from greenroom.core.tool_source import ToolSource
from greenroom.core.toolbox import OutsideCall
from greenroom.core.tools import Call, Tool, ToolError, ToolFailed, User, tool
from greenroom.core.turn import Turn
from greenroom.core.user_memory import UserMemory
from greenroom.core.world import World

__all__ = [
    "Agent",
    "AgentError",
    "AgentUnavailable",
    "Call",
    "Conversation",
    "ConversationTooLong",
    "EarlierSession",
    "Fact",
    "Message",
    "OutsideCall",
    "Reply",
    "Tool",
    "ToolError",
    "ToolFailed",
    "ToolSource",
    "Turn",
    "Usage",
    "User",
    "UserMemory",
    "World",
    "WorldError",
    "as_agent",
    "delegate",
    "tool",
]
