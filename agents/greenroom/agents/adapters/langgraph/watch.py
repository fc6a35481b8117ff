"""What a graph's callbacks tell of a turn: the tokens of its models, and tools that do not run in the turn's toolbox."""

import asyncio
import json
from collections import deque
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from langgraph.constants import TAG_NOSTREAM

from greenroom.agents.adapters.langgraph.results import shown
from greenroom.agents.adapters.tokens import Tokens
from greenroom.sdk import OutsideCall, Turn

in_toolbox: ContextVar[object] = ContextVar("greenroom_in_toolbox", default=None)
"""The tool that is about to run in the toolbox, and is recorded there."""


class Watch(BaseCallbackHandler):
    """Of one turn. It may be called in any thread."""

    run_inline = True
    ignore_chain = True
    ignore_retriever = True

    def __init__(self, turn: Turn) -> None:
        self.tokens = Tokens()
        self._turn = turn
        self._loop = asyncio.get_running_loop()
        self._calls: dict[UUID, OutsideCall] = {}
        self._known: set[object] = set()
        self._models: dict[UUID, str] = {}
        self.heard: deque[tuple[str, Any]] = deque()
        """Messages that models have made, each with the namespace of the node that asked."""

    def on_chat_model_start(
        self,
        serialized: Any,
        messages: Any,
        *,
        run_id: UUID,
        tags: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        self._turn.stays_live()  # a tool that is recorded had it asked: that is part of the turn
        if TAG_NOSTREAM not in (tags or ()):
            self._models[run_id] = (metadata or {}).get("langgraph_checkpoint_ns", "")

    def on_llm_end(self, response: Any, *, run_id: UUID, **kwargs: Any) -> None:
        namespace = self._models.pop(run_id, None)
        for generation in (one for several in response.generations for one in several[:1]):
            message = getattr(generation, "message", None)
            if message is not None and namespace is not None:
                self.heard.append((namespace, message))
            if usage := getattr(message, "usage_metadata", None):
                self.tokens.add(usage.get("input_tokens"), usage.get("output_tokens"))

    def on_tool_start(
        self, serialized: Any, input_str: str, *, run_id: UUID, inputs: dict[str, Any] | None = None, **kwargs: Any
    ) -> None:
        mark = in_toolbox.get()
        if mark is not None and mark not in self._known:
            self._known.add(mark)
            return
        self._turn.stays_live()
        name = str((serialized or {}).get("name") or kwargs.get("name") or "tool")
        self._in_loop(lambda: self._open(run_id, name, inputs if inputs is not None else {"input": input_str}))

    def on_tool_end(self, output: Any, *, run_id: UUID, **kwargs: Any) -> None:
        self._in_loop(lambda: self._close(run_id, lambda call: call.returned(shown(output))))

    def on_tool_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        self._in_loop(lambda: self._close(run_id, lambda call: call.failed(type(error).__name__, str(error))))

    def on_llm_start(self, *args: Any, **kwargs: Any) -> None:
        self._turn.stays_live()

    def on_custom_event(self, *args: Any, **kwargs: Any) -> None:
        self._turn.stays_live()

    def _open(self, run_id: UUID, name: str, arguments: dict[str, Any]) -> None:
        self._calls[run_id] = self._turn.outside(name, json.loads(json.dumps(arguments, default=str)))

    def _close(self, run_id: UUID, end: Callable[[OutsideCall], None]) -> None:
        call = self._calls.pop(run_id, None)
        if call is not None:
            end(call)

    def _in_loop(self, act: Callable[[], None]) -> None:
        """Now, or as soon as the turn's event loop comes to it, in the order of these calls."""
        try:
            here = asyncio.get_running_loop() is self._loop
        except RuntimeError:
            here = False
        if here:
            act()
        else:
            self._loop.call_soon_threadsafe(act)
