"""A client that runs our tool calls itself and sends their results (CHAT-19)."""

import asyncio

from greenroom.edge.client import CoreClient
from greenroom.edge.errors import bad_request
from greenroom.edge.exchange import Exchange
from greenroom.v1.agent_pb2 import RunTurnRequest
from greenroom.v1.session_pb2 import GetSessionRequest, GetTurnRequest
from greenroom.v1.turn_pb2 import Reply

LOOK_BACK = 8
"""Among how many of the session's last turns the one is looked for whose calls are answered."""

NEEDS_SESSION = (
    "A request that ends with `tool` messages needs `session_id`. A client that would run our tool calls once more is not "
    "shown them as calls with the header `X-Tool-Trace: metadata`"
)


async def answered_reply(core: CoreClient, turn: RunTurnRequest, call_ids: list[str], exchange: Exchange) -> Reply:
    """The stored reply whose calls are answered: of the newest turn as a rule, else of one shortly before, which another
    client of the session has overtaken or which was superseded. 400 when there is none."""
    if not turn.session_id:
        raise bad_request(NEEDS_SESSION, "session_id")
    found = await core.call(core.sessions.GetSession, GetSessionRequest(session_id=turn.session_id), exchange)
    session = found.session
    wanted = set(call_ids)

    async def stored(number: int) -> Reply:
        asked = GetTurnRequest(session_id=turn.session_id, number=number)
        return (await core.call(core.sessions.GetTurn, asked, exchange)).turn.reply

    def made_them(reply: Reply) -> bool:
        return wanted <= {call.id for call in reply.tool_calls}

    if session.head and made_them(newest := await stored(session.head)):
        return newest
    oldest = max(1, session.turn_count - LOOK_BACK + 1)
    numbers = [number for number in range(session.turn_count, oldest - 1, -1) if number != session.head]
    for earlier in await asyncio.gather(*map(stored, numbers)):
        if made_them(earlier):
            return earlier
    raise bad_request(
        "The last message must be from the user: its `tool_call_id` names no call of the session's last replies",
        f"messages[{len(turn.messages) - 1}].tool_call_id",
    )
