"""Streamed turns: what they cost beside plain ones, how late their text is, what an open one holds."""

import asyncio
import json
import re
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

from bench.load import Target, quantiles_ms
from bench.meter import cpu_seconds, memory_mb, tree

_MOMENT = re.compile(r'"content":"(\d{10,}) "')


@dataclass(frozen=True, slots=True)
class Streams:
    """Of so many turns at a time. `late`: seconds between an agent's yield and the client's read, of each piece."""

    cpu_us: float
    late_p50_ms: float
    late_p99_ms: float


async def run_turns(target: Target, *, at_once: int, rounds: int, stream: bool) -> Streams:
    """Every client has a session of its own and asks again as soon as it is answered."""
    late: list[float] = []

    async def client(number: int) -> None:
        reader, writer = await _connect(target)
        for turn in range(rounds):
            _ask(writer, target, f"go {turn}", f"{stream}-{number}-{time.monotonic_ns():x}", stream=stream)
            async for line in _lines(reader, stream=stream):
                now = time.monotonic_ns()
                late.extend((now - int(said)) / 1e9 for said in _MOMENT.findall(line))
        writer.close()

    before = cpu_seconds(target.pids)
    await asyncio.gather(*(client(number) for number in range(at_once)))
    cpu = (cpu_seconds(target.pids) - before) / (at_once * rounds) * 1e6
    return Streams(cpu, *(quantiles_ms(late) if stream else (0.0, 0.0)))


async def open_streams(target: Target, count: int, seconds: float) -> tuple[float, int]:
    """Kilobytes that each of so many open streams holds, and how many did not end well."""
    before = memory_mb(tree(target.pids)[1:])
    begun, all_begun = 0, asyncio.Event()

    async def client(number: int) -> bool:
        nonlocal begun
        reader, writer = await _connect(target)
        _ask(writer, target, f"wait {seconds:g}", f"open-{number}", stream=True)
        ended = False
        async for line in _lines(reader, stream=True):
            begun += "One moment" in line
            if begun == count:
                all_begun.set()
            ended = ended or line == "data: [DONE]"
        writer.close()
        return ended

    clients = [asyncio.create_task(client(number)) for number in range(count)]
    async with asyncio.timeout(seconds):
        await all_begun.wait()
    held = (memory_mb(tree(target.pids)[1:]) - before) * 1024 / count
    ended = await asyncio.gather(*clients, return_exceptions=True)
    return held, sum(one is not True for one in ended)


async def _connect(target: Target) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    parts = urlsplit(target.url)
    return await asyncio.open_connection(parts.hostname, parts.port)


def _ask(writer: asyncio.StreamWriter, target: Target, text: str, session: str, *, stream: bool) -> None:
    fields = {"messages": [{"role": "user", "content": text}], "session_id": session, "stream": stream}
    body = json.dumps(fields).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {target.bearer}\r\n"
    writer.write(f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)


async def _lines(reader: asyncio.StreamReader, *, stream: bool):  # type: ignore[no-untyped-def]  # noqa: ANN202
    """The body's lines. Raises RuntimeError for any answer but 200."""
    head = await reader.readuntil(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200"):
        raise RuntimeError(head[:100].decode())
    if not stream:
        length = re.search(rb"(?i)content-length: (\d+)", head)
        assert length is not None
        yield (await reader.readexactly(int(length[1]))).decode()
        return
    while size := int(await reader.readline(), 16):
        for line in (await reader.readexactly(size + 2)).decode().splitlines():
            yield line
    await reader.readline()
