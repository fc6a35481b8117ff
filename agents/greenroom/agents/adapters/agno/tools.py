"""The tools of an agent or a team, run through the turn's toolbox."""

import asyncio
import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from agno.tools import Toolkit
from agno.tools.function import Function

from greenroom.agents.adapters.again import Again, ByName, takes_only
from greenroom.agents.adapters.tools import Scripted, current_turn, framework_tool, run_in_turn
from greenroom.sdk import AgentError, Tool, ToolError, ToolFailed

_ANYTHING: dict[str, Any] = {"type": "object", "properties": {}}


class KnownTools:
    """What is known of an agent's tools before it runs. Those of MCP servers, and those that a team has for its members,
    are met in a run."""

    def __init__(self, agent: Any) -> None:
        self._known: dict[str, Tool[..., Any]] = {}
        self._blocking: set[str] = set()
        """Plain functions, which must not run on the event loop."""
        self._again: Again = ByName("agno")
        for one in _everybody(agent):
            if one.tool_hooks:  # they see a tool's failure itself, of which agno looks at the text alone
                self._again = Again()
            for function in _functions(one.tools):
                if function.tool_hooks and not one.tool_hooks:
                    raise AgentError(f"tool {function.name} has tool_hooks of its own: give them to its agent")
                self._add(function)

        async def call(function_name: str, function_call: Callable[..., Any], arguments: dict[str, Any]) -> Any:
            return await self._call(function_name, function_call, arguments)

        # agno asks for it ten times a call, and makes it anew where it is not set
        call.__signature__ = inspect.signature(call)  # type: ignore[attr-defined]
        self.call = call
        """The innermost of agno's tool hooks: runs a call through the turn's toolbox. Raises what the tool raised."""

    @property
    def tools(self) -> Sequence[Tool[..., Any]]:
        return list(self._known.values())

    async def _call(self, function_name: str, function_call: Callable[..., Any], arguments: dict[str, Any]) -> Any:
        tool = self._known.get(function_name) or framework_tool(
            function_name, _only_in_runs, description="", parameters=_ANYTHING
        )

        async def run(_: dict[str, Any]) -> Any:
            if function_name in self._blocking:
                return await asyncio.to_thread(_driven, function_call(**arguments))
            return await function_call(**arguments)

        try:
            value = await run_in_turn(current_turn(), tool, arguments, run, again=self._again)
        except ToolFailed as failed:
            cause = failed.__cause__
            # what agno then tells the model is the error's text
            raise cause if isinstance(cause, Exception) else ToolError(failed.message) from None
        return value.value if isinstance(value, Scripted) else value

    def _add(self, function: Any) -> None:
        if function.entrypoint is None or function.name in self._known:
            return
        if not inspect.iscoroutinefunction(function.entrypoint) and not inspect.isasyncgenfunction(function.entrypoint):
            self._blocking.add(function.name)

        async def alone(arguments: dict[str, Any]) -> Any:
            if function.name in self._blocking:
                return await asyncio.to_thread(function.entrypoint, **arguments)
            return await function.entrypoint(**arguments)

        schema = function.parameters or _ANYTHING
        self._known[function.name] = framework_tool(
            function.name,
            alone,
            description=function.description or "",
            parameters=schema,
            replayable=takes_only(function.entrypoint, schema.get("properties", ())),
        )


def _everybody(agent: Any) -> Iterator[Any]:
    """An agent; of a team, all its members too."""
    yield agent
    members = getattr(agent, "members", None)
    for member in members if isinstance(members, list) else ():
        yield from _everybody(member)


def _functions(tools: Any) -> Iterator[Any]:
    for tool in tools if isinstance(tools, list | tuple) else ():
        if isinstance(tool, Toolkit):
            yield from map(_processed, tool.functions.values())
            yield from map(_processed, tool.async_functions.values())
        elif isinstance(tool, Function):
            yield _processed(tool)
        elif callable(tool):
            yield Function.from_callable(tool)


def _processed(function: Any) -> Any:
    """A copy that knows its parameters."""
    made = function.model_copy(deep=True)
    made.process_entrypoint()
    return made


def _driven(call: Any) -> Any:
    """What a coroutine comes to that waits for nothing."""
    try:
        call.send(None)
    except StopIteration as done:
        return done.value
    raise RuntimeError("a plain function was awaited")


async def _only_in_runs(arguments: dict[str, Any]) -> Any:
    raise ToolError("this tool is not called but by its agent", code="unavailable")
