"""Tool calls that a remote agent made itself and tells of: each is recorded once, however often it is told."""

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from greenroom.agents.remote import plain_json
from greenroom.sdk import Turn
from greenroom.tools.excerpt import shortened
from greenroom.v1 import turn_pb2


class Recorded(Protocol):
    """A call in the turn's record."""

    @property
    def id(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def arguments_json(self) -> str: ...


class Reported:
    """What is recorded of one turn. A call that came in through InvokeTool is known by its id, else by name and arguments."""

    def __init__(self, turn: Turn) -> None:
        self._turn = turn
        self._made: set[str] = set()
        """The ids of the records that were made here."""
        self._told: set[str] = set()
        """The ids of the records that stand for what was told."""
        self._before = {record.id for record in turn.toolbox.records}
        """Those of an agent that replied in this turn before."""

    def tell(self, call: turn_pb2.ToolCall) -> None:
        """One call, while the reply is made."""
        left = [record for record in self._records() if record.id not in self._told]
        found = self._named(call, left) or self._alike(call, left) or self._record(call)
        self._told.add(found.id)

    def complete(self, calls: Iterable[turn_pb2.ToolCall]) -> None:
        """All of the turn, as the reply lists them; those that were told are among them."""
        missing, left = list(calls), self._records()
        for find in (self._named, self._alike):  # no record stands for two calls, nor for one that names another
            still: list[turn_pb2.ToolCall] = []
            for call in missing:
                found = find(call, left)
                if found is None:
                    still.append(call)
                else:
                    left.remove(found)
            missing = still
        for call in missing:
            self._record(call)

    def _records(self) -> list[Recorded]:
        return [record for record in self._turn.toolbox.records if record.id not in self._before]

    def _named(self, call: turn_pb2.ToolCall, records: Sequence[Recorded]) -> Recorded | None:
        return next((record for record in records if call.id and record.id == call.id), None)

    def _alike(self, call: turn_pb2.ToolCall, records: Sequence[Recorded]) -> Recorded | None:
        """One that came in through InvokeTool, which gave it an id of its own; or for a call without id any."""
        alike = [record for record in records if record.name == call.name and not (call.id and record.id in self._made)]
        arguments = _value(call.arguments_json or "{}") if alike else None
        return next((record for record in alike if _value(record.arguments_json) == arguments), None)

    def _record(self, call: turn_pb2.ToolCall) -> Recorded:
        arguments = _value(call.arguments_json or "{}")
        if not isinstance(arguments, dict):
            arguments = {"arguments": arguments}
        opened = self._turn.outside(call.name, arguments, call.id)
        result = _value(call.result_json or "null")
        if call.ok:
            opened.returned(result)
        else:
            error = result.get("error") if isinstance(result, dict) else None
            if not isinstance(error, dict):
                error = {"message": call.result_json}
            opened.failed(str(error.get("type") or "failed"), shortened(str(error.get("message") or "")))
        made = self._turn.toolbox.records[-1]
        self._made.add(made.id)
        return made


def _value(text: str) -> Any:
    """JSON as it is; what is none is a text."""
    try:
        return plain_json.read(text)
    except ValueError:
        return text
