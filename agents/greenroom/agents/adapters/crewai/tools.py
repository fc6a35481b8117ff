"""The tools of an agent or a crew, run through the turn's toolbox."""

import asyncio
import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from crewai.tools import BaseTool
from crewai.utilities.string_utils import sanitize_tool_name

from greenroom.agents.adapters.again import ByName, takes_only
from greenroom.agents.adapters.tools import Scripted, framework_tool, run_in_turn
from greenroom.sdk import Tool, ToolError, ToolFailed, Turn

_AGAIN = ByName("crewai")


class KnownTools:
    """What is known of an agent's tools before it runs, under the names by which models call them. Those by which agents of
    a crew ask each other, and those of MCP servers and platforms, are met in a run."""

    def __init__(self, target: Any) -> None:
        self._known: dict[str, Tool[..., Any]] = {}
        for tool in _everything(target):
            self._known.setdefault(sanitize_tool_name(tool.name), _known(tool))

    @property
    def tools(self) -> Sequence[Tool[..., Any]]:
        return list(self._known.values())

    def __contains__(self, name: str) -> bool:
        return sanitize_tool_name(name) in self._known

    def staged(self, tool: Any, turn: Turn, loop: asyncio.AbstractEventLoop) -> "StagedTool":
        """What is called in a tool's place in one turn, from any thread. `loop` is the turn's."""
        name = sanitize_tool_name(tool.name)
        known = self._known.get(name) or self._known.setdefault(name, _known(tool))
        made = StagedTool(
            name=tool.name,
            description=tool.description,
            args_schema=tool.args_schema,
            result_schema=tool.result_schema,
            cache_function=tool.cache_function,
            result_as_answer=tool.result_as_answer,
            max_usage_count=tool.max_usage_count,
            tool_failure_policy=tool.tool_failure_policy,
        )
        made._original, made._known, made._turn, made._loop = tool, known, turn, loop
        return made


class StagedTool(BaseTool):
    """Stands in for a tool in one turn."""

    _original: Any = None
    _known: Any = None
    _turn: Any = None
    _loop: Any = None

    def _run(self, **arguments: Any) -> Any:
        """Called by CrewAI with validated arguments. Raises what the tool raised."""
        return asyncio.run_coroutine_threadsafe(self._through_toolbox(arguments), self._loop).result()

    def format_output_for_agent(self, raw_result: Any) -> str:
        text: str = self._original.format_output_for_agent(raw_result)
        return text

    async def _through_toolbox(self, arguments: dict[str, Any]) -> Any:
        async def run(_: dict[str, Any]) -> Any:
            return await _called(self._original, arguments)

        try:
            value = await run_in_turn(self._turn, self._known, arguments, run, again=_AGAIN)
        except ToolFailed as failed:
            cause = failed.__cause__
            # what CrewAI then tells the model is the error's text
            raise cause if isinstance(cause, Exception) else ToolError(failed.message) from None
        return value.value if isinstance(value, Scripted) else value


def _known(tool: Any) -> Tool[..., Any]:
    async def alone(arguments: dict[str, Any]) -> Any:
        return await _called(tool, tool._validate_kwargs(arguments))

    parameters = tool.args_schema.model_json_schema()
    about = {"description": tool.description or "", "parameters": parameters}
    is_plain = takes_only(_function_of(tool), tool.args_schema.model_fields)
    return framework_tool(sanitize_tool_name(tool.name), alone, **about, replayable=is_plain)


def _function_of(tool: Any) -> Callable[..., Any]:
    function: Callable[..., Any] = getattr(tool, "func", None) or tool._run
    return function


async def _called(tool: Any, arguments: dict[str, Any]) -> Any:
    """Plain functions run off the event loop; coroutine functions on it."""
    function = _function_of(tool)
    if inspect.iscoroutinefunction(function):
        return await function(**arguments)
    value = await asyncio.to_thread(function, **arguments)
    return await value if inspect.isawaitable(value) else value


def _everything(target: Any) -> Iterator[Any]:
    """The tools of an agent; of a crew, those of all its agents and tasks, each once."""
    holders = (target,)
    if hasattr(target, "tasks"):
        managers = [] if target.manager_agent is None else [target.manager_agent]
        holders = (*target.agents, *managers, *(task.agent for task in target.tasks if task.agent), *target.tasks)
    seen: set[int] = set()
    for holder in holders:
        for tool in holder.tools or ():
            if id(tool) not in seen:
                seen.add(id(tool))
                yield tool
