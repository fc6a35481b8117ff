"""CPU and memory of process trees, from the kernel's own accounting."""

import contextlib
import os
import re
from collections.abc import Iterable
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")
_PROC = Path("/proc")


def tree(roots: Iterable[int]) -> list[int]:
    """The processes and all their descendants."""
    children: dict[int, list[int]] = {}
    for entry in _PROC.iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                children.setdefault(int(_stat(int(entry.name))[1]), []).append(int(entry.name))
    found, todo = [], list(roots)
    while todo:
        pid = todo.pop()
        if pid not in found:
            found.append(pid)
            todo += children.get(pid, [])
    return found


def cpu_seconds(roots: Iterable[int]) -> float:
    """User and system time of the trees so far, ended children included."""
    total = 0
    for pid in tree(roots):
        with contextlib.suppress(OSError):
            total += sum(int(value) for value in _stat(pid)[11:15])
    return total / _TICK


def memory_mb(roots: Iterable[int]) -> float:
    """Proportional set size of the trees."""
    total = 0
    for pid in tree(roots):
        with contextlib.suppress(OSError):
            text = (_PROC / str(pid) / "smaps_rollup").read_text()
            if match := re.search(r"^Pss:\s+(\d+)", text, re.MULTILINE):
                total += int(match[1])
    return round(total / 1024, 1)


def _stat(pid: int) -> list[str]:
    return (_PROC / str(pid) / "stat").read_text().rsplit(")", 1)[1].split()
