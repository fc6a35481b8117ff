"""`greenroom scenarios …`: checking and reading scenario files without a server."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from greenroom.cli.flags import takes_settings
from greenroom.cli.process import CannotStart
from greenroom.cli.sources import load

if TYPE_CHECKING:
    from greenroom.core.scenario_files.load import Loaded

scenarios = typer.Typer(help="Scenario files: check, list, show, schema.", no_args_is_help=True)

AGENT = Annotated[
    str,
    typer.Option(
        "--agent",
        metavar="AGENT",
        help="Whose tools they script; the first that is served where none is given [GREENROOM_AGENT]",
        show_default=False,
    ),
]


@scenarios.command("check")
def check_scenarios(
    folder: Annotated[
        str, typer.Argument(metavar="[DIR]", help="The folder; as `greenroom serve` takes it if none is given.")
    ] = "",
    agent: AGENT = "",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of lines.")] = False,
) -> None:
    """Tell every mistake in every file, with its line. The exit code is 1 if there is one."""
    loaded = _load(agent, {"scenarios_dir": folder} if folder else {})
    if as_json:
        typer.echo(_document(loaded))
    else:
        for mistake in loaded.mistakes:
            typer.echo(str(mistake))
        found = len(loaded.mistakes)
        typer.echo(
            f"{loaded.files} files, {len(list(loaded.scenarios))} scenarios, {found} mistake{'' if found == 1 else 's'}"
        )
    if loaded.mistakes:
        raise typer.Exit(1)


@scenarios.command("list")
@takes_settings("scenarios")
def list_scenarios(
    agent: AGENT = "",
    as_json: Annotated[bool, typer.Option("--json", help="JSON lines instead of a table.")] = False,
    **flags: str,
) -> None:
    """List the scenarios that can be asked for."""
    from greenroom.cli.scenario_views import print_list  # noqa: PLC0415  # what it needs, for this command alone

    print_list(_load(agent, flags), as_json=as_json)


@scenarios.command("show")
@takes_settings("scenarios")
def show_scenario(
    scenario_id: Annotated[str, typer.Argument(help="The scenario's id.")],
    agent: AGENT = "",
    as_json: Annotated[bool, typer.Option("--json", help="JSON, with the whole starting world.")] = False,
    **flags: str,
) -> None:
    """Show a scenario with all that it extends, and where each part comes from."""
    from greenroom.cli.scenario_views import print_one  # noqa: PLC0415

    loaded = _load(agent, flags)
    scenario = loaded.scenarios.find(scenario_id)
    if scenario is None:
        near = loaded.scenarios.nearest(scenario_id)
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        raise CannotStart(f"there is no scenario {scenario_id}{hint}", code=1)
    print_one(scenario, loaded.origins[scenario.id], as_json=as_json)


@scenarios.command("schema")
def show_schema() -> None:
    """Write the format as JSON Schema, for editors."""
    from greenroom.core.scenario_files.written import json_schema  # noqa: PLC0415

    typer.echo(json.dumps(json_schema(), indent=2, ensure_ascii=False))


def _load(agent: str, flags: dict[str, Any]) -> "Loaded":
    from greenroom.cli.agents import agent_id, load_agent, tool_sources  # noqa: PLC0415
    from greenroom.cli.scenarios import scenario_sources  # noqa: PLC0415
    from greenroom.core.agent import AgentError  # noqa: PLC0415
    from greenroom.core.scenario_files.load import load_scenarios  # noqa: PLC0415
    from greenroom.core.served import check_tools  # noqa: PLC0415

    settings = load({**flags, **({"agent": agent} if agent else {})})
    name = settings.agent[0]
    found = load_agent(name, settings)
    for source in tool_sources(settings):
        found.add_tools(source)
    try:
        check_tools(found)
        return load_scenarios(found, scenario_sources(settings), agent_id(name))
    except AgentError as problem:
        raise CannotStart(f"agent {name}: {problem}") from None


def _document(loaded: "Loaded") -> str:
    mistakes = [
        {"file": mistake.file, "line": mistake.line or None, "path": mistake.path, "message": mistake.text}
        for mistake in loaded.mistakes
    ]
    document = {
        "files": loaded.files,
        "scenarios": [scenario.id for scenario in loaded.scenarios],
        "mistakes": mistakes,
    }
    return json.dumps(document, ensure_ascii=False)
