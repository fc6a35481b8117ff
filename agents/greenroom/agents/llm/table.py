"""The `[llm]` table of an agent file."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from greenroom.agents.knowledge import read_knowledge
from greenroom.agents.llm.agent import LlmAgent
from greenroom.agents.llm.options import Address, LlmOptions, ModelName
from greenroom.agents.named_tools import named_tools
from greenroom.sdk import AgentError
from greenroom.tools.tables import read_table


class _Table(LlmOptions):
    """What may stand in it: the options, and what else makes an agent. Paths are relative to the file."""

    model: ModelName
    base_url: Address = ""
    api_key_env: str = ""
    name: str = "llm"
    instructions: str = ""
    instructions_file: str = ""
    tools: tuple[str, ...] = ()
    knowledge: Any = None
    world: str | None = None
    scenarios: str | None = None


def read_llm(settings: Mapping[str, Any], folder: Path) -> LlmAgent:
    """The agent that a table describes. `folder` is the file's. Raises `AgentError` with every mistake in it, one a line."""
    table = read_table(_Table, settings, "llm")
    options = {name: value for name in LlmOptions.model_fields if (value := getattr(table, name)) is not None}
    tools = list(named_tools(table.tools, folder, "llm.tools"))
    knowledge = None if table.knowledge is None else read_knowledge(table.knowledge, folder)
    if knowledge is not None:
        tools.append(knowledge.tool)
    agent = LlmAgent(
        table.name,
        model=table.model,
        base_url=table.base_url,
        api_key_env=table.api_key_env,
        options=LlmOptions(**options),
        instructions=_instructions(table, folder),
        tools=tools,
        world=None if table.world is None else folder / table.world,
        scenarios=None if table.scenarios is None else folder / table.scenarios,
    )
    if knowledge is not None:
        agent.on_startup(knowledge.load)
    return agent


def _instructions(table: _Table, folder: Path) -> str:
    if not table.instructions_file:
        return table.instructions
    if table.instructions:
        raise AgentError("llm.instructions_file: there are instructions already; keep one of the two")
    try:
        return (folder / table.instructions_file).read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as problem:
        why = problem.strerror if isinstance(problem, OSError) else problem
        raise AgentError(f"llm.instructions_file: cannot read {table.instructions_file}: {why}") from None
