"""What the core tells whoever traces its turns. Nobody does by default; a turn then asks whether somebody does, and no more."""

from typing import Protocol


class ToolSpan(Protocol):
    """One tool call, traced. It is the current span for the code that its maker runs from then on, until `leave`."""

    @property
    def traceparent(self) -> str:
        """Its W3C trace context, to be passed on to what the tool calls."""
        ...

    def end(self, error: str = "") -> None:
        """The call is over; `error` is the `type` of its failure (CHAT-10), "" for none. Once, from any task."""
        ...

    def leave(self) -> None:
        """What was the current span before is so again."""
        ...


class AgentSpan(Protocol):
    """One run of an agent, traced. It is the current span for the code that its maker runs from then on, until `end`. A run
    that has neither `replied` nor `failed` by then was cancelled."""

    @property
    def traceparent(self) -> str:
        """Its W3C trace context, to be passed on to what the agent calls."""
        ...

    def tool(self, name: str, call_id: str) -> ToolSpan:
        """A tool call that begins now: below the current span where that belongs to the same trace, else below this one."""
        ...

    def replied(self, prompt_tokens: int, completion_tokens: int) -> None: ...

    def failed(self, error: str) -> None:
        """`error` is the class of failure: few words that recur, nothing of what was said."""
        ...

    def end(self) -> None:
        """The run is over. Once, by the task that made it."""
        ...


class Tracer(Protocol):
    """Traces turns. No method raises, waits or blocks."""

    def agent(self, id: str, name: str, session_id: str, number: int, request_id: str, traceparent: str) -> AgentSpan:
        """A run of the agent that begins now, for turn `number` of the session; below `traceparent`, "" for none. `id`: what
        it is served under."""
        ...
