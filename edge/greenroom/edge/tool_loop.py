"""A client that runs our tool calls itself and sends their results (CHAT-19)."""

from greenroom.edge.client import CoreClient
from greenroom.edge.errors import bad_request
from greenroom.edge.exchange import Exchange
from greenroom.v1.agent_pb2 import RunTurnRequest
from greenroom.v1.session_pb2 import GetSessionRequest, GetTurnRequest
from greenroom.v1.turn_pb2 import Reply


async def answered_reply(core: CoreClient, turn: RunTurnRequest, call_ids: list[str], exchange: Exchange) -> Reply:
    """The stored reply whose calls are answered: the newest of the session. 400 when they are not that reply's."""
    if not turn.session_id:
        raise bad_request("A request that ends with `tool` messages needs `session_id`", "session_id")
    session = (
        await core.call(core.sessions.GetSession, GetSessionRequest(session_id=turn.session_id), exchange)
    ).session
    unknown = bad_request(
        "The last message must be from the user: its `tool_call_id` names no call of the session's newest reply",
        f"messages[{len(turn.messages) - 1}].tool_call_id",
    )
    if not session.head:
        raise unknown
    newest = await core.call(
        core.sessions.GetTurn, GetTurnRequest(session_id=turn.session_id, number=session.head), exchange
    )
    if not {call.id for call in newest.turn.reply.tool_calls}.issuperset(call_ids):
        raise unknown
    return newest.turn.reply
