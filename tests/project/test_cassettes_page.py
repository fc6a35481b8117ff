"""docs/cassettes.md, from its first line to its last answer."""

from pathlib import Path

import pytest
from walked_page import walk


async def test_the_page_leads_from_nothing_to_its_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await walk("cassettes.md", tmp_path, monkeypatch)
