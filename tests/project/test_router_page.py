"""docs/router.md, done as a reader does it; the example is the page's."""

import re
from pathlib import Path

import pytest
from walked_page import DOCS, walk


async def test_the_page_does_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await walk("router.md", tmp_path, monkeypatch)


def test_the_example_is_the_page_s() -> None:
    def essence(text: str) -> str:
        return re.sub(r"\s+", "", re.sub(r'^\s*""".*"""$', "", text, flags=re.MULTILINE))

    page = (DOCS / "router.md").read_text(encoding="utf-8").partition("```python desk.py\n")[2].partition("```")[0]
    example = (DOCS.parent / "examples" / "router_agent.py").read_text(encoding="utf-8")
    assert essence(page).partition("agent=Router")[2] == essence(example).partition("agent=Router")[2]
