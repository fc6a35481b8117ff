"""Starting worlds, each stored once under its content hash. Each function runs in the caller's transaction."""

import sqlalchemy as sa

from greenroom.storage.tables import seeds

# SQLite and PostgreSQL agree on these words, SQLAlchemy has them for each apart.
_PUT = sa.text(
    "INSERT INTO seeds (sha, body, put_at) VALUES (:sha, :body, :put_at)"
    " ON CONFLICT (sha) DO UPDATE SET put_at = excluded.put_at"
)


def put_seed(connection: sa.Connection, sha: str, body: str, put_at: int) -> None:
    touched = connection.execute(seeds.update().where(seeds.c.sha == sha).values(put_at=put_at))
    if touched.rowcount == 0:
        connection.execute(_PUT, {"sha": sha, "body": body, "put_at": put_at})


def load_seed(connection: sa.Connection, sha: str) -> str | None:
    body: str | None = connection.execute(sa.select(seeds.c.body).where(seeds.c.sha == sha)).scalar()
    return body
