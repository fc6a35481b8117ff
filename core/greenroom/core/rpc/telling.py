"""A reply as the events that tell it, whichever RPC carries them."""

from greenroom.core.feed import Begun, Event, Feed
from greenroom.core.records import ToolCallRecord
from greenroom.core.request import TurnReply
from greenroom.core.rpc.codec import timestamp, tool_calls_to
from greenroom.v1 import agent_pb2


def last_events(feed: Feed, reply: TurnReply) -> list[Event]:
    """What of a stored reply was not told yet: all of it, where nothing was. Raises `StreamBroken`."""
    events = feed.take()
    if not feed.begun:
        session, turn = reply.session, reply.turn
        began = Begun(
            session.session_id, session.chat_id, turn.completion_id, session.agent, turn.created_at, reply.replayed
        )
        events.append(began)
    return [*events, *feed.rest(reply.turn)]


def event_to(event: Event) -> agent_pb2.StreamTurnResponse:
    if isinstance(event, str):
        return agent_pb2.StreamTurnResponse(text_delta=event)
    if isinstance(event, ToolCallRecord):
        return agent_pb2.StreamTurnResponse(tool_call=tool_calls_to([event])[0])
    return agent_pb2.StreamTurnResponse(
        started=agent_pb2.StreamStarted(
            session_id=event.session_id,
            chat_id=event.chat_id,
            completion_id=event.completion_id,
            started_at=timestamp(event.at),
            agent=event.agent,
            replayed=event.replayed,
        )
    )
