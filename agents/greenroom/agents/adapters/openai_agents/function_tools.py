"""The SDK's function tools, run through the turn's toolbox."""

import copy
import json
from typing import Any

from greenroom.agents.adapters.again import Again, ByName, takes_only
from greenroom.agents.adapters.tools import Scripted, as_json, current_turn, framework_tool, run_in_turn
from greenroom.sdk import AgentError, Tool, ToolFailed, Turn

_AS_IT_IS = Again()
_BY_NAME = ByName("agents")


class Invocation:
    """What a function tool does when it is called: within a turn the toolbox runs it, elsewhere it runs as it did."""

    def __init__(self, sdk: Any, tool: Any, *, replayable: bool) -> None:
        self._sdk = sdk
        self._tool = tool
        self._raising = copy.copy(tool)
        """The tool, but that it raises what the SDK would make a message of: the toolbox is to see that it failed."""
        self._raising.timeout_seconds = None
        self._raising._failure_error_function = None
        self._raising._use_default_failure_error_function = False
        about = {"description": tool.description, "parameters": tool.params_json_schema}
        self.known: Tool[..., Any] = framework_tool(tool.name, self._alone, **about, replayable=replayable)
        """The tool as one of Greenroom's."""
        self.known.timeout = tool.timeout_seconds

    async def __call__(self, context: Any, arguments: str) -> Any:
        turn = _turn_or_none()
        if turn is None:
            return await self._tool.on_invoke_tool(context, arguments)

        async def run(_: dict[str, Any]) -> Any:
            return await self._run(context, arguments)

        try:
            value = await run_in_turn(turn, self.known, _parsed(arguments), run, again=self._again(context))
        except ToolFailed as failed:
            return await self._failed(context, failed)
        return _text(value.value) if isinstance(value, Scripted) else value

    def _again(self, context: Any) -> Again:
        """The SDK itself looks at nothing of a failure but that it is one; what its author has put there may."""
        config = getattr(context, "run_config", None)
        formats = None if config is None else config.tool_error_formatter
        return _BY_NAME if self._tool._use_default_failure_error_function and formats is None else _AS_IT_IS

    async def _run(self, context: Any, arguments: str) -> Any:
        run = self._sdk.tool.invoke_function_tool
        return await run(function_tool=self._raising, context=context, arguments=arguments)

    async def _alone(self, arguments: dict[str, Any]) -> Any:
        text = json.dumps(arguments)
        named: dict[str, Any] = {"tool_name": self._tool.name, "tool_call_id": "alone", "tool_arguments": text}
        return await self._run(self._sdk.tool_context.ToolContext(None, **named), text)

    async def _failed(self, context: Any, failed: ToolFailed) -> Any:
        """What the SDK makes of a failed call: a message for the model, or an error that ends the run."""
        tool = self._tool
        if failed.type == "timeout" and tool.timeout_seconds is not None:
            return await self._late(context)
        error = failed.__cause__ if isinstance(failed.__cause__, Exception) else failed
        explain = self._sdk.tool.maybe_invoke_function_tool_failure_error_function
        message = await explain(function_tool=tool, context=context, error=error)
        if message is None:
            raise error
        return message

    async def _late(self, context: Any) -> Any:
        tool = self._tool
        late = {"tool_name": tool.name, "timeout_seconds": tool.timeout_seconds}
        error = self._sdk.exceptions.ToolTimeoutError(**late)
        if tool.timeout_behavior == "raise_exception":
            raise error
        if tool.timeout_error_function is None:
            return self._sdk.tool.default_tool_timeout_error_message(**late)
        message = tool.timeout_error_function(context, error)
        return await message if hasattr(message, "__await__") else message


def _is_plain(tool: Any) -> bool:
    """Whether it is a decorated function that takes its arguments alone."""
    function = getattr(tool, "__wrapped__", None)
    return function is not None and takes_only(function, tool.params_json_schema.get("properties", ()))


def through_toolbox(sdk: Any, tool: Any, *, replayable: bool = False) -> Any:
    """A copy of a tool that the toolbox runs; one that is such a copy already, or that is no function tool, as it is.
    `replayable`: see `framework_tool`; a function's signature says it too."""
    if not isinstance(tool, sdk.FunctionTool) or isinstance(tool.on_invoke_tool, Invocation):
        return tool
    made = copy.copy(tool)
    made.on_invoke_tool = Invocation(sdk, tool, replayable=replayable or _is_plain(tool))
    made.timeout_seconds = None  # the toolbox keeps it, and says so in the evidence
    return made


def _turn_or_none() -> Turn | None:
    try:
        return current_turn()
    except AgentError:
        return None


def _parsed(arguments: str) -> dict[str, Any]:
    """For the evidence. What is no object, the tool itself will refuse."""
    try:
        parsed = json.loads(arguments or "{}")
    except ValueError:
        parsed = None
    return parsed if isinstance(parsed, dict) else {"arguments": arguments}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(as_json(value), ensure_ascii=False)
