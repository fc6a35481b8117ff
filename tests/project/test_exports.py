"""What each layer offers to the others. A name that appears or goes is a decision: it changes this list."""

import importlib
import subprocess
import sys

import pytest

EXPORTS = {
    "greenroom.sdk": {
        "Agent",
        "AgentError",
        "AgentUnavailable",
        "Call",
        "Conversation",
        "ConversationTooLong",
        "EarlierSession",
        "Fact",
        "Message",
        "OutsideCall",
        "Reply",
        "Tool",
        "ToolError",
        "ToolFailed",
        "ToolSource",
        "Turn",
        "Usage",
        "User",
        "UserMemory",
        "World",
        "WorldError",
        "as_agent",
        "delegate",
        "tool",
    },
    "greenroom.edge": {
        "Allowance",
        "Authenticate",
        "CoreOptions",
        "CoreTls",
        "EdgeOptions",
        "HttpOptions",
        "LogOptions",
        "Principal",
        "RateLimiter",
        "create_app",
    },
    "greenroom.rehearsal": {
        "CHECKS",
        "PUBLISHED_LINES",
        "SCHEMA",
        "CannotCheck",
        "Check",
        "Evidence",
        "Level",
        "Options",
        "Outcome",
        "Report",
        "Result",
        "Verdict",
        "Watcher",
        "WrongOption",
        "base_url",
        "junit",
        "run",
        "told",
    },
    "greenroom.storage": {"SqlStore", "open_store"},
}


@pytest.mark.parametrize("module", EXPORTS)
def test_a_layer_exports_these_names_and_no_others(module: str) -> None:
    found = importlib.import_module(module)
    assert set(found.__all__) == EXPORTS[module]
    assert all(hasattr(found, name) for name in found.__all__)


@pytest.mark.parametrize("module", [*EXPORTS, "greenroom.core.rpc.server", "greenroom.cli.main", "greenroom.cli.child"])
def test_importing_does_nothing(module: str) -> None:
    """No log is set up, no file opened, no loop, thread or environment touched."""
    script = (
        "import logging, os, threading\n"
        "before = dict(os.environ)\n"
        f"import {module}\n"
        "assert logging.getLogger().handlers == [], logging.getLogger().handlers\n"
        "assert threading.active_count() == 1, threading.enumerate()\n"
        "assert dict(os.environ) == before\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
