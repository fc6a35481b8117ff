"""docs/agents.md says what the code does."""

import re
from pathlib import Path

from greenroom.edge.chat_request import OPTION_FIELDS

WORDS = (Path(__file__).parents[2] / "docs" / "agents.md").read_text(encoding="utf-8")


def test_the_page_names_every_option_and_no_other() -> None:
    named = WORDS.partition("as it was sent: ")[2].partition(". An agent")[0]
    assert sorted(re.findall(r"`(\w+)`", named)) == sorted(OPTION_FIELDS)
