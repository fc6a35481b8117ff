"""An agent's tools, looked at and tried by hand."""

import difflib
import json
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from greenroom.agents.named import BUNDLED
from greenroom.cli.notation import change_line, plain
from greenroom.cli.process import CannotStart
from greenroom.cli.sources import WrongSetting, load
from greenroom.cli.stage import Stage
from greenroom.core.errors import GreenroomError
from greenroom.core.records import ToolCallRecord
from greenroom.core.request import NOBODY
from greenroom.core.tool_desk import CallAside
from greenroom.core.tools import Tool

_ARGUMENT = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL)
_SESSION = "by-hand"


def print_tools(flags: Mapping[str, Any], *, as_json: bool) -> None:
    """A table on a terminal, tab-separated lines elsewhere, JSON lines when asked for. Raises `CannotStart`."""
    with Stage(load(flags)) as stage:
        agent = stage.served.agent
        brought = {id(tool): source.name for source in agent.rack.sources for tool in source.tools}
        found = [(tool, brought.get(id(tool)) or _module(tool)) for tool in agent.tools]
        problem = stage.served.problem()
    if as_json:
        for tool, source in found:
            print(json.dumps({**tool.openai()["function"], "source": source}, ensure_ascii=False))
    else:
        _print_table([(tool.name, _parameters(tool), source, _first_line(tool)) for tool, source in found])
    if problem:
        print(f"greenroom: {problem}", file=sys.stderr)


def split_words(words: Sequence[str]) -> tuple[str, str, Mapping[str, str]]:
    """The agent ("": the default one), the tool and its arguments. Raises `WrongSetting`."""
    names, arguments = list(words), {}
    while len(names) > 1 and (written := _ARGUMENT.fullmatch(names[-1])):
        arguments[written[1]] = written[2]
        names.pop()
    if len(names) > 2:
        raise WrongSetting(f"{names[2]!r} is no argument; one is written KEY=VALUE")
    if len(names) == 2 and names[0].isidentifier() and names[0] not in BUNDLED:
        raise WrongSetting(f"{names[0]} names no agent, and {names[1]!r} is no argument; one is written KEY=VALUE")
    return names[0] if len(names) == 2 else "", names[-1], arguments


def call_by_hand(
    flags: Mapping[str, Any], name: str, arguments: str | Mapping[str, str], *, scenario: str, user_id: str
) -> bool:
    """Prints the result, and what changed; whether the call succeeded. Raises `WrongSetting` and `CannotStart`."""
    settings = load(flags)
    with Stage(settings) as stage:
        stage.check_scenario(scenario)
        tool = _tool(stage, name)
        text = arguments if isinstance(arguments, str) else json.dumps(_read(tool, arguments))
        try:
            call = stage.run(_call(stage, CallAside(name, text, _SESSION, user_id), scenario))
        except GreenroomError as refused:
            raise CannotStart(refused.message.replace("arguments:", "--json:", 1)) from None
        except KeyboardInterrupt:
            raise CannotStart("stopped", code=130) from None
    print(json.dumps(json.loads(call.result_json), indent=2, ensure_ascii=False))
    for place in stage.raised.of(call.id):
        print(plain(place), file=sys.stderr)
    for change in call.changes:
        print(f"changed {change_line(change)}", file=sys.stderr)
    return call.ok


async def _call(stage: Stage, call: CallAside, scenario: str) -> ToolCallRecord:
    metadata = json.dumps({"scenario_id": scenario}) if scenario else ""
    await stage.core.openings.create(NOBODY, call.session_id, call.user_id, metadata)
    return await stage.core.tools.invoke_aside(NOBODY, call)


def _tool(stage: Stage, name: str) -> Tool[..., Any]:
    names = {tool.name: tool for tool in stage.served.agent.tools}
    if name not in names:
        near = difflib.get_close_matches(name, names, n=2)
        hint = f"did you mean {' or '.join(near)}?" if near else f"it has {', '.join(names) or 'none'}"
        problem = stage.served.problem()
        raise CannotStart(f"the agent has no tool {name}; {hint}{f' ({problem})' if problem else ''}")
    return names[name]


def _read(tool: Tool[..., Any], arguments: Mapping[str, str]) -> dict[str, Any]:
    """What was written for a text is one; all else is read as JSON where it is some."""
    properties = tool.signature.schema().get("properties", {})
    return {key: text if _takes_text(properties.get(key, {})) else _json(text) for key, text in arguments.items()}


def _takes_text(schema: Mapping[str, Any]) -> bool:
    forms = [schema, *schema.get("anyOf", ()), *schema.get("oneOf", ())]
    return any(form.get("type") == "string" or "string" in _listed(form.get("type")) for form in forms)


def _listed(kind: Any) -> Sequence[str]:
    return kind if isinstance(kind, list) else ()


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _parameters(tool: Tool[..., Any]) -> str:
    schema = tool.signature.schema()
    required = schema.get("required", ())
    return ", ".join(
        f"{name}{_parameter(own, required=name in required)}" for name, own in schema.get("properties", {}).items()
    )


def _parameter(schema: Mapping[str, Any], *, required: bool) -> str:
    """`: string`, `: string = "x"`, or `?: string` for one that may be left out."""
    default = f" = {json.dumps(schema['default'], ensure_ascii=False)}" if "default" in schema and not required else ""
    return f"{'' if required or default else '?'}: {_kind(schema)}{default}"


def _kind(schema: Mapping[str, Any]) -> str:
    """A schema in a word or two."""
    if "enum" in schema:
        return " | ".join(json.dumps(value, ensure_ascii=False) for value in schema["enum"])
    if "anyOf" in schema:
        return " | ".join(map(_kind, schema["anyOf"]))
    kind = schema.get("type", schema.get("$ref", "any").rpartition("/")[2])
    if kind == "array" and isinstance(schema.get("items"), dict):
        return f"array of {_kind(schema['items'])}"
    return " | ".join(kind) if isinstance(kind, list) else str(kind)


def _first_line(tool: Tool[..., Any]) -> str:
    return tool.description.partition("\n")[0]


def _module(tool: Tool[..., Any]) -> str:
    return str(getattr(tool.function, "__module__", ""))


def _print_table(rows: Sequence[tuple[str, ...]]) -> None:
    columns = ("tool", "parameters", "source", "description")
    if not sys.stdout.isatty():
        for row in (columns, *rows):
            print("\t".join(plain(cell).replace("\t", " ") for cell in row))
        return
    table = Table()
    for name in columns:
        table.add_column(name, overflow="fold")  # nothing is cut: a name must be there whole to be called
    for row in rows:
        table.add_row(*(escape(plain(cell)) for cell in row))
    Console().print(table)
