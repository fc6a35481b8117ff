"""One long-lived stream of turns from an edge: how lists of turns share it, and what becomes of them when it breaks."""

import asyncio
import secrets
from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain
from typing import NamedTuple

from greenroom.core.errors import GreenroomError, TurnCancelled
from greenroom.core.feed import Event, Feed
from greenroom.core.rpc import callers
from greenroom.core.rpc.callers import principal_of
from greenroom.core.rpc.codec import turn_request, write_reply
from greenroom.core.rpc.status import to_status, unexpected
from greenroom.core.rpc.telling import event_to, last_events
from greenroom.core.rpc.turn_runner import TurnRunner
from greenroom.v1 import agent_pb2

_LIST_BYTES = 256 * 1024  # what one message carries at most, a larger turn alone excepted
# Seconds in which a reply that was sent may still be lost with the edge. It takes an edge one or two milliseconds to pass it
# on; any longer, and a client that has its reply and says the same again would be taken for one that has not.
_UNDER_WAY = 0.005


class OpenTurn(NamedTuple):
    """A turn that is being run. `stays`: a streamed one goes on without its reader."""

    attempt_id: str
    task: "asyncio.Task[None]"
    stays: bool


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
        self._open: dict[int, OpenTurn] = {}
        self._done: list[tuple[str, agent_pb2.TurnOutcome]] = []
        self._feeds: dict[int, Feed] = {}
        """Of the streamed turns that are being run."""
        self._telling: set[int] = set()
        """Those that have something to tell."""
        self._told: list[agent_pb2.TurnEvents] = []
        """What streamed turns have told that are over."""
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
                    if item.stream:
                        self._feeds[item.sequence] = Feed(partial(self._has_more, item.sequence))
                    task = asyncio.create_task(self._run(item))
                    if not task.done():
                        self._open[item.sequence] = OpenTurn(attempt_id, task, bool(item.turn.idempotency_key))
                        self._tasks.add(task)
                for sequence in request.cancel:
                    if sequence in self._open:  # after it has begun: one that came with this list has not
                        asyncio.get_running_loop().call_soon(self._open[sequence].task.cancel)
                for progress in request.read:
                    if progress.sequence in self._feeds:
                        self._feeds[progress.sequence].acknowledge(progress.characters)
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
                told = self._take() if self._telling or self._told else ()
                done, self._done = self._done, []
                now = asyncio.get_running_loop().time()
                while self._sent and self._sent[0][0] < now - _UNDER_WAY:
                    self._sent.popleft()
                self._sent.extend([(now, attempt) for attempt, _ in done])
                for response in in_messages(told, [outcome for _, outcome in done]):
                    yield response
            ended = True
        finally:
            if not ended:
                broke_at = asyncio.get_running_loop().time()
                self._note_left(
                    [turn.attempt_id for turn in self._open.values()]
                    + [attempt for attempt, _ in self._done]
                    + [attempt for sent_at, attempt in self._sent if sent_at >= broke_at - _UNDER_WAY]
                )

    def _note_left(self, attempts: Iterable[str]) -> None:
        """The clients of these turns are gone, or the edge is that would have brought them their replies."""
        streamed = {self._open[sequence].attempt_id: sequence for sequence in self._feeds if sequence in self._open}
        for attempt in attempts:
            if attempt in streamed:
                sequence = streamed[attempt]
                turn = self._open[sequence]
                self._feeds[sequence].close()
                leaving = self._runner.stopped_reading(attempt, turn.task, stays=turn.stays)
            else:
                leaving = self._runner.left(attempt)
            task = asyncio.create_task(leaving)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _has_more(self, sequence: int) -> None:
        if sequence in self._feeds:
            self._telling.add(sequence)
            self._more.set()

    def _take(self) -> list[agent_pb2.TurnEvents]:
        """What there is to tell."""
        for sequence in self._telling:
            self._tell(sequence, self._feeds[sequence].take())
        self._telling.clear()
        told, self._told = self._told, []
        return told

    def _tell(self, sequence: int, events: Sequence[Event]) -> None:
        if events:
            told = [event_to(event) for event in events]
            self._told.append(agent_pb2.TurnEvents(sequence=sequence, events=told))

    async def _run(self, item: agent_pb2.TurnItem) -> None:
        outcome, feed = agent_pb2.TurnOutcome(sequence=item.sequence), self._feeds.get(item.sequence)
        try:
            request = item.turn
            timeout = request.timeout_ms / 1000 if request.timeout_ms else None
            turn = turn_request(request, principal_of(request, self._caller), timeout)
            turn.feed = feed
            reply = await self._runner.run(turn, log=self._log)
            if feed is not None:
                self._tell(item.sequence, last_events(feed, reply))
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
                self._tasks.discard(entry.task)
            if feed is not None:
                del self._feeds[item.sequence]
                self._telling.discard(item.sequence)
                self._tell(item.sequence, feed.take())
                feed.close()
            self._more.set()
        self._done.append((item.turn.attempt_id, outcome))


def in_parts(told: agent_pb2.TurnEvents) -> Iterable[agent_pb2.TurnEvents]:
    """Each event by itself, where they are too large together: tools that ran at a time may all have had large results."""
    if told.ByteSize() <= _LIST_BYTES:
        return (told,)
    return (agent_pb2.TurnEvents(sequence=told.sequence, events=[event]) for event in told.events)


def in_messages(
    told: Iterable[agent_pb2.TurnEvents], outcomes: Iterable[agent_pb2.TurnOutcome]
) -> Iterator[agent_pb2.RunTurnsResponse]:
    """One, or as many as it takes for none to be too large; what is larger by itself goes alone."""
    response, size = agent_pb2.RunTurnsResponse(), 0
    parts: list[agent_pb2.TurnEvents | agent_pb2.TurnOutcome] = [*chain.from_iterable(map(in_parts, told)), *outcomes]
    for part in parts:
        length = part.ByteSize()
        if size and size + length > _LIST_BYTES:
            yield response
            response, size = agent_pb2.RunTurnsResponse(), 0
        if isinstance(part, agent_pb2.TurnEvents):
            response.told.append(part)
        else:
            response.outcomes.append(part)
        size += length
    if size:
        yield response
