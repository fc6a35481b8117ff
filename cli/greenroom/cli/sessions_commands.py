"""`greenroom sessions …`: reading stored sessions without a server, and dropping old ones."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from greenroom.cli.flags import takes_settings
from greenroom.cli.process import CannotStart
from greenroom.cli.sources import WrongSetting, load
from greenroom.cli.values import seconds

if TYPE_CHECKING:
    from greenroom.core.ports import Store

sessions = typer.Typer(help="Stored sessions: list, show, export, prune.", no_args_is_help=True)

SESSION = Annotated[str, typer.Argument(help="The session's id.")]
NAMESPACE = Annotated[str, typer.Option("--namespace", help="The namespace of the keys that own the sessions.")]
AS_JSON = Annotated[bool, typer.Option("--json", help="JSON lines instead of a table.")]


@sessions.command("list")
@takes_settings("store")
def list_sessions(
    user: Annotated[str, typer.Option("--user", help="Only this user's.")] = "",
    limit: Annotated[int, typer.Option("--limit", min=1, help="At most this many.")] = 100,
    namespace: NAMESPACE = "",
    as_json: AS_JSON = False,
    **flags: str,
) -> None:
    """List sessions, newest first."""
    from greenroom.cli import transcripts  # noqa: PLC0415  # the store and its libraries, for this command alone

    async def read(store: "Store") -> None:
        found = [session async for session in transcripts.newest(store, namespace, user, limit)]
        transcripts.print_sessions(found, as_json=as_json)

    _with_store(flags, read)


@sessions.command("show")
@takes_settings("store")
def show_session(session_id: SESSION, namespace: NAMESPACE = "", as_json: AS_JSON = False, **flags: str) -> None:
    """Show a session: what was said, which tools ran, what they changed."""
    from greenroom.cli import transcripts  # noqa: PLC0415

    async def read(store: "Store") -> None:
        session = await store.load_session(namespace, session_id)
        if session is None:
            raise CannotStart(f"there is no session {session_id}", code=1)
        document = await transcripts.document(store, session)
        transcripts.print_transcript(document, as_json=as_json)

    _with_store(flags, read)


@sessions.command("export")
@takes_settings("store")
def export_sessions(
    session_ids: Annotated[
        list[str] | None, typer.Argument(metavar="[SESSION]…", help="Which; all if none is named.")
    ] = None,
    user: Annotated[str, typer.Option("--user", help="Only this user's.")] = "",
    namespace: NAMESPACE = "",
    **flags: str,
) -> None:
    """Write whole sessions to standard output, one JSON object a line."""
    from greenroom.cli import transcripts  # noqa: PLC0415

    async def read(store: "Store") -> None:
        for session_id in session_ids or ():
            session = await store.load_session(namespace, session_id)
            if session is None:
                raise CannotStart(f"there is no session {session_id}", code=1)
            sys.stdout.buffer.write(transcripts.line(await transcripts.document(store, session)))
        if not session_ids:
            async for session in transcripts.newest(store, namespace, user, None):
                sys.stdout.buffer.write(transcripts.line(await transcripts.document(store, session)))
        sys.stdout.buffer.flush()

    _with_store(flags, read)


@sessions.command("prune")
@takes_settings("store")
def prune_sessions(
    idle: Annotated[str, typer.Option("--idle", help="How long a session must have been idle, for instance 30d.")],
    **flags: str,
) -> None:
    """Delete sessions that have been idle for long. A running core does this itself with --retain."""
    try:
        age: Any = float(str(seconds(idle)))
    except ValueError as problem:
        raise WrongSetting(f"--idle: {problem}") from None

    async def prune(store: "Store") -> None:
        typer.echo(f"deleted {await store.prune(age)} sessions")

    _with_store(flags, prune, writes=True)


def _with_store(flags: dict[str, str], work: "Callable[[Store], Awaitable[None]]", *, writes: bool = False) -> None:
    from greenroom.cli.database import opened  # noqa: PLC0415

    async def run() -> None:
        async with opened(load(flags), writes=writes) as store:
            await work(store)

    asyncio.run(run())
