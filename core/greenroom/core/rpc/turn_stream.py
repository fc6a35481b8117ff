"""One long-lived stream of turns from an edge: how lists of turns share it, and what becomes of them when it breaks."""

import asyncio
import secrets
from collections import deque
from collections.abc import AsyncIterator, Iterable

from greenroom.core.errors import GreenroomError, TurnCancelled
from greenroom.core.rpc import callers
from greenroom.core.rpc.callers import principal_of
from greenroom.core.rpc.codec import turn_request, write_reply
from greenroom.core.rpc.status import to_status, unexpected
from greenroom.core.rpc.turn_runner import TurnRunner
from greenroom.v1 import agent_pb2

_LIST_BYTES = 256 * 1024  # what one message carries at most, a larger turn alone excepted
# Seconds in which a reply that was sent may still be lost with the edge. It takes an edge one or two milliseconds to pass it
# on; any longer, and a client that has its reply and says the same again would be taken for one that has not.
_UNDER_WAY = 0.005


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
        self._open: dict[int, tuple[str, asyncio.Task[None]]] = {}
        self._done: list[tuple[str, agent_pb2.TurnOutcome]] = []
        self._sent: deque[tuple[float, str]] = deque()
        """Attempts whose reply was sent a moment ago: it may not have got further."""
        self._more = asyncio.Event()

    async def read(self, requests: AsyncIterator[agent_pb2.RunTurnsRequest]) -> None:
        """Starts what comes in, until the caller closes its side."""
        try:
            async for request in requests:
                for item in request.turns:
                    attempt_id = item.turn.attempt_id
                    if not attempt_id:  # it has to be known by something, should its client leave
                        attempt_id = item.turn.attempt_id = secrets.token_hex(16)
                    task = asyncio.create_task(self._run(item))
                    if not task.done():
                        self._open[item.sequence] = attempt_id, task
                        self._tasks.add(task)
                for sequence in request.cancel:
                    if sequence in self._open:
                        self._open[sequence][1].cancel()
                if request.left:
                    self._note_left(request.left)
        finally:
            self._more.set()

    async def outcomes(self, reading: "asyncio.Task[None]") -> AsyncIterator[agent_pb2.RunTurnsResponse]:
        """Lists of outcomes, until the caller has closed its side and every turn is answered."""
        ended = False
        try:
            while not reading.done() or self._open or self._done:
                await self._more.wait()
                self._more.clear()
                await asyncio.sleep(0)  # what completes in this tick goes into the same message
                done, self._done = self._done, []
                now = asyncio.get_running_loop().time()
                while self._sent and self._sent[0][0] < now - _UNDER_WAY:
                    self._sent.popleft()
                self._sent.extend([(now, attempt) for attempt, _ in done])
                for outcomes in in_lists([outcome for _, outcome in done]):
                    yield agent_pb2.RunTurnsResponse(outcomes=outcomes)
            ended = True
        finally:
            if not ended:
                broke_at = asyncio.get_running_loop().time()
                self._note_left(
                    [attempt for attempt, _ in self._open.values()]
                    + [attempt for attempt, _ in self._done]
                    + [attempt for sent_at, attempt in self._sent if sent_at >= broke_at - _UNDER_WAY]
                )

    def _note_left(self, attempts: Iterable[str]) -> None:
        """The clients of these turns are gone, or the edge is that would have brought them their replies."""
        for attempt in attempts:
            task = asyncio.create_task(self._runner.left(attempt))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

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
            entry = self._open.pop(item.sequence, None)
            if entry is not None:
                self._tasks.discard(entry[1])
            self._more.set()
        self._done.append((item.turn.attempt_id, outcome))


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
