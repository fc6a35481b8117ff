"""`UserService`: decodes, calls the use case, encodes."""

from typing import Any

import grpc

from greenroom.core.core import Core
from greenroom.core.rpc import callers
from greenroom.core.rpc.codec import user_to
from greenroom.core.sessions import checked_page_size
from greenroom.v1 import user_pb2, user_pb2_grpc

Context = grpc.aio.ServicerContext[Any, Any]


class UserService(user_pb2_grpc.UserServiceServicer):
    def __init__(self, core: Core) -> None:
        self._core = core

    async def CreateUser(self, request: user_pb2.CreateUserRequest, context: Context) -> user_pb2.CreateUserResponse:
        principal = callers.current.get().principal
        user = await self._core.users.create(principal, request.user_id, request.metadata_json, request.profile_json)
        return user_pb2.CreateUserResponse(user=user_to(user))

    async def GetUser(self, request: user_pb2.GetUserRequest, context: Context) -> user_pb2.GetUserResponse:
        user = await self._core.users.get(callers.current.get().principal, request.user_id)
        return user_pb2.GetUserResponse(user=user_to(user))

    async def ListUsers(self, request: user_pb2.ListUsersRequest, context: Context) -> user_pb2.ListUsersResponse:
        principal = callers.current.get().principal
        page = await self._core.users.list(principal, checked_page_size(request.page_size), request.page_token)
        return user_pb2.ListUsersResponse(users=[user_to(user) for user in page.items], next_page_token=page.next_token)

    async def DeleteUser(self, request: user_pb2.DeleteUserRequest, context: Context) -> user_pb2.DeleteUserResponse:
        await self._core.sessions.delete_user(callers.current.get().principal, request.user_id)
        return user_pb2.DeleteUserResponse()
