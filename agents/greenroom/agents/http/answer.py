"""An endpoint's JSON as a reply, by JSONPath (RFC 9535)."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from greenroom.agents.http.template import EXTRA
from greenroom.sdk import AgentError, Reply, Turn
from greenroom.tools.extras import import_extra

_NAMES = ("name", "tool", "tool_name", "action", "type")
_ARGUMENTS = ("arguments", "args", "parameters", "params", "input")
_RESULTS = ("result", "output", "response", "observation")
_IDS = ("id", "call_id", "tool_call_id")


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerPaths:
    """Where things stand in an endpoint's answer, as JSONPaths; "" for what it does not tell.

    `reply` is the text. `tools` are the tool calls that it made. `keep` are values for `turn.state`, by name, so that the
    next turn's template has them.
    """

    reply: str
    tools: str = ""
    confidence: str = ""
    evaluation: str = ""
    metadata: str = ""
    keep: Mapping[str, str] = field(default_factory=dict)


class AnswerReader:
    """Reads answers. Raises `AgentError` for a path that is none."""

    def __init__(self, paths: AnswerPaths) -> None:
        self._reply = _Path(paths.reply)
        self._tools = _optional(paths.tools)
        self._confidence = _optional(paths.confidence)
        self._evaluation = _optional(paths.evaluation)
        self._metadata = _optional(paths.metadata)
        self._keep = {name: _Path(path) for name, path in paths.keep.items()}

    def read(self, turn: Turn, answer: Any) -> Reply:
        """The reply; its tool calls are recorded, and what is to be kept is in the turn's state. Raises `AgentError`."""
        for item in self._tools.items(answer) if self._tools else ():
            record_call(turn, item)
        for name, path in self._keep.items():
            kept = path.value(answer, _MISSING)
            if kept is not _MISSING:
                turn.state[name] = kept
        text = self._reply.value(answer, None)
        if text is None:
            raise AgentError(f"the answer has no {self._reply.source}: it has {_shape(answer)}")
        return Reply(
            text if isinstance(text, str) else json.dumps(text, ensure_ascii=False),
            confidence=_confidence(self._confidence, answer),
            evaluation=_object(self._evaluation, answer),
            metadata=_object(self._metadata, answer),
        )


_MISSING = object()


class _Path:
    def __init__(self, source: str) -> None:
        jsonpath = import_extra("jsonpath_rfc9535", EXTRA)
        self.source = source
        self._problem = jsonpath.JSONPathError
        try:
            self._query = jsonpath.compile(source)
        except jsonpath.JSONPathError as problem:
            raise AgentError(f"{source!r} is no JSONPath ({problem}); one is $.answer, or $.choices[0].text") from None

    def value(self, answer: Any, absent: Any) -> Any:
        """The first value there."""
        node = next(iter(self._nodes(answer)), None)
        return absent if node is None else node.value

    def items(self, answer: Any) -> list[Any]:
        """All values there; those of a list, where it is one."""
        values = [node.value for node in self._nodes(answer)]
        if len(values) == 1 and (values[0] is None or isinstance(values[0], list)):
            return list(values[0] or ())
        return values

    def _nodes(self, answer: Any) -> Any:
        try:
            yield from self._query.finditer(answer)
        except self._problem as problem:  # what it finds may be too deep, or of a kind that a filter cannot compare
            raise AgentError(f"{self.source}: {problem}") from None


def _optional(source: str) -> _Path | None:
    return _Path(source) if source else None


def _confidence(path: _Path | None, answer: Any) -> float | None:
    value = path.value(answer, None) if path else None
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise AgentError(f"{path.source if path else ''} is {value!r:.50}, not a number from 0 to 1")
    return float(value)


def _object(path: _Path | None, answer: Any) -> dict[str, Any] | None:
    value = path.value(answer, None) if path else None
    if value is None:
        return None
    if not isinstance(value, dict):
        raise AgentError(f"{path.source if path else ''} is a {type(value).__name__}, not an object")
    return value


def _shape(answer: Any) -> str:
    """What an answer is made of, without what it says."""
    if isinstance(answer, dict):
        return f"the keys {', '.join(map(str, list(answer)[:20]))}" if answer else "no keys"
    return f"a {type(answer).__name__}"


def record_call(turn: Turn, item: Any) -> None:
    """Records a tool call as endpoints tell of theirs: a name, or an object with one (`name`, `tool`, …, or OpenAI's
    `function`), its arguments and its result, or what went wrong. Raises `AgentError` for anything else."""
    if isinstance(item, str):
        turn.outside(item, {}).returned(None)
        return
    if not isinstance(item, dict):
        raise AgentError(f"a tool call is told as a {type(item).__name__}; it is a name, or an object with one")
    function = item.get("function")
    parts = {**item, **function} if isinstance(function, dict) else item
    name = _first(parts, _NAMES) or (function if isinstance(function, str) else "")
    if not isinstance(name, str) or not name:
        raise AgentError(f"a tool call is told without a name: {_shape(item)}; it is one of {', '.join(_NAMES)}")
    call = turn.outside(name, _arguments(_first(parts, _ARGUMENTS)), str(_first(item, _IDS) or ""))
    error = parts.get("error")
    if error or parts.get("ok") is False or parts.get("success") is False:
        call.failed(*_failure(error, _first(parts, _RESULTS)))
    else:
        call.returned(_first(parts, _RESULTS))


def _first(parts: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    return next((parts[name] for name in names if parts.get(name) is not None), None)


def _arguments(told: Any) -> dict[str, Any]:
    """Arguments may come as OpenAI's JSON text."""
    if isinstance(told, str):
        try:
            told = json.loads(told)
        except ValueError:
            return {"arguments": told}
    if told is None:
        return {}
    return told if isinstance(told, dict) else {"arguments": told}


def _failure(error: Any, result: Any) -> tuple[str, str]:
    if isinstance(error, dict):
        return str(error.get("type") or error.get("code") or "failed"), str(error.get("message") or "")
    told = error if isinstance(error, str) else result
    return "failed", told if isinstance(told, str) else json.dumps(told, ensure_ascii=False)
