"""Agents: what replies, and how whatever an author wrote becomes one."""

import asyncio
import inspect
import json
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml

from greenroom.core.chance import STORY_START
from greenroom.core.overlay import Seed
from greenroom.core.plain import well_formed
from greenroom.core.scenario_files.yaml_reader import no_yaml
from greenroom.core.tool_rack import ToolRack
from greenroom.core.tool_source import ToolSource
from greenroom.core.tools import Tool, tools_in
from greenroom.core.turn import Turn


@dataclass(frozen=True, slots=True)
class Usage:
    """The tokens that a model has counted: of all that it was sent in the turn, and of all that it wrote."""

    prompt_tokens: int
    completion_tokens: int


@dataclass(frozen=True, slots=True)
class Reply:
    """What an agent answers.

    `confidence` is 0 to 1, or None when it states none. `evaluation` is what the agent says of its own turn, for the
    evaluator; it is laid over what Greenroom derives from the record (CHAT-09). `usage` is what its model has counted;
    None leaves it to Greenroom's own rule (docs/usage.md). `metadata` are further keys for the reply's `metadata`, beside
    Greenroom's own (CHAT-08), which win.
    """

    text: str
    confidence: float | None = None
    evaluation: Mapping[str, Any] | None = None
    usage: Usage | None = None
    metadata: Mapping[str, Any] | None = None


Form = Literal["coroutine", "generator", "plain"]


def _form_of(function: Callable[..., Any]) -> Form:
    if inspect.isasyncgenfunction(function):
        return "generator"
    return "coroutine" if inspect.iscoroutinefunction(function) else "plain"


class AgentError(Exception):
    """An agent that cannot be served, or that answered with something that is no reply. The message says what to do."""


class ConversationTooLong(AgentError):
    """What an agent raises when the conversation is longer than the model takes that it asks: the caller gets 400
    `context_length_exceeded`, which trying again cannot cure. The message is for the log and the evidence."""


_RETRY_AFTER = 1.0
_LONGEST_RETRY_AFTER = 3600.0


class AgentUnavailable(Exception):
    """What an agent raises when what it asks (a model, a service) is down, refuses or is overloaded: the caller gets 503
    `agent_unavailable`, to be tried again after `retry_after` seconds (one, if that is not known; an hour at most). The
    message is for the log and the evidence."""

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        told = retry_after if isinstance(retry_after, int | float) else _RETRY_AFTER
        self.retry_after = min(max(told, 0.0), _LONGEST_RETRY_AFTER) if told == told else _RETRY_AFTER


ReplyFunction = Callable[[Turn], Any]
F = TypeVar("F", bound=Callable[..., Any])


