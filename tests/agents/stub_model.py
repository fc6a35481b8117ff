"""An OpenAI-compatible model that plays a script: text, tool calls, faults. It runs in a thread, on a port of its own.

with StubModel(calls("get_order", order_id="7"), says("It is on ", "its way.")) as model:
    agent = LlmAgent(model="openai:stub", base_url=model.url)

Each request takes the next answer, and the last one again and again. `requests` are the bodies it got, with `headers` and
`paths`. What other protocols say is given as a whole body.
"""

import asyncio
import itertools
import json
import threading
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any, Literal

USAGE = {"prompt_tokens": 20, "completion_tokens": 5, "total_tokens": 25}


@dataclass(frozen=True)
class Answer:
    """What one request is answered. `pieces` are sent one by one where the request asks for a stream."""

    pieces: tuple[str, ...] = ()
    tool_calls: tuple[tuple[str, str], ...] = ()
    """Name and arguments, as the text that a model writes."""
    finish: str | None = None
    """By default "tool_calls" with calls, else "stop"; "" for none at all."""
    refusal: str = ""
    logprobs: tuple[float, ...] = ()
    usage: dict[str, int] | None = field(default_factory=lambda: dict(USAGE))
    delay: float = 0.0
    """Seconds until anything is sent."""
    status: int = 200
    body: str | None = None
    """Instead of an answer."""
    headers: tuple[tuple[str, str], ...] = ()
    ends: Literal["well", "breaks", "stalls"] = "well"
    """"breaks": the connection is cut when all pieces were sent; "stalls": nothing more is sent."""

    @property
    def reason(self) -> str | None:
        return ("tool_calls" if self.tool_calls else "stop") if self.finish is None else (self.finish or None)


def says(*pieces: str, **more: Any) -> Answer:
    return Answer(pieces, **more)


def calls(name: str, **arguments: Any) -> Answer:
    return calls_all((name, arguments))


def calls_all(*asked: tuple[str, Any], text: str = "") -> Answer:
    """Several calls at once. Arguments that are a text are sent as they are."""
    given = tuple((name, value if isinstance(value, str) else json.dumps(value)) for name, value in asked)
    return Answer((text,) if text else (), tool_calls=given)


def fails(
    status: int, body: str = '{"error": {"message": "SECRET-TEXT of the backend", "type": "oops"}}', **headers: str
) -> Answer:
    """An error's status. Headers are named with underscores."""
    named = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    return Answer(status=status, body=body, headers=named)


def answers_html() -> Answer:
    return Answer(body="<html><body>SECRET-TEXT of a proxy</body></html>", headers=(("content-type", "text/html"),))


def never() -> Answer:
    return Answer(delay=3600)


class StubModel:
    """See the module."""

    def __init__(self, *script: Answer) -> None:
        self._started = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)
        self._numbers = itertools.count(1)
        self.url = ""
        self.play(*script)

    def play(self, *script: Answer) -> None:
        """Begins a new script, and forgets what it got."""
        self._script = list(script)
        self.asked = threading.Event()
        """Set once there was a request."""
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []

    def __enter__(self) -> "StubModel":
        self._thread.start()
        assert self._started.wait(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(10)

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._over = asyncio.Event()
        server = await asyncio.start_server(self._converse, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        self._started.set()
        await self._over.wait()
        server.close()  # what still talks to somebody is cancelled with the loop

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                headers = {
                    name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:]) if name
                }
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                self.paths.append(head[0].split()[1])
                self.headers.append(headers)
                self.requests.append(json.loads(body))
                self.asked.set()
                answer = self._script.pop(0) if len(self._script) > 1 else self._script[0]
                await asyncio.sleep(answer.delay)
                async for part in self._parts(answer, stream=bool(self.requests[-1].get("stream"))):
                    writer.write(part)
                    await writer.drain()
                if answer.ends == "stalls":
                    await asyncio.sleep(3600)
                if answer.ends == "breaks":
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client has left
        finally:
            writer.close()

    async def _parts(self, answer: Answer, *, stream: bool) -> AsyncIterator[bytes]:
        """The response's bytes."""
        if answer.body is not None:
            headers = dict(answer.headers)
            kind = headers.pop("content-type", "application/json")
            yield _plain(answer.status, answer.body.encode(), kind, headers)
        elif not stream:
            body = json.dumps(self._completion(answer)).encode()
            whole = _plain(200, body, "application/json")
            yield whole if answer.ends == "well" else whole[: len(whole) - len(body) // 2]
        else:
            yield b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
            for chunk in self._chunks(answer):
                yield _chunked(f"data: {json.dumps(chunk)}\n\n".encode())
                await asyncio.sleep(0)
            if answer.ends == "well":
                yield _chunked(b"data: [DONE]\n\n") + b"0\r\n\r\n"

    def _completion(self, answer: Answer) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": "".join(answer.pieces) or None}
        if answer.refusal:
            message["refusal"] = answer.refusal
        if answer.tool_calls:
            message["tool_calls"] = self._tool_calls(answer)
        choice = {
            "index": 0,
            "message": message,
            "finish_reason": answer.reason,
            "logprobs": _logprobs(answer.logprobs),
        }
        whole = {"id": "c1", "object": "chat.completion", "created": 1, "model": "stub", "choices": [choice]}
        return whole if answer.usage is None else {**whole, "usage": answer.usage}

    def _chunks(self, answer: Answer) -> list[dict[str, Any]]:
        deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
        deltas += [{"content": piece} for piece in answer.pieces]
        if answer.refusal:
            deltas.append({"refusal": answer.refusal})
        for index, call in enumerate(self._tool_calls(answer)):
            half = len(call["function"]["arguments"]) // 2
            first = {**call["function"], "arguments": call["function"]["arguments"][:half]}
            deltas.append({"tool_calls": [{**call, "index": index, "function": first}]})
            rest = {"arguments": call["function"]["arguments"][half:]}
            deltas.append({"tool_calls": [{"index": index, "function": rest}]})
        base = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "stub"}
        chunks = [{**base, "choices": [_choice(delta)]} for delta in deltas]
        for chunk, value in zip(chunks[1:], answer.logprobs, strict=False):
            chunk["choices"][0]["logprobs"] = _logprobs((value,))
        if answer.ends == "well":
            chunks.append({**base, "choices": [_choice({}, answer.reason)]})
            if answer.usage is not None:
                chunks.append({**base, "choices": [], "usage": answer.usage})
        return chunks

    def _tool_calls(self, answer: Answer) -> list[dict[str, Any]]:
        return [
            {
                "id": f"call_{next(self._numbers)}",
                "type": "function",
                "function": {"name": name, "arguments": arguments},
            }
            for name, arguments in answer.tool_calls
        ]


def breaks(*pieces: str) -> Answer:
    """The connection is cut after these pieces."""
    return replace(says(*pieces), ends="breaks")


def stalls(*pieces: str) -> Answer:
    """Nothing comes after these pieces."""
    return replace(says(*pieces), ends="stalls")


def _choice(delta: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "finish_reason": reason}


def _logprobs(values: Sequence[float]) -> dict[str, Any] | None:
    if not values:
        return None
    return {"content": [{"token": "x", "logprob": value, "bytes": None, "top_logprobs": []} for value in values]}


def _chunked(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def _plain(status: int, body: bytes, kind: str, headers: dict[str, str] | None = None) -> bytes:
    lines = [f"HTTP/1.1 {status} X", f"content-type: {kind}", f"content-length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body
