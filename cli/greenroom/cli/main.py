"""`greenroom …`: the commands. What they need beyond the settings is imported by the one that runs, for a quick start."""

import sys
from typing import Annotated

import typer

from greenroom.cli import check_flags, keys
from greenroom.cli.flags import takes_settings
from greenroom.cli.process import CannotStart
from greenroom.cli.scenarios_commands import scenarios
from greenroom.cli.sessions_commands import sessions
from greenroom.cli.sources import WrongSetting, load
from greenroom.cli.tools_commands import tools
from greenroom.cli.version import VERSION

app = typer.Typer(
    name="greenroom",
    help="Hosts your chat agent where simulated users can reach it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
keys_app = typer.Typer(help="API keys.", no_args_is_help=True)
app.add_typer(keys_app, name="keys")
app.add_typer(sessions, name="sessions")
app.add_typer(scenarios, name="scenarios")
app.add_typer(tools, name="tools")

AGENTS = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[AGENT]...",
        help="`support` (the default), `module:attribute` from the current folder, an agent file (.toml, .yaml), or the"
        " address of an endpoint; NAME=… gives one a name; of several, `model` picks one"
        " [GREENROOM_AGENT]",
        show_default=False,
    ),
]
ONE_AGENT = Annotated[
    str,
    typer.Argument(
        metavar="AGENT",
        help="As `greenroom serve` takes it; `support` if left out [GREENROOM_AGENT]",
        show_default=False,
    ),
]
RELOAD = Annotated[
    bool, typer.Option("--reload", help="Start the agents again when a file of theirs changes: for writing them.")
]
FRESH = Annotated[bool, typer.Option("--fresh", help="Use a throw-away database, removed when the server stops.")]


@app.command()
@takes_settings("serve")
def serve(agents: AGENTS = None, fresh: FRESH = False, reload: RELOAD = False, **flags: str) -> None:
    """Serve agents: HTTP and gRPC, two supervised processes, every turn stored."""
    from greenroom.cli.serve import serve_both  # noqa: PLC0415  # each command imports what it alone needs

    serve_both({**flags, **({"agent": tuple(agents)} if agents else {})}, fresh=fresh, reload=reload)


@app.command()
@takes_settings("core")
def core(agents: AGENTS = None, **flags: str) -> None:
    """Serve the core alone: agents, their sessions and the gRPC services."""
    from greenroom.cli.alone import core_alone  # noqa: PLC0415

    core_alone({**flags, **({"agent": tuple(agents)} if agents else {})})


@app.command()
@takes_settings("edge")
def edge(**flags: str) -> None:
    """Serve the edge alone: HTTP in front of a core that runs elsewhere."""
    from greenroom.cli.alone import edge_alone  # noqa: PLC0415

    edge_alone(flags)


@app.command()
def init(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The project's folder, for instance my-agent.")],
) -> None:
    """Write a small project to begin with: an agent, two tools, a scenario, a test."""
    from greenroom.cli.init import enter, write_project  # noqa: PLC0415

    for path in write_project(name):
        typer.echo(f"wrote {path}")
    typer.echo(f"next: {enter(name)}python -m pytest; greenroom chat")


@app.command()
@takes_settings("chat")
def chat(
    agent: ONE_AGENT = "",
    scenario: Annotated[str, typer.Option("--scenario", metavar="ID", help="The scenario to talk in.")] = "",
    user: Annotated[
        str, typer.Option("--user", metavar="ID", help="Whom the agent talks to; nobody if left out.")
    ] = "",
    **flags: str,
) -> None:
    """Talk to an agent in the terminal, without a server; or let it answer the lines of a pipe."""
    from greenroom.cli.chat import chat_with  # noqa: PLC0415

    chat_with({**flags, **({"agent": agent} if agent else {})}, user_id=user, scenario=scenario)


@keys_app.command("create")
def create_key(
    name: Annotated[str, typer.Argument(help="Whose key it is: NAME, or NAME@NAMESPACE.")],
    scope: Annotated[str, typer.Option("--scope", help=f"Of {', '.join(keys.SCOPES)}, joined by commas.")] = "chat",
) -> None:
    """Make a key. It is shown once and stored nowhere; put the second line in GREENROOM_API_KEYS."""
    key = keys.mint()
    entry = f"{name}:{'+'.join(part.strip() for part in scope.split(','))}:{keys.hashed(key)}"
    try:
        keys.parse_keys(entry)
    except keys.WrongKey as problem:
        raise WrongSetting(str(problem).partition(": ")[2]) from None
    typer.echo(key)
    typer.echo(entry)


@app.command()
def check(
    url: check_flags.URL = "",
    key: check_flags.KEY = "",
    headers: check_flags.HEADERS = None,
    model: check_flags.MODEL = "",
    say: check_flags.SAY = None,
    sessions: check_flags.SESSIONS = 200,
    rate: check_flags.RATE = 100.0,
    duration: check_flags.DURATION = 5.0,
    timeout: check_flags.TIMEOUT = 30.0,
    only: check_flags.ONLY = None,
    skip: check_flags.SKIP = None,
    ca: check_flags.CA = "",
    insecure: check_flags.INSECURE = False,
    strict: check_flags.STRICT = False,
    as_json: check_flags.AS_JSON = False,
    junit: check_flags.JUNIT = "",
    listed: check_flags.LISTED = False,
) -> None:
    """Play an evaluator against an endpoint, ours or not: what holds and what does not. Exit code 0: all that is required and
    recommended holds; 1: something does not; 2: it could not be checked.

    A full run asks for about 1,200 replies; `--sessions 20 --rate 10` makes it about 200."""
    from greenroom.cli import check_command  # noqa: PLC0415
    from greenroom.rehearsal import PUBLISHED_LINES, Options  # noqa: PLC0415

    if listed:
        check_command.show_catalogue()
        return
    options = Options(
        url,
        key=key,
        headers=dict(map(check_command.header_of, headers or ())),
        model=model,
        lines=tuple(say or PUBLISHED_LINES),
        sessions=sessions,
        rate=rate,
        seconds=duration,
        timeout=timeout,
        only=tuple(only or ()),
        skip=tuple(skip or ()),
        ca=ca,
        insecure=insecure,
    )
    raise typer.Exit(check_command.check_endpoint(options, check_command.Output(as_json, junit, strict)))


@app.command()
@takes_settings("store")
def migrate(**flags: str) -> None:
    """Bring the database's schema up to date. Servers do this themselves when they start."""
    from greenroom.cli.database import migrate_database  # noqa: PLC0415

    typer.echo(migrate_database(load(flags)))


@app.command()
def version() -> None:
    """Show the version."""
    typer.echo(VERSION)


def main() -> None:
    """The console script."""
    try:
        app(prog_name="greenroom")
    except WrongSetting as problem:
        for line in str(problem).splitlines():
            print(f"greenroom: {line}", file=sys.stderr)
        sys.exit(2)
    except CannotStart as problem:
        print(f"greenroom: {problem}", file=sys.stderr)
        sys.exit(problem.code)
