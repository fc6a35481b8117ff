"""From AGENT to an agent: `support`, `module:attribute`, an agent file, an endpoint; with a name of its own, `NAME=AGENT`."""

import re
from collections.abc import Mapping
from pathlib import Path

from greenroom.agents.named import agent_named
from greenroom.cli.failures import places
from greenroom.cli.process import CannotStart
from greenroom.cli.settings import Settings, flag_of
from greenroom.core.agent import Agent, AgentError
from greenroom.core.tool_source import ToolSource
from greenroom.tools.documents import each_line_of
from greenroom.tools.tools_file import read_tools_file

_NAMED = re.compile(r"([A-Za-z0-9_.-]+)=(.+)")
_ODDLY_NAMED = re.compile(r"([^:/=]*)=")
_UPSTREAM = ("upstream_request", "upstream_reply", "upstream_tools", "upstream_headers", "upstream_model")


def load_agents(settings: Settings) -> Mapping[str, Agent]:
    """The agents to serve, by id. Raises `CannotStart` with what to do about it."""
    given = [name for name in _UPSTREAM if getattr(settings, name)]
    endpoints = [name for name in settings.agent if _is_endpoint(_target(name))]
    if given and len(endpoints) != 1:
        whose = "the agent at https://…, and there is none" if not endpoints else "one agent, and there are several"
        raise CannotStart(f"{flag_of(given[0])} is for {whose}; an agent file says it for each (docs/http-agent.md)")
    loaded: dict[str, Agent] = {}
    for name in settings.agent:
        id = agent_id(name)
        if id in loaded:
            raise CannotStart(f"agent {id}: two agents have this name")
        loaded[id] = load_agent(name, settings)
    for source in tool_sources(settings):
        for agent in loaded.values():
            agent.add_tools(source)
    return loaded


def tool_sources(settings: Settings) -> list[ToolSource]:
    """What the tools file describes; all agents have them. Raises `CannotStart` with every mistake in it."""
    try:
        return [] if settings.tools_file is None else read_tools_file(settings.tools_file)
    except AgentError as problem:
        raise CannotStart(str(problem)) from None


def agent_id(name: str) -> str:
    """What an AGENT argument is called: its NAME, where it has one."""
    named = _NAMED.fullmatch(name)
    return named[1] if named else name


def load_agent(name: str, settings: Settings | None = None) -> Agent:
    """One agent; `settings` are those of an endpoint. Raises `CannotStart` with what to do about it."""
    target, settings = _target(name), settings or Settings.model_construct()
    try:
        if odd := _ODDLY_NAMED.match(target):
            if _NAMED.fullmatch(f"{odd[1]}=support"):
                raise AgentError(f"one agent is given one name: {odd[1]}=support")
            raise AgentError(f"{odd[1]!r} is no name for an agent; one is of letters, digits, '_', '.' and '-'")
        if _is_endpoint(target):
            if "?" in agent_id(name):
                raise AgentError(
                    f"replies show an address, and behind its ? may be a key: name it, as in NAME={target}"
                )
            return _endpoint(target, settings)
        return agent_named(target, Path.cwd(), factory=settings.factory)
    except AgentError as problem:
        raise CannotStart(explained(name, problem)) from None


def explained(name: str, problem: AgentError) -> str:
    """What is wrong with the agent of this name, and where in its author's files."""
    where = f"agent {name}"
    said = AgentError(str(problem).removeprefix(f"{where}: "))  # a bare function's agent has the name that was given
    return "\n".join([each_line_of(where, said), *places(problem)])


def _target(name: str) -> str:
    named = _NAMED.fullmatch(name)
    return named[2] if named else name


def _is_endpoint(target: str) -> bool:
    return target.lower().startswith(("http://", "https://"))


def _endpoint(url: str, settings: Settings) -> Agent:
    from greenroom.agents.http import AnswerPaths, HttpAgent, OpenAiAgent  # noqa: PLC0415  # seldom wanted

    headers = dict(map(_header, settings.upstream_headers))
    is_openai = url.partition("?")[0].rstrip("/").endswith(("/v1", "/chat/completions"))
    if settings.upstream_reply:
        if settings.upstream_model:
            raise AgentError("--upstream-model is for OpenAI-compatible endpoints, which need no --reply")
        paths = AnswerPaths(reply=settings.upstream_reply, tools=settings.upstream_tools)
        return HttpAgent(url, paths, request=settings.upstream_request, headers=headers)
    if not is_openai:
        raise AgentError(
            "say where the text stands in what it answers, for instance --reply '$.answer';"
            " the address of an OpenAI-compatible endpoint ends in /v1"
        )
    if settings.upstream_request or settings.upstream_tools:
        raise AgentError("--request and --tools come with --reply; an OpenAI-compatible endpoint needs none of them")
    key = settings.upstream_key.get_secret_value()
    return OpenAiAgent(url, model=settings.upstream_model, api_key=key, headers=headers)


def _header(written: str) -> tuple[str, str]:
    name, colon, value = written.partition(":")
    if not colon or not name.strip():
        raise AgentError(f"--headers: {name!r} is no header; one is written NAME: VALUE")
    return name.strip(), value.strip()
