"""The core's store on SQLAlchemy: a SQLite file, or PostgreSQL."""

from greenroom.storage.opening import open_store
from greenroom.storage.store import SqlStore

__all__ = ["SqlStore", "open_store"]
