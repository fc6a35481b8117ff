"""What the record of a turn says about it (CHAT-09), and what the agent says laid over it.

Each derived key is one row of the table below; docs/evaluation.md lists them.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final

import msgspec

from greenroom.core.plain import to_json
from greenroom.core.records import ToolCallRecord


class Facts(msgspec.Struct, frozen=True, gc=False):
    """What there is to derive from. `step`: which turn of its path it is, from 1."""

    calls: Sequence[ToolCallRecord]
    step: int


ABSENT: Final = object()
Key = Callable[[Facts], Any]


def _tool_called(facts: Facts) -> Any:
    return facts.calls[0].name if facts.calls else ABSENT


def _tool_success(facts: Facts) -> Any:
    return all(call.ok for call in facts.calls) if facts.calls else ABSENT


def _resolution_step(facts: Facts) -> Any:
    return facts.step


def _scripted_by(facts: Facts) -> Any:
    return [call.scripted_by for call in facts.calls if call.scripted_by] or ABSENT


DERIVED: Mapping[str, Key] = {
    "tool_called": _tool_called,
    "tool_success": _tool_success,
    "resolution_step": _resolution_step,
    "scripted_by": _scripted_by,
}


class Evaluation:
    """Derives the keys that are switched on."""

    def __init__(self, keys: Collection[str] = tuple(DERIVED)) -> None:
        self._keys = [(name, derive) for name, derive in DERIVED.items() if name in keys]

    def of(self, calls: Sequence[ToolCallRecord], step: int, agent: Mapping[str, Any] | None) -> str:
        """As JSON. Raises `WorldError` when the agent's part is none."""
        facts = Facts(calls, step)
        derived: dict[str, Any] = {}
        for name, derive in self._keys:
            value = derive(facts)
            if value is not ABSENT:
                derived[name] = value
        return to_json({**derived, **agent} if agent else derived, "the reply's evaluation")