class Agent:
    """A chat agent.

    `tools` are `@tool` functions, and sources of tools that come from elsewhere. `world` is the data they work on: a mapping,
    or the path of a JSON or YAML file (looked for beside the module that makes the agent, then in the current folder), or a
    function that gives the mapping whenever worlds are read; every session gets its own. `instructions`
    are for agents that ask a model. `story_start` is the world's time at a session's first turn. `scenarios` is a folder
    of scenario files that come with the agent (looked for as `world` is).
    """

    def __init__(
        self,
        name: str,
        *,
        tools: Sequence[Tool[..., Any] | ToolSource] = (),
        world: Mapping[str, Any] | str | Path | Callable[[], Mapping[str, Any]] | None = None,
        instructions: str = "",
        story_start: datetime = STORY_START,
        scenarios: str | Path | None = None,
    ) -> None:
        for item in tools:
            if not isinstance(item, Tool | ToolSource):
                raise AgentError(f"agent {name}: {item!r} is no tool; put @tool on the function")
        self.name = name
        self.rack = ToolRack(tools)
        """Its own tools, and where others come from."""
        self.instructions = instructions
        self.story_start = story_start
        self._world = world
        self._scenarios = scenarios
        self._home = _home_of(self)
        self._function: ReplyFunction | None = None
        self.form: Form = "plain"
        """How the reply function runs."""
        self.is_live = True
        """Whether it may ask anything outside; False where a cassette answers for all of it."""
        self._startup: list[Callable[[], Any]] = []
        self._shutdown: list[Callable[[], Any]] = []
        self._health: list[Callable[[], str]] = []

    @property
    def tools(self) -> tuple[Tool[..., Any], ...]:
        """Its tools as they are now: its own, then those of each source."""
        return self.rack.now

    def add_tools(self, source: ToolSource) -> None:
        """One more source of tools, before the agent is started."""
        self.rack.add(source)

    def reply(self, function: F) -> F:
        """Registers the function that replies: `def`, `async def` or an async generator of text, taking the `Turn`. Raises
        `AgentError` for one that takes anything else."""
        try:
            inspect.signature(function).bind(None)
        except TypeError as problem:
            raise AgentError(f"agent {self.name}: a reply function takes a Turn and nothing else: {problem}") from None
        self._function = function
        self.form = _form_of(function)
        return function

    def on_startup(self, function: F) -> F:
        """Registers a function to run once before the first turn."""
        self._startup.append(function)
        return function

    def on_shutdown(self, function: F) -> F:
        """Registers a function to run once after the last turn."""
        self._shutdown.append(function)
        return function

    def on_health(self, function: F) -> F:
        """Registers a function that says what is wrong with what the agent depends on, "" for nothing. It is asked about
        once a second, on the event loop, and must say what it knows at once (HEALTH-03)."""
        self._health.append(function)
        return function

    def problem(self) -> str:
        """What is wrong now, with its tools' sources too; "" for nothing."""
        return "; ".join(dict.fromkeys(self.problems()))

    def problems(self) -> list[str]:
        """Each for itself."""
        return [*self.own_problems(), *self.rack.problems()]

    def own_problems(self) -> list[str]:
        """Those that are not of its tools' sources."""
        return [text for function in self._health if (text := function())]

    def can_reply(self) -> bool:
        """Whether nothing is wrong but with its tools' sources: it goes on without those."""
        return not self.own_problems()

    @property
    def description(self) -> str:
        """The first line of the reply function's docstring, else of the instructions."""
        doc = inspect.getdoc(self._function) if self._function else None
        return (doc or self.instructions).partition("\n")[0]

    @property
    def function(self) -> ReplyFunction:
        if self._function is None:
            raise AgentError(f"agent {self.name} has no reply function: put @agent.reply on one")
        return self._function

    def beside(self, path: str | Path) -> Path:
        """Where a file that comes with the agent is: beside the module that makes it, else in the current folder."""
        return _beside(path, self._home)

    def load_world(self) -> Seed:
        """The starting world. Raises `AgentError` when it cannot be read or is no mapping of collections."""
        world = self._world
        if isinstance(world, str | Path):
            world = _read_world(world, self._home)
        elif callable(world):
            world = _made(world, self.name)
        if world is not None and not isinstance(world, Mapping):
            raise AgentError(f"agent {self.name}: the world is a {type(world).__name__}, not a mapping of collections")
        return Seed(world or {})

    def scenario_folder(self) -> Path | None:
        """Where the agent's own scenarios are; None when it brings none. Raises `AgentError` when there is no such folder."""
        if self._scenarios is None:
            return None
        folder = _beside(self._scenarios, self._home)
        if not folder.is_dir():
            raise AgentError(f"agent {self.name}: there is no folder {self._scenarios} {_looked(self._home)}")
        return folder

    async def startup(self) -> None:
        """Starts its sources of tools, then what was registered. Raises what one of them raises; then none is left open."""
        await self.rack.enter()
        try:
            await _run_all(self._startup, self.name)
        except BaseException:
            await self.rack.leave()
            raise

    async def shutdown(self) -> None:
        try:
            await _run_all(reversed(self._shutdown), self.name)
        finally:
            await self.rack.leave()


