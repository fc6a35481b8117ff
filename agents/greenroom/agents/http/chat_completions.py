"""What an OpenAI-compatible endpoint answers, whole or as a stream."""

import json
from collections.abc import Collection, Mapping
from typing import Any

from greenroom.agents.breaker import BackendFailed
from greenroom.agents.http.answer import record_call
from greenroom.agents.http.exchange import DONE
from greenroom.agents.too_long import says_too_long
from greenroom.sdk import AgentError, ConversationTooLong, Reply, Turn, Usage

PASSED_ON = frozenset(
    {
        "temperature", "top_p", "top_k", "min_p", "max_tokens", "max_completion_tokens", "presence_penalty",
        "frequency_penalty", "logit_bias", "logprobs", "top_logprobs", "stop", "seed", "response_format",
        "reasoning_effort", "verbosity", "prediction", "tools", "tool_choice", "parallel_tool_calls", "functions",
        "function_call",
    }
)  # fmt: skip
"""The options of a request that ask something of a model; `model` is the agent's own."""
ADDED = frozenset({"user", "stream_options"})
"""What a request has that nobody asked for: an endpoint may do without."""
_MOST_TOKENS = 2**31


def request_of(turn: Turn, model: str) -> dict[str, Any]:
    """The whole conversation, with what the caller asked of the model."""
    body: dict[str, Any] = {"model": model, "messages": turn.messages.openai()}
    body |= {name: value for name, value in turn.options.items() if name in PASSED_ON}
    if turn.user.id:
        body["user"] = turn.user.id
    return body


def as_body(request: Mapping[str, Any], *, stream: bool, without: Collection[str] = ()) -> bytes:
    """A request as it is sent. `stream`: the answer is wanted piece by piece. `without`: names that are left out."""
    further = {"stream": True, "stream_options": {"include_usage": True}} if stream else {}
    sent = {name: value for name, value in {**request, **further}.items() if name not in without}
    return json.dumps(sent, ensure_ascii=False).encode()


