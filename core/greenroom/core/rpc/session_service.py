"""`SessionService`: decodes, calls the use case, encodes."""

from collections.abc import AsyncIterator
from typing import Any

import grpc

from greenroom.core.core import Core
from greenroom.core.errors import PermissionDenied
from greenroom.core.openings import Origin
from greenroom.core.rpc import callers
from greenroom.core.rpc.codec import changes_to, failed_turn_to, message_to, session_to, turn_to
from greenroom.core.sessions import WorldView
from greenroom.v1 import session_pb2, session_pb2_grpc

Context = grpc.aio.ServicerContext[Any, Any]

_CHUNK_BYTES = 512 * 1024


class SessionService(session_pb2_grpc.SessionServiceServicer):
    def __init__(self, core: Core) -> None:
        self._sessions = core.sessions
        self._openings = core.openings

    async def CreateSession(
        self, request: session_pb2.CreateSessionRequest, context: Context
    ) -> session_pb2.CreateSessionResponse:
        caller = callers.current.get()
        if not request.HasField("origin"):
            session, created = await self._openings.create(
                caller.principal, request.session_id, request.user_id, request.metadata_json, request.agent
            )
            return session_pb2.CreateSessionResponse(session=session_to(session), created=created)
        if not caller.may(callers.INSPECT):
            raise PermissionDenied("a fork shows a session's past: it needs the scope inspect")
        turn = request.origin.turn if request.origin.HasField("turn") else None
        session, created = await self._openings.fork(
            caller.principal,
            request.session_id,
            request.user_id,
            request.metadata_json,
            Origin(request.origin.session_id, turn),
        )
        return session_pb2.CreateSessionResponse(session=session_to(session), created=created)

    async def GetSession(
        self, request: session_pb2.GetSessionRequest, context: Context
    ) -> session_pb2.GetSessionResponse:
        principal = callers.current.get().principal
        if request.chat_id:
            session = await self._sessions.get_chat(principal, request.chat_id)
        else:
            session = await self._sessions.get(principal, request.session_id)
        return session_pb2.GetSessionResponse(session=session_to(session))

    async def ListSessions(
        self, request: session_pb2.ListSessionsRequest, context: Context
    ) -> session_pb2.ListSessionsResponse:
        principal = callers.current.get().principal
        page = await self._sessions.list(principal, request.user_id, request.page_size, request.page_token)
        return session_pb2.ListSessionsResponse(
            sessions=[session_to(session) for session in page.items], next_page_token=page.next_token
        )

    async def GetTurn(self, request: session_pb2.GetTurnRequest, context: Context) -> session_pb2.GetTurnResponse:
        page = await self._sessions.turn(callers.current.get().principal, request.session_id, request.number)
        turn = turn_to(page.session, page.turns[0], page.current)
        turn.seen.extend([message_to(message) for message in page.seen])
        return session_pb2.GetTurnResponse(turn=turn)

    async def ListTurns(self, request: session_pb2.ListTurnsRequest, context: Context) -> session_pb2.ListTurnsResponse:
        page = await self._sessions.turns(
            callers.current.get().principal, request.session_id, request.page_size, request.page_token
        )
        return session_pb2.ListTurnsResponse(
            turns=[turn_to(page.session, turn, page.current) for turn in page.turns],
            next_page_token=page.next_token,
            failed=[failed_turn_to(failed) for failed in page.failed],
        )

    async def GetWorld(
        self, request: session_pb2.GetWorldRequest, context: Context
    ) -> AsyncIterator[session_pb2.GetWorldResponse]:
        view = await self._sessions.world(
            callers.current.get().principal,
            request.session_id,
            request.turn if request.HasField("turn") else None,
            request.from_turn if request.HasField("from_turn") else None,
        )
        for chunk in world_chunks(request.session_id, view):
            yield chunk

    async def CloseSession(
        self, request: session_pb2.CloseSessionRequest, context: Context
    ) -> session_pb2.CloseSessionResponse:
        session = await self._sessions.close(callers.current.get().principal, request.session_id)
        return session_pb2.CloseSessionResponse(session=session_to(session))

    async def DeleteSession(
        self, request: session_pb2.DeleteSessionRequest, context: Context
    ) -> session_pb2.DeleteSessionResponse:
        await self._sessions.delete(callers.current.get().principal, request.session_id)
        return session_pb2.DeleteSessionResponse()


def world_chunks(session_id: str, view: WorldView) -> list[session_pb2.GetWorldResponse]:
    """The head first, then the world, then its changes; each message under 1 MB unless a single record is larger."""
    head = session_pb2.WorldHead(session_id=session_id, turn=view.turn, sha256=view.sha256)
    data = view.world_json.encode()
    chunks = [
        session_pb2.GetWorldResponse(world_json=data[start : start + _CHUNK_BYTES])
        for start in range(0, len(data), _CHUNK_BYTES)
    ]
    size = _CHUNK_BYTES
    for change in changes_to(view.changes):
        length = change.ByteSize()
        if size + length > _CHUNK_BYTES:
            chunks.append(session_pb2.GetWorldResponse())
            size = 0
        chunks[-1].changes.append(change)
        size += length
    return [session_pb2.GetWorldResponse(head=head), *chunks]
