"""Sessions read back and looked after (SESSION-01..03)."""

from typing import Annotated, Any

import msgspec
from fastapi import FastAPI, Path, Query
from starlette.requests import Request
from starlette.responses import Response

from greenroom.edge import session_schemas, views
from greenroom.edge.access import CHAT, INSPECT, require
from greenroom.edge.chat_request import ABSENT
from greenroom.edge.codec import agent_of, free_object
from greenroom.edge.errors import bad_request
from greenroom.edge.exchange import Exchange, exchange_of
from greenroom.edge.identifiers import check_id
from greenroom.edge.options import HttpOptions
from greenroom.edge.routes.answers import json_answer, read_body
from greenroom.edge.service import Service
from greenroom.v1 import session_pb2 as pb

MAX_INT64 = 2**63 - 1
PageSize = Annotated[int, Query(ge=1, le=500)]
PageToken = Annotated[str, Query(max_length=1024, pattern=r"^[\x21-\x7e]*$")]
TurnNumber = Annotated[int | None, Query(ge=0, le=MAX_INT64)]


class ForkFrom(msgspec.Struct):
    """Where a fork begins; the newest turn where none is named."""

    session_id: str | None = None
    turn: Annotated[int, msgspec.Meta(ge=0, le=MAX_INT64)] | None = None


class SessionBody(msgspec.Struct, rename={"from_": "from"}):
    """The body of `POST /v1/sessions`; unknown fields are accepted."""

    session_id: str | None = None
    user_id: str | None = None
    metadata: msgspec.Raw = ABSENT
    model: msgspec.Raw = ABSENT
    from_: ForkFrom | None = None


_decoder = msgspec.json.Decoder(SessionBody)


def add_session_routes(app: FastAPI, service: Service, options: HttpOptions) -> None:
    """`/v1/sessions` and `/v1/chats`."""
    _add_sessions(app, service)
    _add_turns(app, service)
    _add_keeping(app, service, options)


def _add_sessions(app: FastAPI, service: Service) -> None:
    @app.get("/v1/sessions", tags=["sessions"], responses={200: {"model": session_schemas.SessionPage}})
    async def list_sessions(
        request: Request,
        user_id: Annotated[str, Query(max_length=128)] = "",
        page_size: PageSize = 100,
        page_token: PageToken = "",
    ) -> Response:
        """Sessions, newest first."""
        if user_id:
            check_id(user_id, "user_id")
        page = await service.core.call(
            service.core.sessions.ListSessions,
            pb.ListSessionsRequest(user_id=user_id, page_size=page_size, page_token=page_token),
            exchange_of(request.scope),
        )
        return json_answer(
            {"sessions": [views.session(one) for one in page.sessions], "next_page_token": page.next_page_token}
        )

    @app.get("/v1/sessions/{session_id}", tags=["sessions"], responses={200: {"model": session_schemas.Session}})
    async def get_session(request: Request, session_id: str) -> Response:
        """A session as stored."""
        exchange = _named(request, session_id)
        found = await service.core.call(
            service.core.sessions.GetSession, pb.GetSessionRequest(session_id=session_id), exchange
        )
        return json_answer(views.session(found.session))


def _add_turns(app: FastAPI, service: Service) -> None:
    @app.get("/v1/sessions/{session_id}/turns", tags=["sessions"], responses={200: {"model": session_schemas.TurnPage}})
    async def list_turns(
        request: Request, session_id: str, page_size: PageSize = 100, page_token: PageToken = ""
    ) -> Response:
        """The turns in commit order, superseded ones included, and the attempts that failed."""
        exchange = _named(request, session_id)
        asked = pb.ListTurnsRequest(session_id=session_id, page_size=page_size, page_token=page_token)
        return json_answer(await _turns(service, asked, exchange))

    @app.get(
        "/v1/sessions/{session_id}/turns/{number}",
        tags=["sessions"],
        responses={200: {"model": session_schemas.WholeTurn}},
    )
    async def get_turn(request: Request, session_id: str, number: Annotated[int, Path(ge=1, le=MAX_INT64)]) -> Response:
        """One turn, with the conversation as the agent saw it."""
        exchange = _named(request, session_id)
        found = await service.core.call(
            service.core.sessions.GetTurn, pb.GetTurnRequest(session_id=session_id, number=number), exchange
        )
        return json_answer(views.whole_turn(found.turn))

    @app.get("/v1/chats/{chat_id}", tags=["sessions"], responses={200: {"model": session_schemas.Chat}})
    async def get_chat(
        request: Request, chat_id: str, page_size: PageSize = 100, page_token: PageToken = ""
    ) -> Response:
        """A session and its turns, by the conversation's own id."""
        exchange = exchange_of(request.scope)
        found = await service.core.call(
            service.core.sessions.GetSession, pb.GetSessionRequest(chat_id=check_id(chat_id, "chat_id")), exchange
        )
        exchange.session_id = found.session.session_id
        asked = pb.ListTurnsRequest(session_id=exchange.session_id, page_size=page_size, page_token=page_token)
        return json_answer({**views.session(found.session), **await _turns(service, asked, exchange)})

    @app.get("/v1/sessions/{session_id}/world", tags=["sessions"], responses={200: {"model": session_schemas.World}})
    async def get_world(
        request: Request,
        session_id: str,
        turn: TurnNumber = None,
        from_turn: Annotated[int | None, Query(alias="from", ge=0, le=MAX_INT64)] = None,
    ) -> Response:
        """The world after a turn, and what changed record by record."""
        exchange = _named(request, session_id)
        asked = pb.GetWorldRequest(session_id=session_id, turn=turn, from_turn=from_turn)
        return json_answer(await _world(service, asked, exchange))


