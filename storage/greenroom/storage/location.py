"""Which database a URL means."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError

_EXAMPLES = "use sqlite:///greenroom.db (a file) or postgresql://user:password@host/database"


@dataclass(frozen=True, slots=True)
class Location:
    """A database that can be opened. `name` says which one to people: no password in it."""

    kind: Literal["sqlite", "postgresql"]
    url: sa.URL
    name: str
    file: Path | None = None


def parse_location(url: str) -> Location:
    """Raises ValueError with what would be right. A relative file is one of the current folder, now."""
    try:
        parsed = sa.make_url(url)
    except (ArgumentError, ValueError):
        raise ValueError(f"not a database URL: {_EXAMPLES}") from None
    match parsed.drivername:
        case "sqlite" | "sqlite+pysqlite":
            return _sqlite(parsed)
        case "postgresql" | "postgresql+psycopg":
            return _postgresql(parsed)
        case "postgres":
            raise ValueError(f"a PostgreSQL URL begins with postgresql://, not postgres://: {_EXAMPLES}")
        case other:
            raise ValueError(f"{other!r} is not a database that Greenroom knows: {_EXAMPLES}")


def _sqlite(url: sa.URL) -> Location:
    if url.host:
        raise ValueError(f"a SQLite URL has three slashes (four for an absolute path): sqlite:///{url.host}")
    if not url.database or url.database == ":memory:" or url.database.startswith("file:"):
        raise ValueError(f"a SQLite URL names a plain file: {_EXAMPLES}")
    if url.query:
        raise ValueError(f"a SQLite URL takes no parameters: sqlite:///{url.database}")
    file = Path(url.database).expanduser().absolute()
    return Location("sqlite", sa.URL.create("sqlite", database=str(file)), f"SQLite file {file}", file)


def _postgresql(url: sa.URL) -> Location:
    if not url.database:
        raise ValueError(f"a PostgreSQL URL names its database: {_EXAMPLES}")
    host = url.host or url.query.get("host") or "the local socket"
    name = f"PostgreSQL database {url.database} on {host}" + (f":{url.port}" if url.port else "")
    return Location("postgresql", url.set(drivername="postgresql+psycopg"), name)
