"""ADK's tools, in the turn's toolbox."""

import copy
from collections.abc import Iterator
from functools import partial
from typing import Any

from google.adk.errors.tool_execution_error import ToolExecutionError
from google.adk.tools import BaseTool, FunctionTool, LongRunningFunctionTool
from google.adk.tools.base_toolset import BaseToolset

from greenroom.agents.adapters.again import takes_only
from greenroom.agents.adapters.tools import Scripted, current_turn, framework_tool, run_in_turn
from greenroom.sdk import Tool, ToolError, ToolFailed

_INNER = frozenset({"transfer_to_agent", "set_model_response", "finish_task", "request_task", "exit_loop"})
"""Tools by which ADK steers its own agents."""


def tools_of(root: Any) -> list[Tool[..., Any]]:
    """Those that the agents below a root name, each name once. What a toolset has is known only when it runs."""
    found: dict[str, Tool[..., Any]] = {}
    for agent in nodes_of(root):
        for tool in getattr(agent, "tools", ()):
            if isinstance(tool, BaseToolset) or getattr(tool, "name", "") in _INNER:
                continue
            one = tool if isinstance(tool, BaseTool) else FunctionTool(tool)
            if one.name not in found and type(one).run_async is not BaseTool.run_async:
                found[one.name] = described(one)
    return list(found.values())


def nodes_of(root: Any) -> Iterator[Any]:
    """A root and all agents and nodes below it, each once."""
    seen: set[int] = set()
    waiting = [root]
    while waiting:
        node = waiting.pop(0)
        if id(node) in seen:
            continue
        seen.add(id(node))
        yield node
        waiting += [*getattr(node, "sub_agents", ()), *node._iter_static_children()]


def described(tool: Any) -> Tool[..., Any]:
    """A tool of ADK as one of ours."""

    async def alone(arguments: dict[str, Any]) -> Any:
        return await tool.run_async(args=arguments, tool_context=None)

    schema = _schema(tool)
    is_plain = _is_plain(tool, schema)
    return framework_tool(tool.name, alone, description=tool.description or "", parameters=schema, replayable=is_plain)


def _is_plain(tool: Any, schema: dict[str, Any]) -> bool:
    """Whether it is a function that takes its arguments alone, and nobody has to confirm them."""
    is_function = type(tool) in (FunctionTool, LongRunningFunctionTool) and not tool._require_confirmation
    return is_function and takes_only(tool.func, schema["properties"])


def in_turn(tool: Any) -> Any:
    """A copy of a tool that goes through the toolbox of the turn it runs in; one that the model runs itself, as it is."""
    if tool.name in _INNER or type(tool).run_async is BaseTool.run_async or "run_async" in vars(tool):
        return tool
    replaced = copy.copy(tool)
    replaced.run_async = partial(_run, tool)
    return replaced


async def _run(tool: Any, *, args: dict[str, Any], tool_context: Any) -> Any:
    async def run(arguments: dict[str, Any]) -> Any:
        return await tool.run_async(args=arguments, tool_context=tool_context)

    turn = current_turn()
    ours = next((one for one in turn.toolbox.tools if one.name == tool.name), None) or described(tool)
    failure: BaseException
    try:
        result = await run_in_turn(turn, ours, args, run)
    except ToolFailed as failed:
        cause = failed.__cause__
        # what a scenario says is this framework's kind of error; a tool's own error stays what it is
        if cause is None or isinstance(cause, ToolError):
            cause = ToolExecutionError(failed.message, failed.type)
        failure = cause
    else:
        return result.value if isinstance(result, Scripted) else result
    raise failure


def _schema(tool: Any) -> dict[str, Any]:
    declared = tool._get_declaration()
    if declared is None:
        return {"type": "object", "properties": {}}
    schema = declared.parameters_json_schema
    if schema is None and declared.parameters is not None:
        schema = declared.parameters.json_schema.model_dump(mode="json", exclude_none=True)
    return {"type": "object", "properties": {}, **(schema or {})}
