"""docs/mcp.md, done as its reader does it."""

import re
import sys
from pathlib import Path

import pytest
from walked_page import DOCS, walk

from greenroom.tools.mcp.settings import McpSettings
from greenroom.tools.tools_file import read_tools_file

WORDS = (DOCS / "mcp.md").read_text(encoding="utf-8")


async def test_the_page_does_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("greenroom.tools.mcp.server._STARTING", 60.0)  # other tests run meanwhile
    await walk("mcp.md", tmp_path, monkeypatch, {'"python", "shop.py"': f'"{sys.executable}", "shop.py"'})


def test_its_table_shows_all_that_one_may_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEAM", "support")
    [shown] = re.findall(r"^## What a table may say\n\n```toml\n(.*?)^```", WORDS, re.MULTILINE | re.DOTALL)
    (tmp_path / "tools.toml").write_text(shown, encoding="utf-8")
    assert [source.name for source in read_tools_file(tmp_path / "tools.toml")] == ["mcp.shop", "mcp.far"]
    assert set(re.findall(r"^(\w+) =", shown, re.MULTILINE)) == set(McpSettings.model_fields)


def test_it_names_every_kind_of_failure() -> None:
    folder = Path(__file__).parents[2] / "tools" / "greenroom" / "tools" / "mcp"
    source = "".join(path.read_text(encoding="utf-8") for path in folder.glob("*.py"))
    codes = set(re.findall(r'code="(\w+)"', source)) | {"failed", "timeout"}
    assert set(re.findall(r"^\| `(\w+)` \| [^`]", WORDS, re.MULTILINE)) - {"type"} == codes
