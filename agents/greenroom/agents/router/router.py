"""Several agents in one session: each turn goes to the one that is for it."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from greenroom.agents.named import agent_of
from greenroom.agents.router.routes import Choice, Examples, Rule
from greenroom.sdk import Agent, AgentError, Reply, Tool, ToolSource, Turn, Usage, delegate

Chosen = str | Choice | None
Choose = Callable[[Turn], Chosen | Awaitable[Chosen]]

_MOST_HAND_OFFS = 8


class Router(Agent):
    """Sends each turn to one of several agents and returns its reply; who it was, and why, is in the reply's
    `metadata.route`, and with it in the evidence.

    Who replies is decided by the first of these that decides: `choose`, a function that gives an agent's name (or a
    `Choice`, or None); the `rules`, in order; the nearest of the `examples`; who replied last in the session; the `default`
    (the first agent). An agent may hand the turn on while it replies: `turn.hand_off("billing", "asks for a refund")`.

    `agents` are `Agent`s, functions, or objects of frameworks, by name. Each sees the whole conversation, its own
    instructions, its own tools, and a part of `turn.state` of its own. The world is all of theirs together, or `world`.
    Raises `AgentError` for agents that do not go together.
    """

    def __init__(
        self,
        name: str,
        agents: Mapping[str, Any],
        *,
        rules: Sequence[Rule] = (),
        examples: Mapping[str, Sequence[str]] | None = None,
        choose: Choose | None = None,
        default: str = "",
        **parts: Any,
    ) -> None:
        if not agents:
            raise AgentError(f"router {name} has no agents")
        self._agents = {known: agent_of(target, known) for known, target in agents.items()}
        self._rules = tuple(rules)
        self._examples = Examples(examples or {})
        self._choose = choose
        self._default = default or next(iter(agents))
        parts.setdefault("world", partial(_all_worlds, name, self._agents))
        sources = [source for agent in self._agents.values() for source in agent.rack.sources]
        super().__init__(name, tools=[*_all_tools(name, self._agents), *sources], **parts)
        for known in (*(rule.agent for rule in self._rules), *(examples or ()), self._default):
            self._check(known)
        for agent in self._agents.values():
            self.on_startup(agent.startup)
            self.on_shutdown(agent.shutdown)
        self.reply(self._route)

    def add_tools(self, source: ToolSource) -> None:
        """For all of its agents."""
        super().add_tools(source)
        for agent in self._agents.values():
            agent.add_tools(source)

    def own_problems(self) -> list[str]:
        """Its agents' too. Their sources are its own."""
        theirs = (problem for agent in self._agents.values() for problem in agent.own_problems())
        return [*theirs, *super().own_problems()]

    def can_reply(self) -> bool:
        """As long as one of its agents can."""
        return not super().own_problems() and any(agent.can_reply() for agent in self._agents.values())

    async def _route(self, turn: Turn) -> Reply:
        """Sends the turn to the agent that is for it."""
        choice, path, used = await self._chosen(turn), [], None
        while True:
            path.append(choice.agent)
            said = len(turn.said)
            reply = await delegate(turn, self._agents[choice.agent], choice.agent)
            used = _both(used, reply.usage)
            if turn.handed is None:
                break
            if len(path) > _MOST_HAND_OFFS:
                raise AgentError(f"router {self.name}: a turn was handed on too often: {' to '.join(path)}")
            if reply.text or len(turn.said) > said:
                turn.say(f"{reply.text}\n\n")
            to, why = turn.handed
            turn.handed = None
            self._check(to)
            choice = Choice(to, "hand_off", why)
        turn.state["agent"] = choice.agent
        told = {"agent": choice.agent, "by": choice.by, "why": choice.why, "score": choice.score}
        route: dict[str, Any] = {key: value for key, value in told.items() if value not in ("", None)}
        if len(path) > 1:
            route["path"] = path
        metadata = dict(reply.metadata or {})
        if "route" in metadata:  # of a router among the agents
            route["route"] = metadata["route"]
        return replace(reply, usage=used, metadata={**metadata, "route": route})

    async def _chosen(self, turn: Turn) -> Choice:
        if self._choose is not None:
            if inspect.iscoroutinefunction(self._choose):
                chosen = await self._choose(turn)
            else:
                chosen = await asyncio.to_thread(self._choose, turn)  # it may wait for something, as plain agents may
                if inspect.isawaitable(chosen):
                    chosen = await chosen
            if chosen is not None:
                choice = Choice(chosen, "function") if isinstance(chosen, str) else chosen
                if not isinstance(choice, Choice):
                    raise AgentError(f"router {self.name} chose a {type(choice).__name__}, not a name or a Choice")
                self._check(choice.agent)
                return choice
        for rule in self._rules:
            if found := rule.match(turn.text):
                return found
        if found := self._examples.match(turn.text):
            return found
        last = turn.state.get("agent")
        return Choice(last, "last") if last in self._agents else Choice(self._default, "default")

    def _check(self, name: Any) -> None:
        if name not in self._agents:
            raise AgentError(f"router {self.name} has no agent {name!r}; it has {', '.join(self._agents)}")


def _all_tools(name: str, agents: Mapping[str, Agent]) -> list[Tool[..., Any]]:
    """Each once. Two of the same name would be scripted, and listed, as one."""
    tools: dict[str, Tool[..., Any]] = {}
    for known, agent in agents.items():
        for tool in agent.rack.own:
            if tools.setdefault(tool.name, tool) is not tool:
                raise AgentError(
                    f"router {name}: {known} has another tool {tool.name!r} than the agents before it; rename it"
                )
    return list(tools.values())


def _all_worlds(name: str, agents: Mapping[str, Agent]) -> dict[str, Any]:
    """All collections, of which two agents may have the same."""
    world: dict[str, Any] = {}
    for known, agent in agents.items():
        for collection, records in agent.load_world().data.items():
            if world.setdefault(collection, records) != records:
                raise AgentError(
                    f"router {name}: {known} has another {collection!r} in its world than the agents before it;"
                    " give the router the world itself"
                )
    return world


def _both(one: Usage | None, other: Usage | None) -> Usage | None:
    if one is None or other is None:
        return one or other
    return Usage(one.prompt_tokens + other.prompt_tokens, one.completion_tokens + other.completion_tokens)
