"""An agent's tools, run through the turn's toolbox."""

from collections.abc import Callable, Sequence
from typing import Any

from pydantic_ai.exceptions import ModelRetry, ToolRetryError
from pydantic_ai.exceptions import ToolFailed as FailedForModel
from pydantic_ai.tools import RunContext
from pydantic_ai.toolsets import FunctionToolset
from pydantic_ai.usage import RunUsage

from greenroom.agents.adapters.tools import Scripted, current_turn, framework_tool, run_in_turn
from greenroom.sdk import Tool, ToolError, ToolFailed, Turn


class AgentTools:
    """What is known of an agent's tools before it runs. Those of other servers are met in a run."""

    def __init__(self, agent: Any, deps: Callable[[Turn], Any] | None) -> None:
        self._deps = deps
        self._model = agent.model
        self._known: dict[str, Tool[..., Any]] = {}
        for toolset in agent.toolsets:
            toolset.apply(self._add)

    @property
    def tools(self) -> Sequence[Tool[..., Any]]:
        return list(self._known.values())

    def known(self, definition: Any) -> Tool[..., Any]:
        """The tool that a model is told of so."""
        found = self._known.get(definition.name)
        return found or _known(definition, _only_in_runs)

    def timeout(self, name: str) -> float | None:
        found = self._known.get(name)
        return found.timeout if found else None

    def _add(self, toolset: Any) -> None:
        for tool in toolset.tools.values() if isinstance(toolset, FunctionToolset) else ():
            known = _known(tool.tool_def, self._alone(tool))
            known.timeout = tool.tool_def.timeout if tool.tool_def.timeout is not None else toolset.timeout
            self._known.setdefault(tool.name, known)

    def _alone(self, tool: Any) -> Any:
        async def alone(arguments: dict[str, Any]) -> Any:
            deps = self._deps(current_turn()) if self._deps else None
            context: Any = RunContext(deps=deps, model=self._model, usage=RunUsage(), tool_name=tool.name)
            given = tool.function_schema.validator.validate_python(arguments)
            return await tool.function_schema.call(given, context)

        return alone


class _Raised(ToolError):
    """What a tool raised, on its way through the toolbox."""

    def __init__(self, error: Exception) -> None:
        retry = isinstance(error, ToolRetryError | ModelRetry)
        code = "ModelRetry" if retry else error.code if isinstance(error, ToolError) else type(error).__name__
        super().__init__(_message(error), code=code)
        self.error = error


async def through_toolbox(turn: Turn, tool: Tool[..., Any], arguments: dict[str, Any], handler: Any) -> Any:
    """Runs a call; raises what its tool raised, or what tells the model that it failed."""

    async def run(_: dict[str, Any]) -> Any:
        try:
            return await handler()
        except Exception as error:  # whatever a tool raises is the framework's to judge
            raise _Raised(error) from error

    failure: Exception
    try:
        value = await run_in_turn(turn, tool, arguments, run)
    except ToolFailed as failed:
        cause = failed.__cause__
        if isinstance(cause, _Raised):
            failure = cause.error
        elif failed.type == "timeout" and tool.timeout is not None:
            failure = ModelRetry(f"Timed out after {tool.timeout} seconds.")  # as it tells its own
        else:
            failure = FailedForModel(failed.message)
    else:
        return value.value if isinstance(value, Scripted) else value
    raise failure


def _known(definition: Any, alone: Any) -> Tool[..., Any]:
    about = {"description": definition.description or "", "parameters": definition.parameters_json_schema}
    return framework_tool(definition.name, alone, **about)


async def _only_in_runs(arguments: dict[str, Any]) -> Any:
    raise ToolError("this tool is not called but by its agent", code="unavailable")


def _message(error: Exception) -> str:
    if isinstance(error, ToolRetryError):
        return str(error.tool_retry.content)
    return str(getattr(error, "message", None) or error)
