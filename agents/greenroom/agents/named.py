"""From the name of an agent to the agent: `module:attribute`, an agent file, an address of a process, a command."""

import difflib
import importlib
from collections.abc import Callable
from inspect import isfunction
from operator import attrgetter
from pathlib import Path
from types import ModuleType
from typing import Any

from greenroom.agents.adapters import adapt
from greenroom.agents.agent_file import read_agent_file
from greenroom.agents.author_module import import_from, raised_text, suggest
from greenroom.agents.misnomer import explain
from greenroom.sdk import Agent, AgentError, Reply, Turn, as_agent, delegate
from greenroom.tools.documents import SUFFIXES

BUNDLED = {"support": "greenroom.agents.support:agent"}


def agent_named(name: str, folder: Path, *, factory: bool = False) -> Agent:
    """The agent of this name; modules and files are looked for in the folder. `factory`: it names a callable that makes one
    for each turn. Raises `AgentError` with what to do about it."""
    name = BUNDLED.get(name, name)
    if name.startswith(("grpc://", "grpcs://")):
        return _remote("GrpcAgent", name)
    if name.endswith(SUFFIXES):
        return read_agent_file(folder / name)
    if name.startswith(("./", "../", "/")) and not name.endswith(".py") and ":" not in name:
        return _remote("CommandAgent", str(folder / name))
    return _in_module(name, folder, factory=factory)


def _remote(kind: str, target: str) -> Agent:
    remote = importlib.import_module("greenroom.agents.remote")  # with a gRPC client, which few agents need
    agent: Agent = getattr(remote, kind)(target)
    return agent


def agent_of(target: Any, name: str, *, factory: bool = False) -> Agent:
    """The agent that an object is: an `Agent`, a function that takes a `Turn`, or one of a framework's; or that a factory
    makes, for each turn. Raises `AgentError` for anything else."""
    if not factory:
        return adapt(target, name) or as_agent(target, name)
    if not callable(target):
        raise AgentError(f"{name} is a {type(target).__name__}, and a factory is a callable that makes an agent")
    try:
        return adapt(target, name, factory=True) or _made_each_turn(target, name)
    except AgentError:
        raise
    except (Exception, SystemExit) as problem:  # a factory is the author's
        raise AgentError(f"{name} made no agent when it was called: {raised_text(problem)}") from problem


def _made_each_turn(make: Callable[[], Any], name: str) -> Agent:
    """What is known of all that it makes is read off the first one, on which no turn runs."""
    first = as_agent(make(), name)
    brought = first.rack.sources

    async def reply(turn: Turn) -> Reply:
        agent = as_agent(make(), name)
        if agent is first:
            raise AgentError(f"{name} makes the same agent again and again; name that agent, without --factory")
        for source in first.rack.sources[len(brought) :]:  # those that were added to it
            agent.add_tools(source)
        await agent.startup()
        try:
            return await delegate(turn, agent)
        finally:
            await agent.shutdown()

    reply.__doc__ = first.function.__doc__
    first.reply(reply)
    return first


def _in_module(name: str, folder: Path, *, factory: bool) -> Agent:
    module_name, _, attribute = name.partition(":")
    if not module_name or not attribute or module_name.startswith(".") or module_name.endswith(".py") or "/" in name:
        raise AgentError(explain(name, folder, BUNDLED))
    module = import_from(folder, module_name)
    try:
        found = attrgetter(attribute)(module)
    except AttributeError:
        raise AgentError(f"{module_name} has no {attribute}{_nearest_names(module, attribute)}") from None
    except Exception as problem:  # the module's own __getattr__, or a property
        raise AgentError(f"{module_name} does not give its {attribute}: {raised_text(problem)}") from problem
    try:
        return agent_of(found, name, factory=factory)
    except AgentError as problem:
        raise AgentError(f"{problem}{_agents_there(module, attribute)}") from None


def _nearest_names(module: ModuleType, attribute: str) -> str:
    """Of what could be served: agents, and functions of this module."""
    there = {
        name: value
        for name, value in vars(module).items()
        if isinstance(value, Agent) or (isfunction(value) and value.__module__ == module.__name__)
    }
    agents = [name for name, value in there.items() if isinstance(value, Agent)]
    if near := difflib.get_close_matches(attribute, there, n=3) or agents:
        return suggest(near)
    return f"; it has {', '.join(there)}" if there else ""


def _agents_there(module: ModuleType, attribute: str) -> str:
    return suggest([name for name, value in vars(module).items() if isinstance(value, Agent) and name != attribute])
