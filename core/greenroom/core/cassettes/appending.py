"""Whole lines at the end of a file, whoever else adds to it, and whatever became of whoever did before."""

import fcntl
import json
import os
from pathlib import Path

_LOOKED_AT = 65536
_BEGINNING = b'{"agent":"'
"""Of every line that is written here."""


def append(path: Path, lines: bytes) -> None:
    """Adds them all or none. A last line that breaks off is taken away, one that only wants its end is ended. Raises
    `OSError`."""
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)  # released with the descriptor
        end = os.fstat(descriptor).st_size
        if end and os.pread(descriptor, 1, end - 1) != b"\n":
            last = _last_line(descriptor, end)
            if breaks_off(last):
                end -= len(last)
                os.ftruncate(descriptor, end)
            else:
                lines = b"\n" + lines
        try:
            _write(descriptor, lines)
        except OSError:
            os.ftruncate(descriptor, end)
            raise
    finally:
        os.close(descriptor)


def breaks_off(line: bytes) -> bool:
    """Whether it was begun here, and its writer was stopped in the midst of it."""
    if line.endswith(b"\n") or not line or line[: len(_BEGINNING)] != _BEGINNING[: len(line)]:
        return False
    try:
        json.loads(line)
    except ValueError:
        return True
    return False


def _write(descriptor: int, lines: bytes) -> None:
    rest = memoryview(lines)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _last_line(descriptor: int, begin: int) -> bytes:
    """What stands behind the last end of a line."""
    tail = b""
    while begin and b"\n" not in tail:
        step = min(begin, _LOOKED_AT)
        begin -= step
        tail = os.pread(descriptor, step, begin) + tail
    return tail.rpartition(b"\n")[2]
