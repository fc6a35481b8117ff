"""The configurations that docs/evaluators.md shows."""

import re
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "evaluators.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def block(language: str, name: str) -> str:
    """The one whose first line names its file."""
    [found] = [text for text in blocks(language) if text.startswith(f"# {name}\n")]
    return found
