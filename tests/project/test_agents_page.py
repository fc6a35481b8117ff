"""docs/agents.md says what the code does."""

import re
from pathlib import Path

import pytest
from walked_page import walk

from greenroom.edge.chat_request import OPTION_FIELDS

WORDS = (Path(__file__).parents[2] / "docs" / "agents.md").read_text(encoding="utf-8")


def test_the_page_names_every_option_and_no_other() -> None:
    named = WORDS.partition("as it was sent: ")[2].partition(". An agent")[0]
    assert sorted(re.findall(r"`(\w+)`", named)) == sorted(OPTION_FIELDS)


async def test_the_page_does_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await walk("agents.md", tmp_path, monkeypatch)
