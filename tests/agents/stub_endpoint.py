"""An HTTP endpoint that answers as a test says: on a free port, in the test's own event loop."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Asked:
    """A request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any


@dataclass
class Told:
    """An answer. `held`: nothing is sent before. `pieces` are sent one by one, all but the first after `pause`. `cut`: then
    the connection breaks."""

    body: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    pieces: tuple[bytes, ...] = ()
    held: asyncio.Event | None = None
    pause: asyncio.Event | None = None
    cut: bool = False


def events(*data: Any, done: bool = True) -> tuple[bytes, ...]:
    """The pieces of a stream."""
    texts = [f"data: {json.dumps(one)}\n\n".encode() for one in data]
    return (*texts, b"data: [DONE]\n\n") if done else tuple(texts)


class Endpoint:
    """What was asked, and what is told next: the last answer again and again."""

    def __init__(self, *answers: Told | Callable[[Asked], Told]) -> None:
        self.answers = list(answers)
        self.asked: list[Asked] = []
        self.connections = 0
        self.port = 0
        self._open: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def hang_up(self) -> None:
        """Ends the connections that clients keep open."""
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        if (task := asyncio.current_task()) is not None:
            self._open.add(task)
            task.add_done_callback(self._open.discard)
        try:
            while await self._answer(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        method, path, _ = head[0].split(" ")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        asked = Asked(method, path, headers, json.loads(body) if body else None)
        self.asked.append(asked)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        told = answer(asked) if callable(answer) else answer
        if told.held is not None:
            await told.held.wait()
        writer.write(f"HTTP/1.1 {told.status} Told\r\n".encode())
        sent = told.body if isinstance(told.body, bytes) else json.dumps(told.body).encode()
        kind = {"content-type": "text/event-stream"} if told.pieces else {"content-type": "application/json"}
        length = {"transfer-encoding": "chunked"} if told.pieces else {"content-length": str(len(sent))}
        for name, value in {**kind, **length, **told.headers}.items():
            writer.write(f"{name}: {value}\r\n".encode())
        writer.write(b"\r\n" if told.pieces else b"\r\n" + sent)
        for number, piece in enumerate(told.pieces):
            if number and told.pause is not None:
                await told.pause.wait()
            writer.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
            await writer.drain()
        if told.cut:
            return False
        if told.pieces:
            writer.write(b"0\r\n\r\n")
        await writer.drain()
        return True


@asynccontextmanager
async def endpoint(*answers: Told | Callable[[Asked], Told]) -> AsyncIterator[Endpoint]:
    """Serves on a free port."""
    served = Endpoint(*answers)
    server = await asyncio.start_server(served._serve, "127.0.0.1", 0)
    served.port = server.sockets[0].getsockname()[1]
    try:
        yield served
    finally:
        server.close()
        await served.hang_up()
