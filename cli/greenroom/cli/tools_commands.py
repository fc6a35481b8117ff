"""`greenroom tools …`: an agent's tools, listed and called by hand, without a server."""

from typing import Annotated

import typer

from greenroom.cli.flags import takes_settings
from greenroom.cli.sources import WrongSetting

tools = typer.Typer(help="An agent's tools: list, call.", no_args_is_help=True)


@tools.command("list")
@takes_settings("chat")
def list_tools(
    agent: Annotated[
        str,
        typer.Argument(metavar="AGENT", help="As `greenroom serve` takes it [GREENROOM_AGENT]", show_default=False),
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line, with the schema.")] = False,
    **flags: str,
) -> None:
    """List the tools an agent has: name, description, parameters, and where each comes from."""
    from greenroom.cli.tool_bench import print_tools  # noqa: PLC0415  # an agent and its libraries, for these commands alone

    print_tools({**flags, **({"agent": agent} if agent else {})}, as_json=as_json)


@tools.command("call", no_args_is_help=True)
@takes_settings("chat")
def call_tool(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="[AGENT] NAME [KEY=VALUE]...",
            help="The tool, after its agent where that is not the default one; then its arguments.",
            show_default=False,
        ),
    ],
    as_json: Annotated[str, typer.Option("--json", metavar="OBJECT", help="The arguments as one JSON object.")] = "",
    scenario: Annotated[str, typer.Option("--scenario", metavar="ID", help="In whose world, clock and user.")] = "",
    user: Annotated[str, typer.Option("--user", metavar="ID", help="For whom; nobody if left out.")] = "",
    **flags: str,
) -> None:
    """Call a tool in a world of its own. Its result goes to standard output, what it changed to standard error.

    The exit code is 1 where the call failed, 2 where there was none to make."""
    from greenroom.cli.tool_bench import call_by_hand, split_words  # noqa: PLC0415

    agent, name, arguments = split_words(words)
    if as_json and arguments:
        raise WrongSetting("give the arguments as KEY=VALUE or with --json, not both")
    given = {**flags, **({"agent": agent} if agent else {})}
    if not call_by_hand(given, name, as_json or arguments, scenario=scenario, user_id=user):
        raise typer.Exit(1)
