"""An agent's tools, run through the turn's toolbox."""

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pydantic_ai.exceptions import ModelRetry
from pydantic_ai.exceptions import ToolFailed as FailedForModel
from pydantic_ai.tools import RunContext
from pydantic_ai.toolsets import FunctionToolset, WrapperToolset
from pydantic_ai.usage import RunUsage

from greenroom.agents.adapters.again import Again
from greenroom.agents.adapters.tools import Scripted, as_json, current_turn, framework_tool, run_in_turn
from greenroom.sdk import Tool, ToolError, ToolFailed, Turn

_LATE = "Timed out after"
"""How the framework begins what it tells of a tool past its time."""


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

    def known(self, tool: Any) -> Tool[..., Any]:
        """A tool that is met in a run."""
        found = self._known.get(tool.tool_def.name)
        return found or _known(tool.tool_def, _only_in_runs, replayable=_is_plain(tool))

    def _add(self, toolset: Any) -> None:
        for tool in toolset.tools.values() if isinstance(toolset, FunctionToolset) else ():
            self._known.setdefault(tool.name, _known(tool.tool_def, self._alone(tool), replayable=not tool.takes_ctx))

    def _alone(self, tool: Any) -> Any:
        async def alone(arguments: dict[str, Any]) -> Any:
            deps = self._deps(current_turn()) if self._deps else None
            context: Any = RunContext(deps=deps, model=self._model, usage=RunUsage(), tool_name=tool.name)
            given = tool.function_schema.validator.validate_python(arguments)
            return await tool.function_schema.call(given, context)

        return alone


@dataclass
class InToolbox(WrapperToolset[Any]):
    """A toolset whose tools are called through the turn's toolbox."""

    known: AgentTools

    async def call_tool(self, name: str, tool_args: dict[str, Any], ctx: Any, tool: Any) -> Any:
        """Raises what the tool raised, or what tells the model that it failed."""
        raised: Exception | None = None
        turn = current_turn()

        async def run(_: dict[str, Any]) -> Any:
            nonlocal raised
            if turn.is_taped and not _is_the_frameworks(self.wrapped):
                turn.stays_live()  # the author's own toolset gets the context, and may do anything with it
            try:
                return await self.wrapped.call_tool(name, tool_args, ctx, tool)
            except Exception as error:  # whatever a tool raises is the framework's to judge
                raised = error
                raise _failure_of(error) from error

        failure: Exception
        try:
            value = await run_in_turn(turn, self.known.known(tool), as_json(tool_args), run, again=_AGAIN)
        except ToolFailed as failed:
            cause = failed.__cause__
            recorded = cause if isinstance(cause, Exception) and not isinstance(cause, ToolError) else None
            failure = raised or recorded or FailedForModel(failed.message)
        else:
            return value.value if isinstance(value, Scripted) else value
        raise failure


def _is_plain(tool: Any) -> bool:
    """Whether it is a function that takes no context."""
    schema = getattr(getattr(tool, "call_func", None), "__self__", None)
    return schema is not None and not schema.takes_ctx


def _is_the_frameworks(toolset: Any) -> bool:
    """Whether pydantic-ai has written it, and all that are within it."""
    within = [*getattr(toolset, "toolsets", ()), getattr(toolset, "wrapped", None), getattr(toolset, "_toolset", None)]
    own = type(toolset).__module__.partition(".")[0] == "pydantic_ai"
    return own and all(_is_the_frameworks(one) for one in within if one is not None)


@contextmanager
def in_toolbox(agent: Any, known: AgentTools) -> Iterator[Any]:
    """The agent with all its toolsets called through the toolbox."""
    own = getattr(agent, "_user_toolsets", None)
    if own is not None and len(agent.toolsets) == 1 + len(own):
        made = copy.copy(agent)
        made._function_toolset = InToolbox(agent._function_toolset, known)
        made._user_toolsets = [InToolbox(toolset, known) for toolset in own]
        yield made
        return
    # Some toolsets are made for each run, or the agent is a wrapper: this way costs a millisecond more.
    with agent.override(tools=[], toolsets=[InToolbox(toolset, known) for toolset in agent.toolsets]):
        yield agent


class _Again(Again):
    """The toolbox is told of a failure by a `ToolError`, whose cause it is."""

    def raises(self, error: BaseException) -> bool:
        return super().raises(error.__cause__ or error)

    def failure(self, name: str, text: str) -> Exception | None:
        return ModelRetry(text) if name == "timeout" else super().failure(name, text)


_AGAIN = _Again(ModelRetry, FailedForModel)


def _failure_of(error: Exception) -> Exception:
    """What the toolbox is told that a tool raised."""
    if isinstance(error, ModelRetry) and error.message.startswith(_LATE):
        return TimeoutError(error.message)
    return error if isinstance(error, ToolError) else ToolError(_message(error), code=type(error).__name__)


def _known(definition: Any, alone: Any, *, replayable: bool = False) -> Tool[..., Any]:
    about = {"description": definition.description or "", "parameters": definition.parameters_json_schema}
    return framework_tool(definition.name, alone, **about, replayable=replayable)


async def _only_in_runs(arguments: dict[str, Any]) -> Any:
    raise ToolError("this tool is not called but by its agent", code="unavailable")


def _message(error: Exception) -> str:
    return str(getattr(error, "message", None) or error)
