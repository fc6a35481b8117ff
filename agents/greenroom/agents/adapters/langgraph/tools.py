"""The tools of a graph's `ToolNode`s, in the turn's toolbox."""

import asyncio
import copy
import json
from collections.abc import Awaitable, Callable, Collection
from typing import Any

from langchain_core.messages import ToolMessage
from langchain_core.tools import BaseTool, StructuredTool, ToolException
from langchain_core.tools import Tool as LangChainTool
from langgraph.prebuilt import ToolNode
from langgraph.pregel import Pregel

from greenroom.agents.adapters.again import Again, takes_only
from greenroom.agents.adapters.langgraph.results import comes_again, shown
from greenroom.agents.adapters.langgraph.watch import in_toolbox
from greenroom.agents.adapters.tools import Scripted, current_turn, framework_tool, run_in_turn
from greenroom.sdk import Tool, ToolError, ToolFailed

_CALLBACKS = frozenset({"callbacks", "run_manager"})


class ToolsOfGraph:
    """Replaces the tools of a graph, and of those inside it, by ones that go through the toolbox of the turn they run in."""

    def __init__(self) -> None:
        self._found: dict[str, Tool[..., Any]] = {}

    @property
    def tools(self) -> list[Tool[..., Any]]:
        """In order of appearance, each name once."""
        return list(self._found.values())

    def through(self, graph: Any) -> Any:
        """A graph like the given one, which is left alone."""
        replaced = copy.copy(graph)
        replaced.nodes = {
            name: node if (bound := self._bound(node.bound)) is node.bound else node.copy({"bound": bound})
            for name, node in graph.nodes.items()
        }
        return replaced

    def _bound(self, bound: Any) -> Any:
        if isinstance(bound, ToolNode):
            return self._tool_node(bound)
        if isinstance(bound, Pregel):
            return self.through(bound)
        return bound

    def _tool_node(self, node: Any) -> Any:
        for tool in node.tools_by_name.values():
            self._described(tool)
        replaced = copy.copy(node)
        replaced.func, replaced.afunc = (
            replaced._func,
            replaced._afunc,
        )  # a copy's are those of the node it was made from
        replaced._awrap_tool_call = self._wrapper(node._wrap_tool_call, node._awrap_tool_call)
        return replaced

    def _wrapper(self, plain: Any, native: Any) -> Callable[[Any, Any], Awaitable[Any]]:
        """Around each call, inside of what the graph wraps around it: a retry is a call of its own."""

        async def wrap(request: Any, execute: Any) -> Any:
            async def run(inner: Any) -> Any:
                tool = inner.tool
                return await execute(
                    inner if tool is None else inner.override(tool=InTurn(tool, self, inner.tool_call))
                )

            if native is not None:
                return await native(request, run)
            if plain is None:
                return await run(request)
            loop = asyncio.get_running_loop()

            def waiting(inner: Any) -> Any:
                return asyncio.run_coroutine_threadsafe(run(inner), loop).result()

            return await asyncio.to_thread(plain, request, waiting)

        return wrap

    def _described(self, tool: Any) -> Tool[..., Any]:
        found = self._found.get(tool.name)
        return self._found.setdefault(tool.name, described(tool)) if found is None else found

    def tool_for(self, tool: Any) -> Tool[..., Any]:
        """As the agent lists it; one that first appeared in a turn is made for it."""
        return self._found.get(tool.name) or described(tool)


def described(tool: BaseTool) -> Tool[..., Any]:
    """A LangChain tool as one of ours."""
    schema = tool.tool_call_schema
    parameters = schema if isinstance(schema, dict) else schema.model_json_schema()
    parameters = {key: value for key, value in parameters.items() if key not in ("title", "description")}
    parameters.setdefault("properties", {})

    async def alone(arguments: dict[str, Any]) -> Any:
        return shown(await tool.ainvoke(arguments))

    about = {"description": tool.description, "parameters": parameters}
    return framework_tool(tool.name, alone, **about, replayable=_is_plain(tool, parameters["properties"]))


