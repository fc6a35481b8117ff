"""docs/check.md, done as it says; its CI snippet is one."""

import re
from pathlib import Path

import pytest
import yaml
from walked_page import DOCS, walk

from greenroom.rehearsal import CHECKS

PAGE = (DOCS / "check.md").read_text(encoding="utf-8")


async def test_the_page_does_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await walk("check.md", tmp_path, monkeypatch, {"gr_…": "gr_of_the_page"})
    workflow = yaml.safe_load((tmp_path / ".github" / "workflows" / "check.yml").read_text())
    commands = [step["run"] for step in workflow["jobs"]["check"]["steps"] if "run" in step]
    assert commands[-1].startswith("greenroom check http://127.0.0.1:8000 --junit ")


def test_the_page_names_every_group_of_checks() -> None:
    table = PAGE.partition("| group |")[2].partition("\n\n")[0]
    named = {name for row in table.splitlines() for name in re.findall(r"`(\w+)`", row.split("|")[1])}
    assert named == {check.group for check in CHECKS}


def test_every_id_of_a_check_is_the_contracts() -> None:
    contract = set(re.findall(r"\*\*([A-Z]+-\d+)\*\*", (DOCS / "contract.md").read_text(encoding="utf-8")))
    assert {name for check in CHECKS for name in check.ids} <= contract
