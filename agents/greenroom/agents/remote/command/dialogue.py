"""One turn with one process: its events are acted upon as they come, until it has replied."""

import asyncio

from greenroom.agents.remote.command.lines import (
    Ending,
    Outside,
    ToolCall,
    Trouble,
    failure_line,
    read_event,
    result_line,
)
from greenroom.agents.remote.failure import RemoteFailed
from greenroom.sdk import AgentUnavailable, Reply, ToolFailed, Turn, Usage
from greenroom.tools.child import Child, LineTooLong
from greenroom.tools.excerpt import shortened

_LONGEST_PAUSE = 60.0


class Dialogue:
    """Made for one turn."""

    def __init__(self, turn: Turn, turn_id: str, child: Child) -> None:
        self._turn = turn
        self._id = turn_id
        self._child = child
        self._calls: set[asyncio.Task[None]] = set()
        self._refused: BaseException | None = None
        self.has_spoken = False
        """Whether there is any text of a reply."""

    async def reply(self) -> Reply | None:
        """What it replies; None when its output ends without that. Raises `RemoteFailed` for what is no event, and what it
        says of itself."""
        try:
            ending = await self._heard()
            if self._calls:
                await asyncio.wait(self._calls)
        finally:
            for call in self._calls:
                call.cancel()
        if self._refused is not None:
            raise self._refused
        return None if ending is None else self._replied(ending)

    async def _heard(self) -> Ending | None:
        while (line := await self._line()) is not None:
            if not line.strip():
                continue
            event = read_event(line)
            if event.id and event.id != self._id:
                raise RemoteFailed(f"it told of turn {shortened(event.id)}, which is over")
            if event.text is not None:
                self.has_spoken = True
                self._turn.say(event.text)
                await self._turn.keep_pace()
            elif event.tool_call is not None:
                self._call(event.tool_call)
            elif event.outside is not None:
                self._record(event.outside)
            elif event.error is not None:
                raise _failure(event.error)
            elif event.reply is not None:
                return Ending(event.reply) if isinstance(event.reply, str) else event.reply
        return None

    async def _line(self) -> bytes | None:
        try:
            return await self._child.line()
        except LineTooLong as problem:
            raise RemoteFailed(str(problem)) from None

    def _call(self, call: ToolCall) -> None:
        task = asyncio.create_task(self._answer(call))
        self._calls.add(task)
        task.add_done_callback(self._called)

    async def _answer(self, call: ToolCall) -> None:
        try:
            result = await self._turn.call(call.name, **call.arguments)
        except ToolFailed as failed:
            self._child.send(failure_line(call.id, failed.type, failed.message))
        else:
            self._child.send(result_line(call.id, result))

    def _called(self, task: "asyncio.Task[None]") -> None:
        self._calls.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:  # a bound was passed: the turn is lost
            self._refused = self._refused or error
            self._child.kill()

    def _record(self, outside: Outside) -> None:
        opened = self._turn.outside(outside.name, outside.arguments, outside.id)
        if outside.error is not None:
            opened.failed(outside.error.type, outside.error.message)
        else:
            opened.returned(outside.result)

    def _replied(self, ending: Ending) -> Reply:
        if ending.state is not None:
            self._turn.state.clear()
            self._turn.state.update(ending.state)
        used = ending.usage
        return Reply(
            ending.text,
            confidence=ending.confidence,
            evaluation=ending.evaluation,
            usage=Usage(used.prompt_tokens, used.completion_tokens) if used else None,
            metadata=ending.metadata,
        )


def _failure(said: str | Trouble) -> Exception:
    trouble = Trouble(said) if isinstance(said, str) else said
    if trouble.unavailable:
        return AgentUnavailable(
            shortened(trouble.message), retry_after=min(max(trouble.retry_after, 0.0), _LONGEST_PAUSE)
        )
    return RemoteFailed(trouble.message)
