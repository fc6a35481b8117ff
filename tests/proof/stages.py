"""The servers that the kill proof kills, each kind with what can be killed in it. Every wait is bounded."""

import asyncio
import contextlib
import os
import signal
import sqlite3
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import psutil
import psycopg
from real_postgres import PostgresServer, restart_at_once, start_postgres, stop_postgres
from running_sandbox import command, environment

PATIENCE = 60.0
"""Seconds; for a machine that is busy with other tests."""
_AGENT = "counting_agent:agent"
_OPTIONS = ("--log-format", "json", "--log-level", "error")


class Stage(Protocol):
    """Running servers."""

    @property
    def urls(self) -> Sequence[str]:
        """Where clients may knock; they need not be answered."""
        ...

    @property
    def parts(self) -> Sequence[str]:
        """What can be struck in it."""
        ...

    async def strike(self, part: str) -> bool:
        """SIGKILL, or a crash of the database. False when the part was not running."""
        ...


class Process:
    """One of our commands, kept running until `stop`: what ends is started again at once."""

    def __init__(self, folder: Path, name: str, arguments: Sequence[str], settings: Mapping[str, str]) -> None:
        self.name = name
        self.addresses: Mapping[str, str] = {}
        self._command = command(*arguments)
        self._folder = folder
        self._environment = {**environment(**settings), "PYTHONPATH": str(Path(__file__).parent)}
        self._process: asyncio.subprocess.Process | None = None
        self._ready = asyncio.Event()
        self._stopping = False
        self._keeper: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Returns when it is ready for the first time."""
        self._keeper = asyncio.create_task(self._keep())
        ready = asyncio.create_task(self._ready.wait())
        await asyncio.wait([self._keeper, ready], timeout=PATIENCE, return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()
        if not self._ready.is_set():
            raise RuntimeError(f"{self.name} did not start; {self._folder}/{self.name}.log says why")

    async def _keep(self) -> None:
        while not self._stopping:
            with (self._folder / f"{self.name}.log").open("ab") as log:
                self._process = await asyncio.create_subprocess_exec(
                    *self._command,
                    cwd=self._folder,
                    env=self._environment,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=log,
                )
            if self._stopping:
                self._terminate()
            assert self._process.stdout is not None
            line = (await self._process.stdout.readline()).decode()
            if " ready " in line:
                self.addresses = dict(part.split("=", 1) for part in line.split() if "=" in part)
                self._ready.set()
            await self._process.wait()
            if not self._ready.is_set():
                return

    def pid(self) -> int | None:
        """None while it is not running."""
        process = self._process
        return process.pid if process is not None and process.returncode is None else None

    def kill(self) -> bool:
        """False when it was not running."""
        if self.pid() is None:
            return False
        assert self._process is not None
        self._process.kill()
        return True

    async def stop(self) -> None:
        """SIGTERM, and SIGKILL for what does not end by it."""
        self._stopping = True
        if self._keeper is None:
            return
        self._terminate()
        await asyncio.wait([self._keeper], timeout=PATIENCE)
        self.kill()
        await self._keeper

    def _terminate(self) -> None:
        if self.pid() is not None:
            assert self._process is not None
            self._process.terminate()


class Database(Protocol):
    """What the sessions are stored in."""

    url: str
    parts: Sequence[str]
    """What can be struck in it."""

    async def strike(self, part: str) -> bool: ...

    def flaws(self) -> list[str]:
        """What the database itself finds wrong, when nobody uses it any more."""
        ...


class SqliteFile:
    """A file. It cannot be struck but through its core."""

    parts: Sequence[str] = ()

    def __init__(self, folder: Path) -> None:
        self._path = folder / "proof.db"
        self.url = f"sqlite:///{self._path}"

    async def strike(self, part: str) -> bool:
        raise LookupError(part)

    def flaws(self) -> list[str]:
        with contextlib.closing(sqlite3.connect(self._path)) as connection:
            found = [row[0] for row in connection.execute("PRAGMA integrity_check")]
            found += [f"foreign key: {row}" for row in connection.execute("PRAGMA foreign_key_check")]
        return [one for one in found if one != "ok"]


class Postgres:
    """A PostgreSQL server of its own, which can be restarted at once, and whose backends can be killed."""

    parts: Sequence[str] = ("database", "backend")

    def __init__(self, server: PostgresServer) -> None:
        self._server = server
        self.url = str(server.get_uri())

    async def strike(self, part: str) -> bool:
        if part == "backend":
            return await asyncio.to_thread(self._kill_backend)
        await asyncio.to_thread(restart_at_once, self._server)
        return True

    def _kill_backend(self) -> bool:
        """The server answers this by ending all of its connections, and recovers."""
        with contextlib.suppress(psycopg.OperationalError), psycopg.connect(self.url, connect_timeout=5) as connection:
            row = connection.execute(
                "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend'"
                " AND pid <> pg_backend_pid() AND application_name <> 'psql' ORDER BY random() LIMIT 1"
            ).fetchone()
            if row is not None and psutil.Process(row[0]).ppid() == self._server.get_pid():
                os.kill(row[0], signal.SIGKILL)
                return True
        return False

    def flaws(self) -> list[str]:
        return []


@contextlib.asynccontextmanager
async def postgres() -> AsyncIterator[Postgres]:
    # not in a test's own folder, which the user that PostgreSQL runs as may not enter
    with tempfile.TemporaryDirectory(prefix="greenroom-postgres-") as folder:
        server = await asyncio.to_thread(start_postgres, Path(folder) / "data")
        try:
            yield Postgres(server)
        finally:
            await asyncio.to_thread(stop_postgres, server)


class Supervised:
    """`greenroom serve`: its supervisor starts again what is killed."""

    def __init__(self, serve: Process, database: Database) -> None:
        self._serve = serve
        self._database = database

    @property
    def urls(self) -> Sequence[str]:
        return [self._serve.addresses["http"]]

    @property
    def parts(self) -> Sequence[str]:
        return ["edge", "core", *self._database.parts]

    async def strike(self, part: str) -> bool:
        if part in self._database.parts:
            return await self._database.strike(part)
        pid = self._serve.pid()
        for child in psutil.Process(pid).children() if pid is not None else ():
            with contextlib.suppress(psutil.Error):
                if part in child.cmdline():
                    child.kill()
                    return True
        return False


class Pairs:
    """Several `greenroom core` on one database, each with a `greenroom edge` in front of it."""

    def __init__(self, cores: Sequence[Process], edges: Sequence[Process], database: Database) -> None:
        self._processes = {process.name: process for process in (*cores, *edges)}
        self._edges = edges
        self._database = database

    @property
    def urls(self) -> Sequence[str]:
        return [edge.addresses["http"] for edge in self._edges]

    @property
    def parts(self) -> Sequence[str]:
        return [*self._processes, *self._database.parts]

    async def strike(self, part: str) -> bool:
        if part in self._database.parts:
            return await self._database.strike(part)
        return self._processes[part].kill()


@contextlib.asynccontextmanager
async def running(processes: Sequence[Process]) -> AsyncIterator[None]:
    """Started together, and stopped together."""
    try:
        await asyncio.gather(*(process.start() for process in processes))
        yield
    finally:
        await asyncio.gather(*(process.stop() for process in processes))


@contextlib.asynccontextmanager
async def supervised(folder: Path, database: Database, agent: str = _AGENT, *options: str) -> AsyncIterator[Supervised]:
    arguments = ("serve", agent, "--port", "0", "--grpc-port", "0", "--rate-limit", "off", *_OPTIONS, *options)
    serve = Process(folder, "serve", arguments, {"GREENROOM_DATABASE_URL": database.url})
    async with running([serve]):
        yield Supervised(serve, database)


@contextlib.asynccontextmanager
async def pairs(folder: Path, database: Database, count: int = 2) -> AsyncIterator[Pairs]:
    cores, edges = [], []
    # a socket's path may not be as long as those of tests' folders are
    with tempfile.TemporaryDirectory(prefix="greenroom-", dir="/tmp") as sockets:
        for number in range(1, count + 1):
            socket = f"{sockets}/{number}.sock"
            settings = {"GREENROOM_DATABASE_URL": database.url}
            core = ("core", _AGENT, "--grpc-port", "0", "--grpc-socket", socket, *_OPTIONS)
            edge = ("edge", "--core", f"unix:{socket}", "--port", "0", "--rate-limit", "off", *_OPTIONS)
            cores.append(Process(folder, f"core{number}", core, settings))
            edges.append(Process(folder, f"edge{number}", edge, {}))
        async with running(cores), running(edges):
            yield Pairs(cores, edges, database)


@contextlib.asynccontextmanager
async def stage(variant: str, folder: Path) -> AsyncIterator[tuple[Stage, Database]]:
    """The servers of a variant: `sqlite` and `postgres` with one supervisor, `two-cores` on one PostgreSQL."""
    if variant == "sqlite":
        file = SqliteFile(folder)
        async with supervised(folder, file) as one:
            yield one, file
    elif variant == "postgres":
        async with postgres() as server, supervised(folder, server) as one:
            yield one, server
    else:
        async with postgres() as server, pairs(folder, server) as several:
            yield several, server


def end_by_sigterm() -> None:
    """For commands: asked to end, they first stop what they started."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


VARIANTS = ("sqlite", "postgres", "two-cores")