def _is_plain(tool: BaseTool, names: Collection[str]) -> bool:
    """Whether its code takes its arguments alone, and what it gives is all that comes of it. What it does by callbacks is
    seen where they arrive."""
    ran = [tool._run, tool._arun]
    if type(tool) in (StructuredTool, LangChainTool):
        ran = [tool.coroutine or tool.func]
    return tool.response_format == "content" and all(takes_only(one, {*names, *_CALLBACKS}) for one in ran)


def _standing_in(tool: BaseTool, run: Callable[[], Any]) -> BaseTool:
    """A copy of a tool that does this in place of its own code."""

    def plain(*args: Any, **kwargs: Any) -> Any:
        return run()

    async def native(*args: Any, **kwargs: Any) -> Any:
        return run()

    made = copy.copy(tool)
    for name, function in (("_run", plain), ("_arun", native)):
        object.__setattr__(made, name, function)  # these are no fields
    return made


class _Refusal(ToolError):
    """A tool that answered with an error message of its own."""

    def __init__(self, message: Any) -> None:
        super().__init__(str(message.content), code="ToolException")
        self.answer = message


class _OneCall(Again):
    """One call of a tool. Where a cassette answers it, its code gives or raises once more what it did: LangChain makes of it
    what it made then, and tells its callbacks."""

    def __init__(self, tool: BaseTool, call: Any, config: Any, options: dict[str, Any]) -> None:
        super().__init__(ToolException)
        self._tool = tool
        self._given = (call, config)
        self._options = options

    async def live(self, arguments: dict[str, Any]) -> Any:
        return await self._run(self._tool)

    def returns(self, value: Any) -> bool:
        return comes_again(value)

    def raises(self, error: BaseException) -> bool:
        if not isinstance(error, _Refusal):
            return super().raises(error)
        answer, handles = error.answer, self._tool.handle_tool_error
        said = {"name": answer.name, "tool_call_id": answer.tool_call_id, "status": "error"}
        return (handles is True or isinstance(handles, str)) and answer == ToolMessage(str(error), **said)

    async def given(self, result: Any) -> Any:
        return await self._run(_standing_in(self._tool, lambda: result))

    async def failed(self, failure: Exception) -> Exception:
        def fail() -> Any:
            raise failure

        try:
            await self._run(_standing_in(self._tool, fail))
        except Exception as error:  # whatever comes of it, the graph gets
            return error
        return failure

    async def _run(self, tool: BaseTool) -> Any:
        before = in_toolbox.set(object())
        try:
            result = await tool.ainvoke(*self._given, **self._options)
        finally:
            in_toolbox.reset(before)
        if isinstance(result, ToolMessage) and result.status == "error":
            raise _Refusal(result)
        return result


class InTurn:
    """A tool for one call of a `ToolNode`, which asks it for `ainvoke` alone, and otherwise looks at the tool itself."""

    def __init__(self, tool: Any, tools: ToolsOfGraph, call: Any) -> None:
        self._tool = tool
        self._tools = tools
        self._call = call

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tool, name)

    async def ainvoke(self, call: Any, config: Any = None, **kwargs: Any) -> Any:
        """What the tool gives, or what a scenario has it give; raises what the tool raises."""
        one = _OneCall(self._tool, call, config, kwargs)
        failure: BaseException
        try:
            ours = self._tools.tool_for(self._tool)
            result = await run_in_turn(current_turn(), ours, self._call["args"], one.live, shown, one)
        except ToolFailed as failed:
            cause = failed.__cause__
            if isinstance(cause, _Refusal):
                return cause.answer
            # what a scenario says is this framework's kind of error; a tool's own error stays what it is
            failure = ToolException(failed.message) if cause is None or isinstance(cause, ToolError) else cause
        else:
            if not isinstance(result, Scripted):
                return result
            value = result.value
            content = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            return ToolMessage(content, name=self._tool.name, tool_call_id=self._call["id"])
        raise failure
