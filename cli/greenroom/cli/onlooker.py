"""Knows which tools run now: a tracer that sends nothing anywhere."""

from collections.abc import Callable


class Onlooker:
    """A tracer, and the span of an agent's run. Calls `wake` whenever a tool begins."""

    traceparent = ""

    def __init__(self) -> None:
        self.running: list[str] = []
        """The names of the tools that run, in order of start."""
        self.wake: Callable[[], object] = list

    def agent(self, id: str, name: str, session_id: str, number: int, request_id: str, traceparent: str) -> "Onlooker":
        return self

    def tool(self, name: str, call_id: str) -> "_RunningTool":
        self.running.append(name)
        self.wake()
        return _RunningTool(self, name)

    def replied(self, prompt_tokens: int, completion_tokens: int) -> None:
        """The conversation shows it."""

    def failed(self, error: str) -> None:
        """The conversation shows it."""

    def end(self) -> None:
        self.running.clear()


class _RunningTool:
    """A tool's span."""

    traceparent = ""

    def __init__(self, onlooker: Onlooker, name: str) -> None:
        self._onlooker = onlooker
        self._name = name

    def end(self, error: str = "") -> None:
        if self._name in self._onlooker.running:
            self._onlooker.running.remove(self._name)

    def leave(self) -> None:
        """It is nobody's current span."""
