"""Deleting what a run made, where the endpoint offers it."""

import asyncio
from urllib.parse import quote

from greenroom.rehearsal.endpoint import NoAnswer
from greenroom.rehearsal.stage import Stage

_AT_ONCE = 16
_LONGEST = 15.0
"""Seconds."""
_FIRST = 3


async def tidy(stage: Stage) -> str:
    """Deletes this run's sessions and users. What is returned says what may be left, "" for nothing."""
    left: list[str] = []
    try:
        async with asyncio.timeout(_LONGEST):
            for kind, path, names in (
                ("sessions", "/v1/sessions", list(stage.names.sessions)),
                ("users", "/users", list(stage.names.users)),
            ):
                if not await _delete(stage, path, names):
                    left.append(kind)
    except TimeoutError:
        left.append("all sessions and users in time")
    if not left:
        return ""
    return f"{' and '.join(left)} could not be deleted; the ids of what is kept of them begin with {stage.names.prefix}"


async def _delete(stage: Stage, path: str, names: list[str]) -> bool:
    """Whether they are gone. Where the first few are not there either, it is taken not to be offered."""
    if not names:
        return True
    first = [await _gone(stage, path, name) for name in names[:_FIRST]]
    if True not in first:
        return False
    waiting = iter(names[_FIRST:])
    refused = False

    async def worker() -> None:
        nonlocal refused
        for name in waiting:
            refused = refused or await _gone(stage, path, name) is None

    async with asyncio.TaskGroup() as group:
        for _ in range(_AT_ONCE):
            group.create_task(worker())
    return not refused


async def _gone(stage: Stage, path: str, name: str) -> bool | None:
    """True when it was deleted, False when it never was, None where that is refused."""
    try:
        answer = await stage.endpoint.ask("DELETE", f"{path}/{quote(name, safe='')}")
    except NoAnswer:
        return None
    if answer.status in (200, 202, 204):
        return True
    return False if answer.status == 404 else None
