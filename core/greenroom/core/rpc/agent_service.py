"""`AgentService`: decodes, calls the use case, encodes. How lists of turns share one stream is below."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc

from greenroom.core.core import Core
from greenroom.core.errors import GreenroomError, TurnCancelled
from greenroom.core.request import Principal
from greenroom.core.rpc import callers
from greenroom.core.rpc.codec import reply_to, turn_request, write_reply
from greenroom.core.rpc.status import to_status, unexpected
from greenroom.core.rpc.turn_runner import TurnRunner
from greenroom.v1 import agent_pb2, agent_pb2_grpc

Context = grpc.aio.ServicerContext[Any, Any]

_LIST_BYTES = 256 * 1024  # what one message carries at most, a larger turn alone excepted


class AgentService(agent_pb2_grpc.AgentServiceServicer):
    def __init__(self, core: Core, runner: TurnRunner) -> None:
        self._core = core
        self._runner = runner
        self._tasks: set[asyncio.Task[None]] = set()
        """Turns that came over streams; they outlive a stream that breaks."""

    async def RunTurn(self, request: agent_pb2.RunTurnRequest, context: Context) -> agent_pb2.RunTurnResponse:
        turn = turn_request(request, principal_of(request, callers.current.get()), context.time_remaining())
        return agent_pb2.RunTurnResponse(reply=reply_to(await self._runner.run(turn)))

    async def StreamTurn(
        self, request: agent_pb2.StreamTurnRequest, context: Context
    ) -> AsyncIterator[agent_pb2.StreamTurnResponse]:
        turn = turn_request(request.turn, principal_of(request.turn, callers.current.get()), context.time_remaining())
        reply = reply_to(await self._runner.run(turn, log=not callers.is_local_edge(context)))
        if reply.text:
            yield agent_pb2.StreamTurnResponse(text_delta=reply.text)
        yield agent_pb2.StreamTurnResponse(completed=reply)

    async def RunTurns(
        self, request_iterator: AsyncIterator[agent_pb2.RunTurnsRequest], context: Context
    ) -> AsyncIterator[agent_pb2.RunTurnsResponse]:
        log = not callers.is_local_edge(context)
        stream = TurnStream(self._runner, callers.current.get(), self._tasks, log=log)
        reading = asyncio.create_task(stream.read(request_iterator))
        try:
            async for response in stream.outcomes(reading):
                yield response
        finally:
            reading.cancel()

    async def ListAgents(self, request: agent_pb2.ListAgentsRequest, context: Context) -> agent_pb2.ListAgentsResponse:
        served = self._core.served
        info = agent_pb2.AgentInfo(
            id=served.id, description=served.agent.description, tools=[tool.name for tool in served.agent.tools]
        )
        return agent_pb2.ListAgentsResponse(agents=[info])


def principal_of(request: agent_pb2.RunTurnRequest, caller: callers.Caller) -> Principal:
    """On whose behalf a turn runs: what a trusted caller says, else what the caller's own key says."""
    if caller.trusted and request.HasField("caller"):
        return Principal(request.caller.namespace, request.caller.key_name)
    return caller.principal


class TurnStream:
    """One `RunTurns` call. It reads on at once and runs a task per turn; outcomes that complete in one tick share a
    message. So a slow turn holds nobody back, and turns that arrive together commit together."""

    def __init__(
        self, runner: TurnRunner, caller: callers.Caller, tasks: "set[asyncio.Task[None]]", *, log: bool
    ) -> None:
        self._runner = runner
        self._log = log
        self._caller = caller
        self._tasks = tasks
        self._open: dict[int, asyncio.Task[None]] = {}
        self._done: list[agent_pb2.TurnOutcome] = []
        self._more = asyncio.Event()

    async def read(self, requests: AsyncIterator[agent_pb2.RunTurnsRequest]) -> None:
        """Starts what comes in, until the caller closes its side."""
        try:
            async for request in requests:
                for item in request.turns:
                    task = asyncio.create_task(self._run(item))
                    if not task.done():
                        self._open[item.sequence] = task
                        self._tasks.add(task)
                for sequence in request.cancel:
                    if (task_to_stop := self._open.get(sequence)) is not None:
                        task_to_stop.cancel()
        finally:
            self._more.set()

    async def outcomes(self, reading: "asyncio.Task[None]") -> AsyncIterator[agent_pb2.RunTurnsResponse]:
        """Lists of outcomes, until the caller has closed its side and every turn is answered."""
        while not reading.done() or self._open or self._done:
            await self._more.wait()
            self._more.clear()
            await asyncio.sleep(0)  # what completes in this tick goes into the same message
            done, self._done = self._done, []
            for outcomes in in_lists(done):
                yield agent_pb2.RunTurnsResponse(outcomes=outcomes)

    async def _run(self, item: agent_pb2.TurnItem) -> None:
        outcome = agent_pb2.TurnOutcome(sequence=item.sequence)
        try:
            request = item.turn
            timeout = request.timeout_ms / 1000 if request.timeout_ms else None
            turn = turn_request(request, principal_of(request, self._caller), timeout)
            reply = await self._runner.run(turn, log=self._log)
            write_reply(outcome.reply, reply.session, reply.turn, reply.replayed)
        except GreenroomError as error:
            outcome.error.CopyFrom(to_status(error))
        except asyncio.CancelledError:
            outcome.error.CopyFrom(to_status(TurnCancelled("the turn was cancelled by its caller")))
        except (ValueError, TypeError):  # a reply that protobuf does not take: this turn's failure, not the stream's
            outcome.error.CopyFrom(to_status(unexpected()))
        finally:
            task = self._open.pop(item.sequence, None)
            if task is not None:
                self._tasks.discard(task)
            self._more.set()
        self._done.append(outcome)


def in_lists(outcomes: list[agent_pb2.TurnOutcome]) -> list[list[agent_pb2.TurnOutcome]]:
    """Cut so that no message is too large; a larger turn goes alone."""
    lists: list[list[agent_pb2.TurnOutcome]] = []
    size = _LIST_BYTES
    for outcome in outcomes:
        length = outcome.ByteSize()
        if size + length > _LIST_BYTES:
            lists.append([])
            size = 0
        lists[-1].append(outcome)
        size += length
    return lists
