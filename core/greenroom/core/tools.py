"""Tools: functions an agent may call, and what is said when they fail."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import update_wrapper
from typing import Any, Generic, ParamSpec, TypeVar, overload

from greenroom.core.schema import Injectable, ToolSignature, describe_signature, read_signature

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class User(Injectable):
    """Whom the agent talks to. `id` is "" for nobody; `profile` and `metadata` are what `POST /users` gave."""

    id: str
    profile: Mapping[str, Any]
    metadata: Mapping[str, Any]

    @classmethod
    def for_call(cls, running: Any) -> Any:
        return running.turn.user


@dataclass(frozen=True, slots=True)
class Call(Injectable):
    """The tool call a tool is running for.

    `key` is the same on every attempt of the same call: pass it on as the idempotency key of whatever acts outside.
    `time_left` is how many seconds the turn has from the call's start. `traceparent` is W3C trace context, to be passed on to
    what the tool calls: the call's own where it is traced, else that of the request; "" for none.
    """

    id: str
    key: str
    name: str
    turn: int
    time_left: float
    traceparent: str = ""

    @classmethod
    def for_call(cls, running: Any) -> Any:
        return running.call


class ToolFailed(Exception):
    """A tool call failed: what an agent sees. `type` is stable ("timeout", "invalid_arguments", a `ToolError`'s code, or
    the exception's class), `message` is for people. The tool's own writes have been undone; the turn goes on."""

    def __init__(self, name: str, type: str, message: str) -> None:
        super().__init__(f"{name}: {message}")
        self.name = name
        self.type = type
        self.message = message


class ToolError(Exception):
    """What a tool raises to say that it cannot do what was asked: `raise ToolError("No such order.", code="not_found")`."""

    def __init__(self, message: str, *, code: str = "failed") -> None:
        super().__init__(message)
        self.code = code


class Tool(Generic[P, R]):
    """A function an agent may call. Made by `@tool`; calling it directly is calling the function."""

    def __init__(self, function: Callable[P, R], name: str, timeout: float | None) -> None:
        self.function = function
        self.name = name
        self.timeout = timeout
        self.is_async = inspect.iscoroutinefunction(function)
        self._signature: ToolSignature | None = None
        self._replayable: bool | None = None
        self.on_replay: Callable[[], None] | None = None
        """Called where a cassette answers in its place, before it does."""
        update_wrapper(self, function)

    @staticmethod
    def described(
        name: str,
        function: Callable[..., Any],
        *,
        description: str = "",
        parameters: Mapping[str, Any],
        timeout: float | None = None,
        replayable: bool | None = None,
    ) -> "Tool[..., Any]":
        """A tool that is known by its JSON schema, not by its signature: its function takes `arguments`, a dict, and what is
        injected by type. It checks the arguments itself. `replayable`: see `is_replayable`. Raises `TypeError` for a function
        that takes anything else."""
        made: Tool[..., Any] = Tool(function, name, timeout)
        made._replayable = replayable
        made._signature = describe_signature(function, description, parameters)
        return made

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.function(*args, **kwargs)

    @property
    def signature(self) -> ToolSignature:
        """Read on first use: annotations may name what is defined further down in the author's module."""
        if self._signature is None:
            self._signature = read_signature(self.function)
        return self._signature

    @property
    def description(self) -> str:
        return self.signature.description

    @property
    def is_replayable(self) -> bool:
        """Whether all that a call does is to return something and to write to the world: a cassette may answer in its place.
        Not one that takes the turn, unless it was described as one."""
        if self._replayable is not None:
            return self._replayable
        return not any(kind.reaches_further for kind in self.signature.injected.values())

    def openai(self) -> dict[str, Any]:
        """The tool as an entry of OpenAI's `tools`."""
        function = {"name": self.name, "description": self.description, "parameters": self.signature.schema()}
        return {"type": "function", "function": function}


@overload
def tool(function: Callable[P, R], /) -> Tool[P, R]: ...
@overload
def tool(*, name: str | None = None, timeout: float | None = None) -> Callable[[Callable[P, R]], Tool[P, R]]: ...
def tool(
    function: Callable[P, R] | None = None, /, *, name: str | None = None, timeout: float | None = None
) -> Tool[P, R] | Callable[[Callable[P, R]], Tool[P, R]]:
    """Makes a function a tool: its schema comes from signature and docstring.

    Parameters typed `World`, `Turn`, `User` or `Call` are injected and never shown to a model. Plain functions run in a
    thread, `async def` ones on the loop. `timeout` is in seconds: past it the call fails and its writes are undone.
    Return JSON-like data; raise `ToolError` (or anything) to fail.
    """

    def wrap(target: Callable[P, R]) -> Tool[P, R]:
        return Tool(target, name or str(getattr(target, "__name__", "tool")), timeout)

    return wrap if function is None else wrap(function)


def tools_in(namespace: Iterable[object]) -> list[Tool[..., Any]]:
    """The tools among some objects, each once, in order."""
    found: list[Tool[..., Any]] = []
    for value in namespace:
        if isinstance(value, Tool) and value not in found:
            found.append(value)
    return found