def _add_keeping(app: FastAPI, service: Service, options: HttpOptions) -> None:
    @app.post(
        "/v1/sessions",
        tags=["sessions"],
        status_code=201,
        responses={200: {"model": session_schemas.SessionOpened}, 201: {"model": session_schemas.SessionOpened}},
    )
    async def create_session(request: Request) -> Response:
        """Open a session ahead of its first turn, or (`from`) fork one: its past, state and world are those after a turn."""
        body = await read_body(request, _decoder, options.max_body_bytes)
        exchange = exchange_of(request.scope)
        require(CHAT if body.from_ is None else INSPECT, exchange)
        origin = _origin(body.from_) if body.from_ is not None else None
        exchange.session_id = check_id(body.session_id, "session_id") if body.session_id else ""
        exchange.user_id = check_id(body.user_id, "user_id") if body.user_id else ""
        opened = await service.core.call(
            service.core.sessions.CreateSession,
            pb.CreateSessionRequest(
                session_id=exchange.session_id,
                user_id=exchange.user_id,
                metadata_json=free_object(body.metadata, "metadata"),
                origin=origin,
                agent=agent_of(body.model),
            ),
            exchange,
        )
        exchange.session_id = opened.session.session_id
        shown = {**views.session(opened.session), "sessionId": opened.session.session_id}
        return json_answer(shown, 201 if opened.created else 200)

    @app.post("/v1/sessions/{session_id}/close", tags=["sessions"], responses={200: {"model": session_schemas.Session}})
    async def close_session(request: Request, session_id: str) -> Response:
        """Close a session: it can be read, and takes no more turns."""
        exchange = _named(request, session_id)
        closed = await service.core.call(
            service.core.sessions.CloseSession, pb.CloseSessionRequest(session_id=session_id), exchange
        )
        return json_answer(views.session(closed.session))

    @app.delete("/v1/sessions/{session_id}", tags=["sessions"], status_code=204)
    async def delete_session(request: Request, session_id: str) -> Response:
        """Delete a session with its turns and world."""
        exchange = _named(request, session_id)
        await service.core.call(
            service.core.sessions.DeleteSession, pb.DeleteSessionRequest(session_id=session_id), exchange
        )
        return Response(status_code=204)


def _origin(fork: ForkFrom) -> pb.Origin:
    if not fork.session_id:
        raise bad_request("`from.session_id` is required: it names the session to fork", "from.session_id")
    return pb.Origin(session_id=check_id(fork.session_id, "from.session_id"), turn=fork.turn)


def _named(request: Request, session_id: str) -> Exchange:
    exchange = exchange_of(request.scope)
    exchange.session_id = check_id(session_id, "session_id")
    return exchange


async def _turns(service: Service, asked: pb.ListTurnsRequest, exchange: Exchange) -> dict[str, Any]:
    page = await service.core.call(service.core.sessions.ListTurns, asked, exchange)
    return {
        "turns": [views.turn(one) for one in page.turns],
        "next_page_token": page.next_page_token,
        "failed": [views.failed(one) for one in page.failed],
    }


async def _world(service: Service, asked: pb.GetWorldRequest, exchange: Exchange) -> dict[str, Any]:
    head = pb.WorldHead()
    chunks: list[bytes] = []
    changes: list[dict[str, Any]] = []
    async for part in service.core.read(service.core.sessions.GetWorld, asked, exchange):
        if part.HasField("head"):
            head = part.head
        chunks.append(part.world_json)
        changes += [views.change(one) for one in part.changes]
    return {
        "session_id": head.session_id,
        "turn": head.turn,
        "world": msgspec.Raw(b"".join(chunks) or b"{}"),
        "sha256": head.sha256,
        "changes": changes,
    }
