"""Runs that agno's database has kept, each a text that is read when somebody looks into it."""

import json
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from agno.db.utils import deserialize_history_run
from agno.run.agent import RunOutput
from agno.run.base import RunStatus
from agno.run.team import TeamRunOutput
from pydantic_core import to_json

from greenroom.agents.adapters.tools import AS_JSON

_HEAD = ("run_id", "agent_id", "team_id", "workflow_id", "user_id", "parent_run_id", "run_index", "status")
"""What agno looks at to choose among runs."""

_STATUSES = frozenset(one.value for one in RunStatus)


class KeptRun(dict[str, Any]):
    """A run as agno's database holds it, with its head alone. agno copies what it hands out, and the copy has all."""

    def __init__(self, head: Mapping[str, Any], text: str) -> None:
        super().__init__(head)
        self.text = text

    def __deepcopy__(self, memo: Any) -> Any:
        return json.loads(self.text)


class _Unread:
    """A field of a run whose text is not read yet. What is set, or was read, stands before it."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, run: Any, owner: Any) -> Any:
        known = run.__dict__
        run.__dict__ = {**vars(deserialize_history_run(json.loads(known["_text"]))), **known}
        return run.__dict__[self._name]


def _later(kind: Any) -> Any:
    """A class of runs that are read when they are looked into."""
    names = [field.name for field in fields(kind)]
    unread = {name: _Unread(name) for name in names if name not in _HEAD}
    head = {name: None for name in names if name in _HEAD}
    return type(kind.__name__, (kind,), {**unread, **head})


_LATER = {"agent_id": _later(RunOutput), "team_id": _later(TeamRunOutput)}
"""By the key that tells which one a run is."""


def put_back(run: KeptRun) -> Any:
    """The object that agno makes of a run; None of what it passes over."""
    for key, kind in _LATER.items():
        if key in run:
            made, status = kind.__new__(kind), run.get("status")
            made.__dict__.update(run, _text=run.text, status=RunStatus(status) if status in _STATUSES else status)
            return made
    return None


def taken_out(run: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """A run's head and its text, of which a `KeptRun` is made."""
    text = run.text if isinstance(run, KeptRun) else to_json(run, **AS_JSON).decode()
    return {key: run[key] for key in _HEAD if key in run}, text
