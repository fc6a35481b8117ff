"""A graph's checkpoints in `turn.state`."""

import base64
from collections.abc import Iterator
from typing import Any

from langgraph.checkpoint.memory import InMemorySaver

Typed = tuple[str, bytes]


class StateSaver(InMemorySaver):
    """A checkpointer for one turn: what the last turn left is put in before, and what the next one needs is taken out."""

    def restore(self, thread: str, kept: dict[str, Any] | None) -> None:
        """Puts back what `dump` gave, as the checkpoints of a thread."""
        for namespace, checkpoints in (kept or {}).items():
            for one in checkpoints:
                put = (_unpacked(one["checkpoint"]), _unpacked(one["metadata"]), one["parent"])
                self.storage[thread][namespace][one["id"]] = put
                for channel, version, value in one["values"]:
                    self.blobs[thread, namespace, channel, version] = _unpacked(value)
                for task, index, channel, value, path in one["writes"]:
                    writes = self.writes[thread, namespace, one["id"]]
                    writes[task, index] = (task, channel, _unpacked(value), path)

    def dump(self, thread: str, *, whole: bool) -> dict[str, Any]:
        """As JSON, the last checkpoint of each namespace. Those of subgraphs that ran and ended in this run are left out,
        unless it is `whole`: then it goes on in the middle of one."""
        kept = {}
        for namespace, checkpoints in self.storage[thread].items():
            if checkpoints and (whole or ":" not in namespace):
                kept[namespace] = list(self._last(thread, namespace, checkpoints))
        return kept

    def _last(self, thread: str, namespace: str, checkpoints: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """The latest, and those before it that have the value of a channel which is stored as changes."""
        name: str | None = max(checkpoints)
        missing: set[str] | None = None
        while name in checkpoints and missing != set():
            checkpoint, metadata, parent = checkpoints[name]
            versions = self.serde.loads_typed(checkpoint)["channel_versions"]
            values = [
                (channel, version, _packed(self.blobs[thread, namespace, channel, version]))
                for channel, version in versions.items()
                if (thread, namespace, channel, version) in self.blobs
            ]
            writes = self.writes.get((thread, namespace, name), {})
            yield {
                "id": name,
                "checkpoint": _packed(checkpoint),
                "metadata": _packed(metadata),
                "parent": parent,
                "values": values,
                "writes": [
                    (task, index, channel, _packed(value), path)
                    for (task, index), (_, channel, value, path) in writes.items()
                ],
            }
            missing = (set(versions) if missing is None else missing) - {channel for channel, _, _ in values}
            name = parent


def _packed(value: Typed) -> list[str]:
    kind, data = value
    return [kind, base64.b64encode(data).decode()]


def _unpacked(value: list[str]) -> Typed:
    return value[0], base64.b64decode(value[1])
