"""LlamaIndex's tools, in the turn's toolbox."""

import copy
import json
from collections.abc import Awaitable, Callable, Collection
from functools import partial
from typing import Any

from llama_index.core.tools import FunctionTool, ToolOutput, adapt_to_async_tool
from llama_index.core.workflow import Context

from greenroom.agents.adapters.again import ByName, is_plain, takes_only
from greenroom.agents.adapters.tools import Scripted, as_json, current_turn, framework_tool, run_in_turn
from greenroom.sdk import Tool, ToolError, ToolFailed


class _Refusal(ToolError):
    """A tool that answered with an error of its own."""

    def __init__(self, output: Any) -> None:
        super().__init__(output.content, code=type(output.exception).__name__ if output.exception else "failed")
        self.output = output


def described(tool: Any) -> Tool[..., Any]:
    """A tool of LlamaIndex as one of ours."""

    async def alone(arguments: dict[str, Any]) -> Any:
        return shown(await adapt_to_async_tool(tool).acall(**arguments))

    metadata = tool.metadata
    parameters = {"properties": {}, **metadata.get_parameters_dict()}
    about = {"description": metadata.description, "parameters": parameters}
    return framework_tool(metadata.get_name(), alone, **about, replayable=_is_plain(tool, parameters["properties"]))


def _is_plain(tool: Any, names: Collection[str]) -> bool:
    """Whether it is a function that takes its arguments alone, and what it gives is all that comes of it."""
    is_function = type(tool) is FunctionTool and tool._async_callback is None
    return is_function and takes_only(tool.real_fn, {*names, *tool.partial_params})


class _Again(ByName):
    """One call of a function, which gives once more what it gave: LlamaIndex makes of it what it made then."""

    def __init__(self, call: Callable[[Any], Awaitable[Any]], tool: Any) -> None:
        super().__init__("llama_index", "workflows")
        self._call = call
        self._tool = tool

    def returns(self, value: Any) -> bool:
        return is_plain(value.raw_output)

    async def given(self, result: Any) -> Any:
        async def again(*args: Any, **kwargs: Any) -> Any:
            return result

        tool = copy.copy(self._tool)
        tool._async_fn = again
        return await self._call(tool)


def in_turn(tool: Any) -> Any:
    """A copy of a tool that goes through the toolbox of the turn it runs in."""
    native = adapt_to_async_tool(tool)
    replaced = copy.copy(native)
    replaced.acall = partial(_call, native)
    return replaced


class ToolsFound:
    """A retriever of tools, whose tools go through the toolbox."""

    def __init__(self, retriever: Any) -> None:
        self._retriever = retriever

    async def aretrieve(self, text: str) -> list[Any]:
        return [in_turn(tool) for tool in await self._retriever.aretrieve(text)]


async def _call(tool: Any, *args: Any, **kwargs: Any) -> Any:
    """Gives what the tool gives or what a scenario has it give; raises what the tool raises."""

    async def call(one: Any) -> Any:
        return await one.acall(*args, **kwargs)

    async def run(arguments: dict[str, Any]) -> Any:
        output = await call(tool)
        if output.is_error:
            raise _Refusal(output)
        return output

    name = tool.metadata.get_name()
    turn = current_turn()
    ours = next((one for one in turn.toolbox.tools if one.name == name), None) or described(tool)
    visible = {key: value for key, value in kwargs.items() if not isinstance(value, Context)}
    failure: BaseException
    try:
        result = await run_in_turn(turn, ours, visible, run, shown, _Again(call, tool))
    except ToolFailed as failed:
        cause = failed.__cause__
        if isinstance(cause, _Refusal):
            return cause.output
        if cause is None or isinstance(cause, ToolError):
            return ToolOutput(
                tool_name=name, content=failed.message, raw_input=visible, raw_output=failed.message, is_error=True
            )
        failure = cause
    else:
        if not isinstance(result, Scripted):
            return result
        value = result.value
        content = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        return ToolOutput(tool_name=name, content=content, raw_input=visible, raw_output=value)
    raise failure


def shown(output: Any) -> Any:
    """What a tool gave, as JSON: the function's result where it has such a form, else its text."""
    raw = output.raw_output
    return as_json(raw) if isinstance(raw, dict | list | str | int | float | bool | None) else output.content
