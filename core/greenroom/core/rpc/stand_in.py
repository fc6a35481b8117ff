"""What answers in place of a core whose agents cannot be loaded: each call gets the one error, and nobody waits in vain."""

from collections.abc import AsyncIterator
from typing import Any

import grpc
from google.rpc import status_pb2

from greenroom.core.errors import GreenroomError
from greenroom.core.rpc.server import bind_socket
from greenroom.core.rpc.status import DETAILS_KEY, code_of, to_status
from greenroom.v1 import agent_pb2

Context = grpc.aio.ServicerContext[Any, Any]

_TURNS = f"/{agent_pb2.DESCRIPTOR.services_by_name['AgentService'].full_name}/RunTurns"


class StandIn(grpc.GenericRpcHandler):
    """On a Unix socket, from `start` to `stop`. Its health is none: that call fails as all do."""

    def __init__(self, error: GreenroomError) -> None:
        self._error = error
        self._status: status_pb2.Status = to_status(error)
        self._server: grpc.aio.Server | None = None

    async def start(self, path: str) -> None:
        """Listens on the socket. Raises `CannotListen`."""
        server = self._server = grpc.aio.server(handlers=[self], options=[("grpc.so_reuseport", 0)])
        bind_socket(server, path)
        await server.start()

    async def stop(self) -> None:
        """At once: there is nothing to finish."""
        if self._server is not None:
            await self._server.stop(grace=None)

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        """On the wire a call with one message looks as one with many does."""
        if handler_call_details.method == _TURNS:
            return grpc.stream_stream_rpc_method_handler(
                self._refuse_turns,
                agent_pb2.RunTurnsRequest.FromString,
                agent_pb2.RunTurnsResponse.SerializeToString,
            )
        return grpc.stream_stream_rpc_method_handler(self._refuse)

    async def _refuse(self, _: AsyncIterator[bytes], context: Context) -> None:
        trailing = ((DETAILS_KEY, self._status.SerializeToString()),)
        await context.abort(code_of(self._error), self._error.message, trailing)

    async def _refuse_turns(
        self, requests: AsyncIterator[agent_pb2.RunTurnsRequest], _: Context
    ) -> AsyncIterator[agent_pb2.RunTurnsResponse]:
        """The stream stays open, and with it the turns that a core before this one may have run: only the next core knows."""
        async for request in requests:
            refused = [
                agent_pb2.TurnOutcome(sequence=item.sequence, error=self._status)
                for item in request.turns
                if not item.turn.resent
            ]
            if refused:
                yield agent_pb2.RunTurnsResponse(outcomes=refused)
