"""The `[router]` table of an agent file."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field

from greenroom.agents.named import agent_named
from greenroom.agents.router.router import Router
from greenroom.agents.router.routes import Rule
from greenroom.sdk import Agent, AgentError
from greenroom.tools.documents import each_line_of
from greenroom.tools.tables import Table, read_table


class RuleTable(Table):
    """As `Rule` takes them."""

    agent: str
    keywords: list[str] = []
    pattern: str = ""


class RouterTable(Table):
    """As `Router` takes them; `agents` are AGENT arguments by name, looked for in the file's folder."""

    agents: dict[str, str] = Field(examples=[{"orders": "my_agents:orders"}], min_length=1)
    rules: list[RuleTable] = []
    examples: dict[str, list[str]] = {}
    default: str = ""
    name: str = "router"
    world: str | None = None
    scenarios: str | None = None


def read_router(settings: Mapping[str, Any], folder: Path) -> Router:
    """Raises `AgentError`."""
    table = read_table(RouterTable, settings, "router")
    parts = {name: folder / path for name in ("world", "scenarios") if (path := getattr(table, name)) is not None}
    return Router(
        table.name,
        {name: _agent(name, target, folder) for name, target in table.agents.items()},
        rules=[Rule(rule.agent, keywords=rule.keywords, pattern=rule.pattern) for rule in table.rules],
        examples=table.examples,
        default=table.default,
        **parts,
    )


def _agent(name: str, target: str, folder: Path) -> Agent:
    try:
        return agent_named(target, folder)
    except AgentError as problem:
        raise AgentError(each_line_of(f"router.agents.{name}", problem)) from problem
