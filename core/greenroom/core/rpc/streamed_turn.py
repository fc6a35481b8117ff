"""One turn whose reply is told while it is made: `StreamTurn`."""

import asyncio
import secrets
from collections.abc import AsyncGenerator
from typing import Any

from greenroom.core.feed import Feed, size_of
from greenroom.core.request import TurnReply, TurnRequest
from greenroom.core.rpc.codec import reply_to
from greenroom.core.rpc.telling import event_to, last_events
from greenroom.core.rpc.turn_runner import TurnRunner
from greenroom.v1 import agent_pb2

_READ_WITHIN = 0.05
"""Seconds: a caller that ends its call so soon after the last event has read it. Many do not wait for the end."""


class StreamedTurn:
    """Runs the turn in a task of its own, which outlives its reader for a while (STREAM-06)."""

    def __init__(self, runner: TurnRunner, request: TurnRequest, tasks: "set[asyncio.Task[Any]]", *, log: bool) -> None:
        if not request.attempt_id:  # it has to be known by something, should its reader leave
            request.attempt_id = secrets.token_hex(16)
        self._runner = runner
        self._request = request
        self._tasks = tasks
        self._more = asyncio.Event()
        self._feed = request.feed = Feed(self._more.set)
        self._told = False
        self._telling = float("-inf")
        """When the last event was sent off."""
        self._turn = asyncio.create_task(runner.run(request, log=log))
        tasks.add(self._turn)
        self._turn.add_done_callback(self._ended)

    async def events(self) -> AsyncGenerator[agent_pb2.StreamTurnResponse]:
        """The reply as it is made, then whole. Raises what the turn raises, or `StreamBroken`."""
        over = False
        while not over:
            over = self._turn.done()
            self._more.clear()
            for event in self._feed.take():
                yield event_to(event)
                self._feed.acknowledge(size_of(event))  # gRPC takes no more from here than its caller reads
            if not over:
                await self._more.wait()
        reply = await self._turn
        for event in last_events(self._feed, reply):
            yield event_to(event)
        self._telling = asyncio.get_running_loop().time()
        yield agent_pb2.StreamTurnResponse(completed=reply_to(reply))
        self._told = True

    def leave(self) -> None:
        """There is no reader any more."""
        self._feed.close()
        if self._told or asyncio.get_running_loop().time() - self._telling < _READ_WITHIN:
            return
        if not (self._turn.done() and (self._turn.cancelled() or self._turn.exception())):
            stays = bool(self._request.idempotency_key)
            leaving = self._runner.stopped_reading(self._request.attempt_id, self._turn, stays=stays)
            task = asyncio.create_task(leaving)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _ended(self, turn: "asyncio.Task[TurnReply]") -> None:
        self._tasks.discard(turn)
        self._feed.close()
        if not turn.cancelled():
            turn.exception()  # whoever would have heard of it may have left
