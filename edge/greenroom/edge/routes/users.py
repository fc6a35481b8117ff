"""Simulated users (USER-01..05)."""

import msgspec
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from greenroom.edge import schemas, views
from greenroom.edge.chat_request import ABSENT
from greenroom.edge.codec import free_object
from greenroom.edge.exchange import exchange_of
from greenroom.edge.identifiers import check_id, check_new_user_id
from greenroom.edge.options import HttpOptions
from greenroom.edge.routes.answers import json_answer, read_body
from greenroom.edge.service import Service
from greenroom.v1.user_pb2 import CreateUserRequest, DeleteUserRequest, GetUserRequest


class UserBody(msgspec.Struct):
    """The body of `POST /users`; unknown fields are accepted."""

    user_id: str
    metadata: msgspec.Raw = ABSENT
    profile: msgspec.Raw = ABSENT


_decoder = msgspec.json.Decoder(UserBody)


def add_user_routes(app: FastAPI, service: Service, options: HttpOptions) -> None:
    """`/users`."""

    @app.post("/users", tags=["users"], responses={200: {"model": schemas.UserCreated}})
    async def create_user(request: Request) -> Response:
        """Create a user, or replace the metadata and profile of the one there is."""
        body = await read_body(request, _decoder, options.max_body_bytes)
        exchange = exchange_of(request.scope)
        exchange.user_id = check_new_user_id(body.user_id)
        stored = await service.core.call(
            service.core.users.CreateUser,
            CreateUserRequest(
                user_id=body.user_id,
                metadata_json=free_object(body.metadata, "metadata"),
                profile_json=free_object(body.profile, "profile"),
            ),
            exchange,
        )
        shown = views.user(stored.user)
        return json_answer({name: shown[name] for name in ("user_id", "created_at", "status")})

    @app.get("/users/{user_id}", tags=["users"], responses={200: {"model": schemas.User}})
    async def get_user(request: Request, user_id: str) -> Response:
        """A user as stored."""
        exchange = exchange_of(request.scope)
        exchange.user_id = check_id(user_id, "user_id")
        stored = await service.core.call(service.core.users.GetUser, GetUserRequest(user_id=user_id), exchange)
        return json_answer(views.user(stored.user))

    @app.delete("/users/{user_id}", tags=["users"], status_code=204)
    async def delete_user(request: Request, user_id: str) -> Response:
        """Delete a user with all sessions, worlds and memory."""
        exchange = exchange_of(request.scope)
        exchange.user_id = check_id(user_id, "user_id")
        await service.core.call(service.core.users.DeleteUser, DeleteUserRequest(user_id=user_id), exchange)
        return Response(status_code=204)
