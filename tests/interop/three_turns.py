"""What every client's conversation with the talker comes to, whatever the client."""

from collections.abc import Mapping
from typing import Any

import httpx2
from running_sandbox import PATIENCE, Sandbox


def check_three_turns(conversation: Mapping[str, Any], talker: Sandbox) -> None:
    """Each turn went on from the one before, nothing was refused, and where the session was named each has counted once."""
    assert conversation["refused"] == []
    assert [turn["text"] for turn in conversation["turns"]] == ["so 1 ", "so 2 ", "so 3 "], conversation
    if conversation["session"]:
        path = f"/v1/sessions/{conversation['session']}/world"
        world = httpx2.get(talker.http + path, timeout=PATIENCE).json()
        assert (world["turn"], world["world"]) == (3, {"counters": {"n": 3}})
