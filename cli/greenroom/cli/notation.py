"""How tool calls and what they change are written for a person: one line each, nothing cut."""

import json
from typing import Any

from greenroom.core.records import Change, ToolCallRecord


def plain(text: str) -> str:
    """What somebody else wrote does not steer the terminal."""
    return "".join(char if char.isprintable() or char in "\n\t" else "\N{REPLACEMENT CHARACTER}" for char in text)


def call_line(call: ToolCallRecord) -> str:
    """`get_order(order_id="7") -> {"status": "sent"}  (1.2 ms)`, or how it failed, and what scripted it."""
    arguments = ", ".join(f"{name}={_json(value)}" for name, value in json.loads(call.arguments_json).items())
    outcome = json.loads(call.result_json)
    said = f"-> {_json(outcome)}" if call.ok else "failed: {type}: {message}".format(**outcome["error"])
    scripted = f", scripted by {call.scripted_by}" if call.scripted_by else ""
    return plain(f"{call.name}({arguments}) {said}  ({_time(call.duration_us)}{scripted})")


def change_line(change: Change) -> str:
    """`orders/7: status "sent" -> "cancelled"`: of a record that stays, what differs in it."""
    place = change.collection if change.key is None else f"{change.collection}/{change.key}"
    before, after = (None if text is None else json.loads(text) for text in (change.before, change.after))
    if change.before is None:
        return plain(f"{place}: added {_json(after)}")
    if change.after is None:
        return plain(f"{place}: removed")
    if not isinstance(before, dict) or not isinstance(after, dict):
        return plain(f"{place}: {_json(before)} -> {_json(after)}")
    names = [
        name for name in {**before, **after} if (name in before, before.get(name)) != (name in after, after.get(name))
    ]
    return plain(f"{place}: {', '.join(_field(name, before, after) for name in names)}")


def _field(name: str, before: dict[str, Any], after: dict[str, Any]) -> str:
    if name not in before:
        return f"{name} added {_json(after[name])}"
    return f"{name} {_json(before[name])} -> {_json(after[name])}" if name in after else f"{name} removed"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _time(microseconds: int) -> str:
    return f"{microseconds / 1e6:.1f} s" if microseconds >= 1_000_000 else f"{microseconds / 1000:.1f} ms"
