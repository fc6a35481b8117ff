"""docs/testing.md: its tests pass, and fail as it says."""

import re
import subprocess
import sys
from pathlib import Path

from running_sandbox import PATIENCE, environment
from walked_page import DOCS

PAGE = (DOCS / "testing.md").read_text(encoding="utf-8")
FAILING = """

def test_a_call_that_was_not_made():
    [reply] = play_sync(agent, ["status 8"])
    assert reply.called("cancel_order", order_id="8")


def test_a_change_that_was_not_made():
    [reply] = play_sync(agent, ["status 8"])
    assert reply.changed("orders", "7")


def test_an_agent_that_raises():
    def clumsy(turn):
        raise KeyError("lost")
    play_sync(clumsy, ["hello"])
"""


def test_its_tests_pass_and_failures_are_shown_as_it_says(tmp_path: Path) -> None:
    for name, text in re.findall(r"^```python (\S+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL):
        (tmp_path / name).write_text(text, encoding="utf-8")
    passing, shown = re.findall(r"^```text\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    with (tmp_path / "test_shop.py").open("a", encoding="utf-8") as file:
        file.write(FAILING)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=tmp_path,
        env=environment(PYTEST_DISABLE_PLUGIN_AUTOLOAD="1"),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert f"3 failed, {passing.strip()}" in done.stdout, done.stdout
    for line in shown.splitlines():
        assert f"E       {line}" in done.stdout, done.stdout
    assert "AgentFailed: Internal server error\nE       the agent raised KeyError: 'lost'" in done.stdout
    assert "greenroom/core" not in done.stdout.partition("Captured log call")[0]


def test_every_page_that_is_linked_exists() -> None:
    for name in re.findall(r"\]\(([^):#]+)\)", PAGE):
        assert (DOCS / name).exists(), name
