"""Load on one server: closed loop by `wrk` for CPU at saturation, open loop at a fixed rate for latency."""

import asyncio
import json
import re
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

from bench.meter import cpu_seconds

_HERE = Path(__file__).parent
_TIMEOUT = 10.0
_IDLE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Target:
    """A running server: where it is, its processes, and the key it wants."""

    url: str
    pids: tuple[int, ...]
    bearer: str = ""


@dataclass(frozen=True, slots=True)
class Load:
    """One measurement. Times in milliseconds; `cpu_us` is user and system time of all server processes per request."""

    requests: int
    seconds: float
    errors: int
    p50_ms: float
    p99_ms: float
    cpu_us: float

    @property
    def rate(self) -> float:
        return self.requests / self.seconds


def saturate(target: Target, *, seconds: int, connections: int = 64, sessions: int = 500) -> Load:
    """Closed loop. Every run has sessions of its own."""
    prefix = f"bench_{uuid4().hex[:12]}_"
    arguments = [str(_HERE / "request.json"), str(sessions), target.bearer or "-", prefix]
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", "-s", str(_HERE / "wrk.lua")]
    before = cpu_seconds(target.pids)
    run = subprocess.run([*command, target.url, "--", *arguments], capture_output=True, text=True, check=True)
    used = cpu_seconds(target.pids) - before
    found = re.search(r"^JSON(\{.*\})$", run.stdout, re.MULTILINE)
    if found is None:
        raise RuntimeError(f"wrk said: {run.stdout[-500:]} {run.stderr[-500:]}")
    said = json.loads(found[1])
    return Load(**said, cpu_us=used / max(said["requests"], 1) * 1e6)


async def at_rate(target: Target, *, rate: float, seconds: float, sessions: int = 500) -> Load:
    """Open loop: latency counts from when a request was due, so a slow server cannot slow its own measurement."""
    prefix = f"bench_{uuid4().hex[:12]}_"
    client = Client(target)
    bodies = [client.request(prefix, k) for k in range(sessions)]
    latencies: list[float] = []
    errors = 0

    async def one(due: float, raw: bytes) -> None:
        nonlocal errors
        try:
            async with asyncio.timeout(_TIMEOUT):
                status, _ = await client.send(raw)
            errors += status != 200
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            errors += 1
        latencies.append(time.perf_counter() - due)

    count = int(rate * seconds)
    before, start, tasks = cpu_seconds(target.pids), time.perf_counter() + 0.05, []
    for index in range(count):
        due = start + index / rate
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        tasks.append(asyncio.create_task(one(due, bodies[index % sessions])))
    await asyncio.gather(*tasks)
    took, used = time.perf_counter() - start, cpu_seconds(target.pids) - before
    client.close()
    return Load(count, took, errors, *quantiles_ms(latencies), cpu_us=used / count * 1e6)


def quantiles_ms(latencies: Sequence[float]) -> tuple[float, float]:
    """p50 and p99 of seconds, in milliseconds."""
    ordered = sorted(latencies)
    return ordered[len(ordered) // 2] * 1000, ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))] * 1000


class Client:
    """Keep-alive connections by hand: an HTTP library would cost more than what it measures."""

    def __init__(self, target: Target) -> None:
        parts = urlsplit(target.url)
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or 80
        self._bearer = target.bearer
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter, float]] = []
        """With when each was last used: servers close what is idle for long, and may do so as it is used again."""
        self._template = (_HERE / "request.json").read_text()

    def request(self, prefix: str, number: int) -> bytes:
        """The published request in a session of its own."""
        body = self._template.replace("{{session}}", f"{prefix}{number}").replace("{{user}}", f"sim_user_{number}")
        return self.raw("POST", "/v1/chat/completions", body.strip().encode())

    def raw(self, method: str, path: str, body: bytes = b"") -> bytes:
        head = f"{method} {path} HTTP/1.1\r\nHost: {self._host}:{self._port}\r\nContent-Type: application/json\r\n"
        if self._bearer:
            head += f"Authorization: Bearer {self._bearer}\r\n"
        return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body

    async def send(self, raw: bytes) -> tuple[int, bytes]:
        """The status and the body."""
        reader, writer = await self._connection()
        try:
            writer.write(raw)
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"(?i)content-length:\s*(\d+)", head)
            body = await reader.readexactly(int(length[1])) if length else b""
        except BaseException:
            writer.close()
            raise
        self._idle.append((reader, writer, time.monotonic()))
        return int(head[9:12]), body

    async def _connection(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        while self._idle:
            reader, writer, used = self._idle.pop()
            if time.monotonic() - used < _IDLE_SECONDS:
                return reader, writer
            writer.close()
        return await asyncio.open_connection(self._host, self._port)

    def close(self) -> None:
        for _, writer, _ in self._idle:
            writer.close()
