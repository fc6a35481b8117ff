"""A model of CrewAI's that answers at once, with what a test says."""

import json
from collections.abc import Callable, Sequence
from typing import Any

from crewai import BaseLLM
from crewai.events.types.llm_events import LLMCallType
from crewai.llms.base_llm import llm_call_context

Says = Callable[[Sequence[Any]], list[Any]]
"""From the messages of a request to what the model says: pieces of text, or calls of tools."""


def call(name: str, id: str = "c1", **arguments: Any) -> dict[str, Any]:
    """A call of a tool, as the model asks for it."""
    return {"id": id, "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}


class FakeModel(BaseLLM):
    """Counts 10 tokens in and 5 out for each answer. `asked` is all it was asked: roles and texts."""

    says: Any = None
    asked: Any = None
    native: bool = True

    def __init__(self, says: Says, **parts: Any) -> None:
        super().__init__(model="fake", says=says, asked=[], **parts)

    def supports_function_calling(self) -> bool:
        return self.native

    def call(  # type: ignore[override]
        self,
        messages: Any,
        tools: Any = None,
        callbacks: Any = None,
        available_functions: Any = None,
        from_task: Any = None,
        from_agent: Any = None,
        response_model: Any = None,
    ) -> Any:
        asked = [{"role": "user", "content": messages}] if isinstance(messages, str) else list(messages)
        self.asked.append([(one["role"], one["content"]) for one in asked])
        parts = {"from_task": from_task, "from_agent": from_agent}
        with llm_call_context():
            self._emit_call_started_event(asked, tools, callbacks, available_functions, **parts)
            said = self.says(asked)
            texts = [one for one in said if isinstance(one, str)]
            calls = [one for one in said if not isinstance(one, str)]
            if self._effective_stream():
                for one in texts:
                    self._emit_stream_chunk_event(one, **parts)
            answer = calls or "".join(texts)
            kind = LLMCallType.TOOL_CALL if calls else LLMCallType.LLM_CALL
            used = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
            self._emit_call_completed_event(answer, kind, **parts, messages=asked, usage=used)
        return answer
