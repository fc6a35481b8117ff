"""The manifest against docs/contract.md and the tests, in both directions; the published bodies against their source."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from manifest import CONTRACT

ROOT = Path(__file__).parents[2]
TESTS = ROOT / "tests"
EXAMPLES = Path(__file__).parent / "examples"
SHARED = ROOT.parent / "shared" / "spec"
ID = re.compile(r"\b(?:CHAT|STREAM|HEALTH|USER|SESSION|ERR|SEC|GRPC)-\d\d\b")
ENTRY = re.compile(r"^- \*\*([A-Z]+-\d\d)\*\*", re.MULTILINE)


def test_every_id_of_the_contract_has_an_entry_and_every_entry_an_id() -> None:
    ids = ENTRY.findall((ROOT / "docs" / "contract.md").read_text(encoding="utf-8"))
    assert len(ids) == len(set(ids))
    assert set(CONTRACT) == set(ids)


def test_every_entry_is_proved_or_says_what_it_waits_for() -> None:
    assert not [name for name, entry in CONTRACT.items() if not entry.tests and not entry.waits_for]


def functions_in(module: Path) -> set[str]:
    tree = ast.parse(module.read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_every_test_that_is_named_exists() -> None:
    named = sorted({test for entry in CONTRACT.values() for test in entry.tests})
    missing = []
    for test in named:
        module, _, function = test.partition("::")
        file = TESTS / f"{module}.py"
        if not function.startswith("test_") or not file.is_file() or function not in functions_in(file):
            missing.append(test)
    assert not missing


def test_no_test_speaks_of_an_id_that_the_contract_does_not_have() -> None:
    unknown = {
        (file.relative_to(ROOT).as_posix(), name)
        for file in TESTS.rglob("*.py")
        for name in ID.findall(file.read_text(encoding="utf-8"))
        if name not in CONTRACT
    }
    assert not unknown


def test_the_published_bodies_are_those_of_their_source() -> None:
    source, contract = SHARED / "examples", ROOT / "docs" / "contract.md"
    if not source.is_dir() or (SHARED / "contract.md").read_bytes() != contract.read_bytes():
        pytest.skip("the shared specification is not here, or another one than docs/contract.md")
    theirs = {file.name: file.read_bytes() for file in source.iterdir()}
    assert {file.name: file.read_bytes() for file in EXAMPLES.iterdir()} == theirs


def test_the_contracts_are_generated_linted_and_checked_for_breaking_changes() -> None:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    checked = subprocess.run(
        [str(ROOT / ".ci" / "proto"), "check"],
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
