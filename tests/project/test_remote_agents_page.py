"""docs/remote-agents.md says what the code does. `make interop` does its part with Node."""

import re
import sys
from pathlib import Path

import pytest
from walked_page import walk

from greenroom.agents.agent_file import read_agent_file
from greenroom.agents.remote.rpc.status import DOWN

ROOT = Path(__file__).parents[2]
WORDS = (ROOT / "docs" / "remote-agents.md").read_text(encoding="utf-8")


def file(language: str, name: str) -> str:
    [text] = re.findall(rf"^```{language} {name}\n(.*?)^```$", WORDS, re.MULTILINE | re.DOTALL)
    return str(text)


async def test_the_command_does_what_the_page_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await walk("remote-agents.md", tmp_path, monkeypatch, section="A command")


def test_the_agents_that_are_shown_are_the_examples() -> None:
    assert file("sh", "agent") == (ROOT / "examples" / "shell_agent.sh").read_text(encoding="utf-8")
    assert file("js", "agent.mjs") == (ROOT / "examples" / "node_agent" / "agent.mjs").read_text(encoding="utf-8")


def test_the_files_that_are_shown_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "shop_tools", raising=False)
    for language, name in [
        ("toml", "agent.toml"),
        ("toml", "shop.toml"),
        ("python", "shop_tools.py"),
        ("yaml", "world.yaml"),
    ]:
        (tmp_path / name).write_text(file(language, name), encoding="utf-8")
    for name in ("agent.toml", "shop.toml"):
        agent = read_agent_file(tmp_path / name)
        assert [tool.name for tool in agent.tools] == ["get_order"]
        assert agent.load_world()


def test_the_statuses_that_say_it_is_down_are_named() -> None:
    [row] = [line for line in WORDS.splitlines() if "503 `agent_unavailable`, after" in line]
    assert set(re.findall(r"`([A-Z_]+)`", row)) == {code.name for code in DOWN}
