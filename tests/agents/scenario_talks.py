"""A conversation in each scenario of the support agent, read from scenario_talks.txt.

A line is `text | tools | words`: what the user says, the tools that run, words of the reply; tools and words are separated
by commas and semicolons. `!` stands for a call that failed, `*` for one that the scenario scripted. The last line is how
the world has changed in the end, as a JSON Merge Patch.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Call:
    name: str
    ok: bool
    scripted: bool


@dataclass(frozen=True)
class Step:
    text: str
    calls: list[Call]
    words: list[str]


@dataclass(frozen=True)
class Talk:
    scenario: str
    steps: list[Step]
    changed: dict[str, Any]
    """How the world has changed in the end, as a JSON Merge Patch."""


def _step(line: str) -> Step:
    text, calls, words = line.rsplit("|", 2)
    return Step(
        text.strip(),
        [Call(c.strip().rstrip("!*"), "!" not in c, "*" in c) for c in calls.split(",") if c.strip()],
        [word.strip() for word in words.split(";") if word.strip()],
    )


def _talk(block: str) -> Talk:
    title, *lines, changed = block.strip().splitlines()
    return Talk(title.removeprefix("# "), [_step(line) for line in lines], json.loads(changed.removeprefix("= ")))


TEXT = Path(__file__).with_suffix(".txt").read_text(encoding="utf-8")
TALKS = [_talk(block) for block in TEXT.strip().split("\n\n")]