class Completion:
    """One answer, put together. Raises `AgentError` for what is not of the format."""

    def __init__(self) -> None:
        self._text: list[str] = []
        self._told = False
        self._calls: list[_ToldCall] = []
        self._finish = ""
        self._done = False
        self._usage: Any = None
        self._evaluation: Mapping[str, Any] | None = None
        self._confidence: float | None = None

    def add_whole(self, answer: Any) -> None:
        """A body of `object: chat.completion`."""
        self._take(answer, "message")

    def add_event(self, data: str) -> str:
        """The data of one event of a stream; what it says."""
        if data == DONE:
            self._done = True
            return ""
        self._told = True
        try:
            chunk = json.loads(data)
        except (ValueError, RecursionError):
            raise AgentError(f"an event of the stream is no JSON: {data[:100]}") from None
        return self._take(chunk, "delta")

    @property
    def is_empty(self) -> bool:
        """Whether nothing has come yet."""
        return not (self._text or self._calls or self._finish or self._done)

    def check_end(self) -> None:
        """Raises `BackendFailed` for a stream that broke off."""
        if not (self._finish or self._done):
            raise BackendFailed("the stream ended before the answer did")

    def whole(self) -> dict[str, Any]:
        """All that was read of it, as a body that `add_whole` reads so."""
        message = {
            "role": "assistant",
            "content": "".join(self._text),
            "tool_calls": [call.whole() for call in self._calls],
        }
        return {
            "choices": [{"index": 0, "finish_reason": self._finish, "message": message}],
            "usage": self._usage,
            "evaluation_metadata": self._evaluation,
            "metadata": {"agent_confidence": self._confidence},
        }

    def settle(self, turn: Turn) -> Reply:
        """The reply, its tool calls recorded; what came as a stream has been said already."""
        for call in self._calls:
            record_call(turn, call.as_told())
        metadata = {"finish_reason": self._finish} if self._finish not in ("", "stop", "tool_calls") else None
        return Reply(
            "" if self._told else "".join(self._text),
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
            said = f"the answer is an error: {json.dumps(document['error'])[:300]}"
            raise ConversationTooLong(said) if says_too_long(document) else BackendFailed(said)
        self._usage = document.get("usage") or self._usage
        self._note_extras(document)
        choices = document.get("choices")
        if not choices and part == "message":
            raise AgentError("a completion has choices, this one has none")
        choice = next((one for one in choices or () if not one.get("index")), None)
        if choice is None:  # of an answer beside the first one, or of none
            return ""
        self._finish = str(choice.get("finish_reason") or self._finish)
        message = choice.get(part) or {}
        for call in message.get("tool_calls") or ():
            self._add_call(call, whole=part == "message")
        if older := message.get("function_call"):
            self._add_call({"index": 0, "function": older}, whole=part == "message")
        text = _text_of(message.get("content")) or _text_of(message.get("refusal"))
        if text:
            self._text.append(text)
        return text

    def _note_extras(self, document: Mapping[str, Any]) -> None:
        """What an endpoint of UserTrace's format says beside OpenAI's."""
        evaluation, metadata = document.get("evaluation_metadata"), document.get("metadata")
        if isinstance(evaluation, dict):
            self._evaluation = evaluation
        confidence = metadata.get("agent_confidence") if isinstance(metadata, dict) else None
        if isinstance(confidence, int | float) and 0 <= confidence <= 1:
            self._confidence = float(confidence)

    def _add_call(self, piece: Mapping[str, Any], *, whole: bool) -> None:
        """In a stream a call comes in pieces, which are one's by their index. Some endpoints send calls whole, all with
        index 0 or none: another id is another call."""
        index, id = piece.get("index"), str(piece.get("id") or "")
        known = None if whole else next((call for call in reversed(self._calls) if call.index == index), None)
        if known is None or (id and known.id and id != known.id) or (index is None and not known.is_open):
            known = _ToldCall(index, id)
            self._calls.append(known)
        known.add(id, piece.get("function") or {})


class _ToldCall:
    """A tool call as the pieces of it tell."""

    def __init__(self, index: Any, id: str) -> None:
        self.index = index
        self.id = id
        self._name = ""
        self._arguments: Any = ""
        self._end: dict[str, Any] = {}

    @property
    def is_open(self) -> bool:
        """Whether its arguments are not whole yet."""
        try:
            return not isinstance(json.loads(self._arguments), dict)
        except (TypeError, ValueError):
            return isinstance(self._arguments, str)

    def add(self, id: str, function: Mapping[str, Any]) -> None:
        """The arguments come piece by piece; names at once, of some endpoints again with every piece."""
        self.id = self.id or id
        self._name = self._name or str(function.get("name") or "")
        arguments = function.get("arguments")
        if isinstance(arguments, str) and isinstance(self._arguments, str):
            self._arguments += arguments
        elif arguments is not None:
            self._arguments = arguments
        if "result" in function:
            self._end = {"result": function["result"]}
            if error := failure_in(function["result"]):
                self._end["error"] = error

    def whole(self) -> dict[str, Any]:
        """As a whole answer has it."""
        function = {"name": self._name, "arguments": self._arguments}
        if "result" in self._end:
            function["result"] = self._end["result"]
        return {"id": self.id, "type": "function", "function": function}

    def as_told(self) -> dict[str, Any]:
        """For `record_call`."""
        return {"id": self.id, "name": self._name, "arguments": self._arguments or None, **self._end}


def _text_of(content: Any) -> str:
    """A text may come in parts."""
    if isinstance(content, list):
        return "".join(_text_of(part.get("text")) for part in content if part.get("type") == "text")
    return content if isinstance(content, str) else ""


def failure_in(result: Any) -> Any:
    """What a result says of a call that failed (CHAT-10); None for one that did not."""
    return result.get("error") if isinstance(result, dict) and set(result) == {"error"} else None


def _usage(told: Any) -> Usage | None:
    """None for what is no count of tokens: Greenroom's own rule counts then."""
    if not isinstance(told, dict):
        return None
    sent, said = _count(told.get("prompt_tokens")), _count(told.get("completion_tokens"))
    return None if sent is None or said is None else Usage(sent, said)


def _count(tokens: Any) -> int | None:
    return tokens if type(tokens) is int and 0 <= tokens < _MOST_TOKENS else None
