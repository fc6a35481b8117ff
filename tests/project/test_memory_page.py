"""docs/memory.md, from its first line to its last answer."""

import re
from pathlib import Path

import pytest
from walked_page import DOCS, walk


async def test_the_page_leads_from_nothing_to_its_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await walk("memory.md", tmp_path, monkeypatch)


def test_the_agent_that_is_shown_is_the_example() -> None:
    page = (DOCS / "memory.md").read_text(encoding="utf-8")
    [shown] = re.findall(r"^```python memory_agent.py\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert shown == (DOCS.parent / "examples" / "memory_agent.py").read_text(encoding="utf-8")
