"""What an OpenAI-compatible endpoint answers, whole or as a stream."""

import json
from collections.abc import Mapping
from typing import Any

from greenroom.agents.breaker import BackendFailed
from greenroom.agents.http.answer import record_call
from greenroom.sdk import AgentError, Reply, Turn, Usage

PASSED_ON = frozenset(
    {
        "temperature", "top_p", "top_k", "min_p", "max_tokens", "max_completion_tokens", "presence_penalty",
        "frequency_penalty", "logit_bias", "logprobs", "top_logprobs", "stop", "seed", "response_format",
        "reasoning_effort", "verbosity", "prediction", "tools", "tool_choice", "parallel_tool_calls", "functions",
        "function_call",
    }
)  # fmt: skip
"""The options of a request that ask something of a model; `model` is the agent's own."""


def request_body(turn: Turn, model: str, *, stream: bool) -> bytes:
    """The whole conversation, with what the caller asked of the model."""
    body: dict[str, Any] = {"model": model, "messages": turn.messages.openai()}
    body |= {name: value for name, value in turn.options.items() if name in PASSED_ON}
    if turn.user.id:
        body["user"] = turn.user.id
    if stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    return json.dumps(body, ensure_ascii=False).encode()


class Completion:
    """One answer, put together. Raises `AgentError` for what is not of the format."""

    def __init__(self) -> None:
        self._text: list[str] = []
        self._calls: dict[int, dict[str, Any]] = {}
        self._finish = ""
        self._usage: Mapping[str, Any] | None = None
        self._evaluation: Mapping[str, Any] | None = None
        self._confidence: float | None = None

    def add_whole(self, answer: Any) -> None:
        """A body of `object: chat.completion`."""
        self._take(answer, "message")

    def add_chunk(self, chunk: Any) -> str:
        """One event of a stream; what it says."""
        return self._take(chunk, "delta")

    def settle(self, turn: Turn, *, told: bool) -> Reply:
        """The reply, its tool calls recorded. `told`: its text was said while it came."""
        if not self._finish and told:
            raise BackendFailed("the stream ended before the answer did")
        for _, call in sorted(self._calls.items()):
            record_call(turn, call)
        metadata = {"finish_reason": self._finish} if self._finish not in ("", "stop", "tool_calls") else None
        return Reply(
            "" if told else "".join(self._text),
            confidence=self._confidence,
            evaluation=self._evaluation,
            usage=_usage(self._usage),
            metadata=metadata,
        )

    def _take(self, document: Any, part: str) -> str:
        if not isinstance(document, dict):
            raise AgentError(f"a completion is an object, this is a {type(document).__name__}")
        try:
            return self._read(document, part)
        except (AttributeError, TypeError, KeyError, IndexError) as problem:
            raise AgentError(f"the answer is not of OpenAI's format: {problem}") from None

    def _read(self, document: Mapping[str, Any], part: str) -> str:
        if document.get("error"):
            raise BackendFailed(f"the answer is an error: {json.dumps(document['error'])[:300]}")
        self._usage = document.get("usage") or self._usage
        self._note_extras(document)
        choices = document.get("choices")
        if not choices:
            if part == "message":
                raise AgentError("a completion has choices, this one has none")
            return ""
        choice = choices[0]
        self._finish = choice.get("finish_reason") or self._finish
        message = choice.get(part) or {}
        for position, call in enumerate(message.get("tool_calls") or ()):
            self._add_call(call.get("index", position), call)
        text = message.get("content") or message.get("refusal") or ""
        if text:
            self._text.append(text)
        return str(text)

    def _note_extras(self, document: Mapping[str, Any]) -> None:
        """What an endpoint of UserTrace's format says beside OpenAI's."""
        evaluation, metadata = document.get("evaluation_metadata"), document.get("metadata")
        if isinstance(evaluation, dict):
            self._evaluation = evaluation
        confidence = metadata.get("agent_confidence") if isinstance(metadata, dict) else None
        if isinstance(confidence, int | float) and 0 <= confidence <= 1:
            self._confidence = float(confidence)

    def _add_call(self, index: int, piece: Mapping[str, Any]) -> None:
        """In a stream the arguments come in pieces."""
        known = self._calls.setdefault(index, {"id": "", "function": {"name": "", "arguments": ""}})
        known["id"] = known["id"] or piece.get("id") or ""
        function, told = known["function"], piece.get("function") or {}
        function["name"] += told.get("name") or ""
        function["arguments"] += told.get("arguments") or ""
        if "result" in told:
            function["result"] = told["result"]
            if error := failure_in(told["result"]):
                known["error"] = error


def failure_in(result: Any) -> Any:
    """What a result says of a call that failed (CHAT-10); None for one that did not."""
    return result.get("error") if isinstance(result, dict) and set(result) == {"error"} else None


def _usage(told: Mapping[str, Any] | None) -> Usage | None:
    if told is None:
        return None
    sent, said = told.get("prompt_tokens"), told.get("completion_tokens")
    return Usage(sent, said) if isinstance(sent, int) and isinstance(said, int) else None
