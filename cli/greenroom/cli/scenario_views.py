"""Scenarios as tables, lines and documents."""

import json
import sys
from collections.abc import Iterator
from typing import Any

import msgspec
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from greenroom.core.scenario import Scenario
from greenroom.core.scenario_files.load import Loaded, Origin
from greenroom.core.script import Among, Condition, Equal, Fails, Found, Returns, Rule, TimesOut

_OWN = "the agent"


def print_list(loaded: Loaded, *, as_json: bool) -> None:
    """A table on a terminal, tab-separated lines elsewhere, JSON lines when asked for."""
    rows = [_row(scenario, loaded.origins[scenario.id]) for scenario in loaded.scenarios]
    if as_json:
        for row in rows:
            print(json.dumps(row, ensure_ascii=False))
        return
    columns = ("id", "title", "extends", "scripts", "file")
    cells = [tuple(", ".join(row[name]) if name == "scripts" else row[name] or "-" for name in columns) for row in rows]
    if not sys.stdout.isatty():
        for line in (columns, *cells):
            print("\t".join(cell or "-" for cell in line))
        return
    table = Table(*columns)
    for line in cells:
        table.add_row(*(escape(cell) for cell in line))
    Console().print(table)


def _row(scenario: Scenario, origin: Origin) -> dict[str, Any]:
    return {
        "id": scenario.id,
        "title": scenario.title,
        "extends": origin.chain[-2] if len(origin.chain) > 1 else None,
        "scripts": list(scenario.tools),
        "file": origin.file or None,
    }


def print_one(scenario: Scenario, origin: Origin, *, as_json: bool) -> None:
    """A scenario as sessions will find it."""
    if as_json:
        document = {
            **json.loads(scenario.text),
            "file": origin.file or None,
            "chain": origin.chain,
            "from": origin.parts,
            "world": json.loads(scenario.seed.text),
        }
        print(json.dumps(document, ensure_ascii=False))
        return
    lines = list(_lines(scenario, origin))
    width = max(len(name) for name, _, _ in lines)
    for name, value, source in lines:
        print(f"{name:<{width}}  {value}" + (f"  [{source}]" if source else ""))


def _lines(scenario: Scenario, origin: Origin) -> Iterator[tuple[str, str, str]]:
    """Name, value, and the scenario that the value comes from."""
    yield "id", scenario.id, ""
    yield "title", scenario.title or "-", ""
    yield "file", origin.file or "-", ""
    yield "stands on", ", ".join(origin.chain[:-1]) or _OWN, ""
    world = json.loads(scenario.seed.text)
    held = (f"{name}: {len(value) if isinstance(value, dict) else json.dumps(value)}" for name, value in world.items())
    yield "world", f"{'; '.join(held) or 'empty'} (sha256 {scenario.seed.sha[:12]}…)", " + ".join(origin.world)
    clock = scenario.clock
    time = f"{clock.start.isoformat()}, +{_seconds(clock.per_turn.total_seconds())} a turn"
    time = "real" if clock.real else f"{time}, +{_seconds(clock.per_call.total_seconds())} a call"
    yield "clock", time, origin.parts.get("clock", _OWN)
    for name, values in (("user.profile", scenario.profile), ("user.metadata", scenario.metadata)):
        for key, value in values.items():
            yield f"{name}.{key}", json.dumps(value, ensure_ascii=False), origin.parts[f"{name}.{key}"]
    if scenario.instructions:
        yield "instructions", json.dumps(scenario.instructions, ensure_ascii=False), origin.parts["instructions"]
    if scenario.memory is not None:
        yield "memory", json.dumps(scenario.memory), origin.parts["memory"]
    if scenario.cassette is not None:
        yield "cassette", json.dumps(msgspec.to_builtins(scenario.cassette)), origin.parts["cassette"]
    for tool, rules in scenario.tools.items():
        for number, rule in enumerate(rules):
            yield f"tools.{tool}[{number}]", f"{_when(rule)}: {_then(rule)}", origin.parts[f"tools.{tool}"]


def _when(rule: Rule) -> str:
    parts = [f"call {rule.call}"] if rule.call is not None else []
    parts += [f"turn {rule.turn}"] if rule.turn is not None else []
    parts += [f"{name} {_condition(condition)}" for name, condition in rule.args.items()]
    return ", ".join(parts) or "every call"


def _condition(condition: Condition) -> str:
    match condition:
        case Equal(value):
            return f"= {json.dumps(value, ensure_ascii=False)}"
        case Among(values):
            return f"in {json.dumps(values, ensure_ascii=False)}"
        case Found(pattern):
            return f"matches {json.dumps(pattern, ensure_ascii=False)}"


def _then(rule: Rule) -> str:
    parts = [f"waits {_seconds(rule.delay)}"] if rule.delay else []
    match rule.outcome:
        case Fails(code, message):
            parts.append(f"fails with {code}: {message}")
        case Returns(text):
            parts.append(f"returns {text}")
        case TimesOut():
            parts.append("times out")
        case None:
            parts.append("the real tool")
    return ", then ".join(parts)


def _seconds(value: float) -> str:
    return f"{value:g}s"
