"""The agents of one turn: the one that was given, and all that it can hand over to, as copies whose tools the toolbox runs."""

import copy
import weakref
from collections.abc import Sequence
from typing import Any

from greenroom.agents.adapters.openai_agents.function_tools import Invocation, through_toolbox
from greenroom.sdk import Tool


class ToolFronts:
    """Function tools with the toolbox before them, each made once."""

    def __init__(self, sdk: Any) -> None:
        self._sdk = sdk
        self._made: dict[int, tuple[Any, Any]] = {}
        """By the tool's id, with the tool, so that the id stays its own."""

    def of(self, tool: Any) -> Any:
        found = self._made.get(id(tool))
        if found is None:
            found = self._made[id(tool)] = (tool, through_toolbox(self._sdk, tool))
            nested = getattr(tool, "_agent_instance", None)
            if nested is not None:
                self._within(nested)
        return found[1]

    def _within(self, agent: Any) -> None:
        """An agent that is a tool of another one is asked by that tool itself, so its tools are replaced where they are.
        Outside of turns they do what they did."""
        fronts = [self.of(tool) for tool in agent.tools]
        if any(front is not tool for front, tool in zip(fronts, agent.tools, strict=True)):
            agent.tools = fronts

    @property
    def known(self) -> Sequence[Tool[..., Any]]:
        """All of them, by name, as tools of Greenroom's."""
        tools: dict[str, Tool[..., Any]] = {}
        for _, front in self._made.values():
            invocation = getattr(front, "on_invoke_tool", None)
            if isinstance(invocation, Invocation):
                tools.setdefault(invocation.known.name, invocation.known)
        return list(tools.values())


class Company:
    """Copies of agents that hand over to each other, in circles perhaps."""

    def __init__(self, sdk: Any, first: Any, fronts: ToolFronts) -> None:
        self._sdk = sdk
        self._fronts = fronts
        self._made: dict[int, tuple[Any, Any]] = {}
        self.first = self._of(first)

    @property
    def guarded(self) -> bool:
        """Whether what is said may yet be taken back by a guardrail."""
        return bool(self.first.input_guardrails) or any(agent.output_guardrails for _, agent in self._made.values())

    def named(self, name: str) -> Any:
        """The agent of that name; the first one where there is none any longer."""
        return next((agent for _, agent in self._made.values() if agent.name == name), self.first)

    def _of(self, agent: Any) -> Any:
        found = self._made.get(id(agent))
        if found is not None:
            return found[1]
        made = copy.copy(agent)  # not its `clone`, which reads all settings anew
        made.tools = [self._fronts.of(tool) for tool in agent.tools]
        for name in ("input_guardrails", "output_guardrails", "mcp_servers"):
            setattr(made, name, list(getattr(agent, name)))
        self._made[id(agent)] = (agent, made)
        made.handoffs = [self._handoff(one) for one in agent.handoffs]
        if agent.mcp_servers:
            made.get_mcp_tools = self._mcp_tools_of(made)
        return made

    def _handoff(self, given: Any) -> Any:
        if not isinstance(given, self._sdk.Handoff):
            return self._of(given)
        made = copy.copy(given)

        async def invoke(context: Any, arguments: str) -> Any:
            return self._of(await given.on_invoke_handoff(context, arguments))

        made.on_invoke_handoff = invoke
        target = None if given._agent_ref is None else given._agent_ref()
        if target is not None:
            made._agent_ref = weakref.ref(self._of(target))
        return made

    def _mcp_tools_of(self, agent: Any) -> Any:
        """An MCP server's tools, which are asked for in every run."""
        listed = agent.get_mcp_tools
        in_context = any(one.tool_meta_resolver or one.custom_data_extractor for one in agent.mcp_servers)

        async def get_mcp_tools(context: Any) -> list[Any]:
            return [through_toolbox(self._sdk, tool, replayable=not in_context) for tool in await listed(context)]

        return get_mcp_tools
