"""Commands for a test, written into its folder, and a core that serves one."""

import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
from core_running import Running, database, running

from greenroom.agents.remote import CommandAgent

PYTHON = f"""#!{sys.executable} -S
import json, os, sys, time

def write(**event):
    print(json.dumps(event), flush=True)

"""


def script(folder: Path, body: str, *, python: bool = False, name: str = "agent") -> str:
    """An executable file: of the shell, or of Python with `write(text="…")` at hand."""
    path = folder / name
    path.write_text((PYTHON if python else "#!/bin/sh\n") + body, encoding="utf-8")
    path.chmod(0o755)
    return str(path)


@asynccontextmanager
async def commanding(
    folder: Path, body: str, *, python: bool = False, sources: Sequence[Any] = (), limits: Any = None, **options: Any
) -> AsyncIterator[Running]:
    """A core whose agent is this script."""
    agent = CommandAgent(script(folder, body, python=python), **options)
    async with running(agent, database(folder), sources=sources, limits=limits) as core:
        yield core


def is_there(process: int) -> bool:
    """Whether the process runs, or has ended and nobody has taken note of it."""
    return Path(f"/proc/{process}").exists()


def runs(process: int) -> bool:
    """Whether the process runs. Taking note of the end of one whose parent is gone is the machine's own business."""
    try:
        return psutil.Process(process).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