def _home_of(agent: Agent) -> Path:
    """The folder of the module that makes the agent, past the constructors of classes that derive from `Agent`."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_locals.get("self") is agent:
        frame = frame.f_back
    return Path(str(frame.f_globals.get("__file__") or "")).parent


async def _run_all(functions: Any, name: str) -> None:
    for function in functions:
        try:
            result = function()
            if inspect.isawaitable(result):
                await result
        except SystemExit as left:
            raise _quit(name, left) from left


def _quit(name: str, left: SystemExit) -> AgentError:
    """The process is not an agent's to end: other sessions' turns run in it."""
    return AgentError(f"agent {name} called sys.exit({'' if left.code is None else repr(left.code)})")


def _beside(path: str | Path, home: Path) -> Path:
    beside = home / path
    return beside if beside.exists() else Path(path)


def _made(world: Callable[[], Any], name: str) -> Any:
    try:
        return world()
    except (Exception, SystemExit) as problem:  # it is the author's
        raise AgentError(f"agent {name}: making its world failed: {type(problem).__name__}: {problem}") from problem


def _looked(home: Path) -> str:
    here = Path.cwd()
    return f"(looked in {here})" if home == here else f"(looked in {home} and in {here})"


def _read_world(path: str | Path, home: Path) -> Any:
    file = _beside(path, home)
    try:
        text = file.read_text(encoding="utf-8")
        if file.suffix == ".json":
            return json.loads(text)
        # a JSON round trip gives what YAML adds (dates, keys that are numbers) the form in which tools will find it
        return json.loads(json.dumps(yaml.safe_load(text), default=str))
    except OSError as error:
        raise AgentError(f"cannot read the world {path}: {error.strerror} {_looked(home)}") from None
    except yaml.MarkedYAMLError as error:
        line, said = no_yaml(error)
        raise AgentError(f"{file}, line {line}, {said}") from None
    except (ValueError, yaml.YAMLError) as error:
        raise AgentError(f"{file} is not valid {'JSON' if file.suffix == '.json' else 'YAML'}: {error}") from None


def as_agent(target: object, name: str) -> Agent:
    """An agent from what an author names: an `Agent`, or a function that replies (its tools: the `@tool` objects in its
    module). Raises `AgentError` for anything else."""
    if isinstance(target, Agent):
        target.function  # noqa: B018  # says now, not at the first turn, that it cannot reply
        return target
    if inspect.isfunction(target):
        agent = Agent(name, tools=tools_in(target.__globals__.values()))
        agent.reply(target)
        return agent
    raise AgentError(f"{name} is a {type(target).__name__}; an agent is an Agent or a function that takes a Turn")


async def produce(agent: Agent, turn: Turn, executor: ThreadPoolExecutor) -> Reply:
    """Lets the agent reply, whatever form its function has. Raises what the function raises, or `AgentError`."""
    try:
        reply = _checked(await _answered(agent, turn, executor), agent.name)
    except SystemExit as left:
        raise _quit(agent.name, left) from left
    if turn.handed is not None:
        raise AgentError(
            f"agent {agent.name} handed off to {turn.handed[0]}, and nobody took it: that is for a Router's"
        )
    return _finished(reply, turn)


async def delegate(turn: Turn, agent: Agent, name: str = "") -> Reply:
    """Lets another agent reply in this turn: with its own instructions, its own tools, and a part of `turn.state` of its own
    under this name (by default the agent's). What it says goes out as it is said; the reply's text is what it returns beyond
    that. One at a time. Raises what the agent raises, or `AgentError`."""
    with turn.acting(name or agent.name, agent.instructions, agent.tools):
        return _checked(await _answered(agent, turn, turn.toolbox.executor), agent.name)


async def _answered(agent: Agent, turn: Turn, executor: ThreadPoolExecutor) -> Any:
    function = agent.function
    if agent.form == "coroutine":
        return await function(turn)
    if agent.form == "generator":
        return await _collect(function, turn)
    runner = partial(copy_context().run, partial(function, turn))
    answer = await asyncio.get_running_loop().run_in_executor(executor, runner)
    return await answer if isinstance(answer, Awaitable) else answer


async def _collect(function: ReplyFunction, turn: Turn) -> Reply | None:
    last: Reply | None = None
    async for piece in function(turn):
        if isinstance(piece, Reply):
            last = piece
        elif isinstance(piece, str):
            turn.say(piece)
            await turn.keep_pace()
        else:
            raise AgentError(f"the agent yielded a {type(piece).__name__}; it yields text, and may yield a Reply last")
    return last or Reply("")


def _checked(answer: Any, name: str) -> Reply:
    reply = Reply(answer) if isinstance(answer, str) else answer
    if not isinstance(reply, Reply) or not isinstance(reply.text, str):
        raise AgentError(f"agent {name} answered with a {type(answer).__name__}, not with a Reply or a str")
    if reply.confidence is not None and not 0 <= reply.confidence <= 1:
        raise AgentError(f"agent {name}: confidence {reply.confidence} is not between 0 and 1")
    for part, said in (("evaluation", reply.evaluation), ("metadata", reply.metadata)):
        if said is not None and not isinstance(said, Mapping):
            raise AgentError(f"agent {name}: the reply's {part} is a {type(said).__name__}, not a mapping")
    if (used := reply.usage) is not None and not (_is_count(used.prompt_tokens) and _is_count(used.completion_tokens)):
        raise AgentError(f"agent {name}: {used} is no count of tokens")
    return reply


def _finished(reply: Reply, turn: Turn) -> Reply:
    turn.feed = None  # a task that was left behind may go on to say what the reply does not have
    text = "".join((*turn.said, reply.text)) if turn.said else reply.text
    if turn.said or not text.isascii():
        return replace(reply, text=well_formed(text))
    return reply


def _is_count(tokens: object) -> bool:
    return type(tokens) is int and 0 <= tokens < 2**31
