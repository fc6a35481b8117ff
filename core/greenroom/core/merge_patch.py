"""JSON Merge Patch, RFC 7386."""

from typing import Any


def merge_patch(target: Any, patch: Any) -> Any:
    """What becomes of `target`: an object's members are merged, null removes one, anything else replaces. Neither argument
    is changed; the result shares with both what it does not merge."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge_patch(merged.get(name), value)
    return merged
