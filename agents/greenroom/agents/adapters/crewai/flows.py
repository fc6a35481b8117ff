"""One run of a flow, in one turn."""

import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from crewai.events.utils.console_formatter import set_suppress_console_output
from crewai.flow.conversational import ConversationMessage
from pydantic import BaseModel
from pydantic_core import PydanticSerializationError, to_jsonable_python

from greenroom.agents.adapters.crewai.hearing import Hearing, forget_runs
from greenroom.agents.adapters.crewai.running import MESSAGE, OPENING, stay_quiet
from greenroom.agents.adapters.memory import Memory
from greenroom.agents.adapters.system import system_texts
from greenroom.agents.adapters.tools import as_json
from greenroom.sdk import AgentError, Reply, Turn

__all__ = ["FlowRun", "maker", "stay_quiet", "unservable"]

_OURS = "greenroom"
"""The metadata by which a system message is known that holds for one turn."""


def maker(target: Any) -> Callable[[], Any]:
    """Makes flows like this one, which is a flow or a class of flows. Raises `AgentError` where only its author can."""
    kind = _forgetful(target if isinstance(target, type) else type(target))
    try:
        made = kind()
    except (TypeError, ValueError) as error:
        raise AgentError(f"flow {kind.__name__} is not made without arguments ({error}): {_HOW}") from error
    if not isinstance(target, type) and _told(target) != _told(made):
        raise AgentError(f"flow {kind.__name__} was given something after its class, which no other would have: {_HOW}")
    return kind


def _forgetful(kind: Any) -> Any:
    """The class, but that its flows open no memory, which all sessions would share."""
    parts = {"__module__": kind.__module__, "__qualname__": kind.__qualname__, "__doc__": kind.__doc__}
    definition = classmethod(lambda cls: kind.flow_definition())
    return type(kind)(kind.__name__, (kind,), {**parts, "_skip_auto_memory": True, "flow_definition": definition})


_HOW = "write a function that makes it, and serve that with --factory"


def _told(flow: Any) -> tuple[Any, ...]:
    """All that an author may have put into it. What it remembers with is off, whatever it is."""
    parts = {name: value for name, value in vars(flow).items() if name != "memory"}
    state = {name: value for name, value in _parts(flow.state).items() if name != "id"}
    return parts, state, flow._definition


def unservable(flow: Any, *, asks: bool) -> str:
    """Why nobody can be served by it; "" when they can. `asks` says that its author makes inputs from the turn."""
    definition = flow._definition
    if not any(method.is_start for method in definition.methods.values()):
        return "it has no method with @start (CrewAI takes none from a class that it derives from)"
    for name, method in definition.methods.items():
        if method.human_feedback is not None:
            return f"method {name} has @human_feedback, which nobody gives here"
    kept = [definition.persist, *(method.persist for method in definition.methods.values())]
    if flow.persistence is not None or any(one is not None and one.enabled for one in kept):
        return "it is persisted in a database that all sessions share: leave @persist out, its state is kept with each turn"
    if flow.checkpoint:
        return (
            "its checkpoints are kept where all sessions share them: leave them out, its state is kept with each turn"
        )
    typed = isinstance(flow.state, BaseModel) and not _converses(flow)
    if typed and not asks and MESSAGE not in type(flow.state).model_fields:
        return f"its state has no field {MESSAGE!r} for what the user just said: add it, or pass inputs="
    return ""


class FlowRun:
    """A run of a flow that is made for it. Its state is what the turn before left."""

    def __init__(self, turn: Turn, make: Callable[[], Any]) -> None:
        self._turn = turn
        forget_runs()
        self._flow = flow = make()
        self._converses = _converses(flow)
        self._memory = Memory(turn, "crewai")
        self._hearing = Hearing(turn, lambda _: False, None)
        flow.memory = None  # all sessions would share it
        flow.stream = False
        if flow.input_provider is None:
            flow.input_provider = _Nobody()

    async def reply(self, inputs: dict[str, Any]) -> Reply:
        """Raises what the flow raised, and `AgentError` where it has nothing to say."""
        self._restore()
        said = self._turn.text or OPENING
        if self._converses:
            _fill(self._flow.state, inputs)
            output = await self._run(lambda: self._handle(said))
            text = self._answered()
        else:
            output = await self._run(lambda: self._flow.kickoff({MESSAGE: said, **inputs}))
            text = _text(output)
        if not text:
            raise AgentError(f"the flow said nothing: its run gave {output!r}")
        await self._hearing.say(text)
        self._memory.keep(_dumped(self._flow.state))
        return Reply("", usage=self._hearing.usage)

    def _handle(self, said: str) -> Any:
        try:
            return self._flow.handle_turn(said)
        finally:
            self._flow.finalize_session_traces()  # for CrewAI, a flow's turns are one run; this flow has no other turn

    async def _run(self, flow: Callable[[], Any]) -> Any:
        def quietly() -> Any:
            set_suppress_console_output(True)  # a box for each step of each turn, whatever the author says
            return flow()

        return await self._hearing.of(quietly)

    def _restore(self) -> None:
        kept, state = self._memory.recall(), self._flow.state
        _fill(state, kept or {})
        if not self._converses:
            return
        if kept is None:
            talk = (one for one in self._memory.before if one.role in ("user", "assistant") and one.content)
            state.messages = [ConversationMessage(role=one.role, content=one.content) for one in talk]
        if system := "\n\n".join(system_texts(self._turn)):
            told = ConversationMessage(role="system", content=system, metadata={_OURS: True})
            state.messages = [told, *state.messages]

    def _answered(self) -> str:
        """What it has said since the user's message."""
        state, told = self._flow.state, []
        state.messages = [one for one in state.messages if not one.metadata.get(_OURS)]
        for message in reversed(state.messages):
            if message.role == "user":
                break
            if message.role == "assistant":
                told.append(_text(message.content))
        return "\n\n".join(reversed(told))


class _Nobody:
    """Whom a flow asks for input while it runs. As CrewAI has it, None says that there is no answer."""

    def request_input(self, message: str, flow: Any, metadata: dict[str, Any] | None = None) -> None:
        """The user has said all that they say in this turn."""


def _converses(flow: Any) -> bool:
    conversational = flow._definition.conversational
    return conversational is not None and bool(conversational.enabled)


def _parts(state: Any) -> dict[str, Any]:
    return state if isinstance(state, dict) else {name: getattr(state, name) for name in type(state).model_fields}


def _fill(state: Any, parts: dict[str, Any]) -> None:
    """Raises pydantic's `ValidationError` where a typed state has no place for them."""
    if isinstance(state, dict):
        state.update(parts)
    elif parts:
        filled = type(state).model_validate({**_parts(state), **parts})
        for name in type(state).model_fields:
            setattr(state, name, getattr(filled, name))


def _dumped(state: Any) -> dict[str, Any]:
    """As JSON, but for what has no such form: the next turn begins without it."""
    kept = {}
    for name in _parts(state):
        with suppress(PydanticSerializationError):
            if isinstance(state, dict):
                kept[str(name)] = to_jsonable_python(state[name], inf_nan_mode="null")
            else:
                kept[name] = state.model_dump(mode="json", include={name}, warnings=False)[name]
    return kept


def _text(output: Any) -> str:
    raw = getattr(output, "raw", output)
    if raw is None or isinstance(raw, str):
        return raw or ""
    return json.dumps(as_json(raw), ensure_ascii=False)
