"""Which process owns a SQLite file: the one that holds the lock on `<file>.lock`, until it closes or dies."""

import os
import sys
from pathlib import Path

from greenroom.storage.faults import DatabaseRefused

if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


class Ownership:
    """Held from `take` to `release`. The lock file stays: were it removed, two processes could lock two files of one name."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._descriptor: int | None = None

    def take(self) -> None:
        """Raises DatabaseRefused when another process, or another store of this one, holds it."""
        if self._descriptor is not None:
            return
        path = self._file.with_name(self._file.name + ".lock")
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise DatabaseRefused(f"the lock file {path} cannot be made: {error.strerror}") from None
        try:
            _lock(descriptor)
        except OSError:
            os.close(descriptor)
            raise DatabaseRefused(f"the SQLite file {self._file} is in use by another process") from None
        self._descriptor = descriptor

    def release(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
