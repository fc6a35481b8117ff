"""What the repository promises about its own files."""

import ast
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOTS = ("proto", "core", "tools", "agents", "storage", "edge", "rehearsal", "cli")
UNTELLING = {"utils", "helpers", "common", "misc", "manager", "base"}


def listed(*patterns: str) -> list[Path]:
    """The repository's own files, new ones included; a source distribution without git has them all."""
    try:
        found = subprocess.run(
            ["git", "ls-files", "-co", "--exclude-standard", *patterns],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return [path for pattern in patterns for path in ROOT.rglob(pattern) if ".venv" not in path.parts]
    return [path for name in found.stdout.splitlines() if (path := ROOT / name).is_file()]


def written_by_hand() -> list[Path]:
    return [path for path in listed("*.py") if "_pb2" not in path.name]


def test_no_file_is_longer_than_its_ceiling() -> None:
    over = {}
    for path in written_by_hand():
        relative = path.relative_to(ROOT)
        ceiling = 800 if relative.parts[0] in ("tests", "bench") else 400
        lines = path.read_text(encoding="utf-8").count("\n")
        if lines > ceiling:
            over[str(relative)] = f"{lines} lines, ceiling {ceiling}"
    assert over == {}


def test_no_function_is_longer_than_sixty_lines() -> None:
    over = {}
    for path in written_by_hand():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                if length > 60:
                    over[f"{path.relative_to(ROOT)}:{node.lineno}"] = f"{node.name} has {length} lines"
    assert over == {}


def test_modules_have_telling_names() -> None:
    assert [str(path.relative_to(ROOT)) for path in written_by_hand() if path.stem in UNTELLING] == []


@pytest.mark.parametrize("root", ROOTS)
def test_no_source_root_hides_the_others(root: str) -> None:
    assert not (ROOT / root / "greenroom" / "__init__.py").exists()


def test_every_source_root_is_built_checked_and_linted() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    tools = project["tool"]
    found = sorted(path.parent.name for path in ROOT.glob("*/greenroom") if path.is_dir() and any(path.rglob("*.py")))
    wheel = tools["hatch"]["build"]["targets"]["wheel"]
    assert set(found) <= set(tools["hatch"]["build"]["dev-mode-dirs"])
    assert set(found) <= set(wheel["sources"])
    assert {f"{root}/greenroom" for root in found} <= set(wheel["only-include"])
    assert set(found) <= set(tools["mypy"]["mypy_path"])
    assert set(found) <= set(tools["basedpyright"]["include"])
    packages = {f"greenroom.{path.name}" for path in ROOT.glob("*/greenroom/*") if any(path.glob("*.py"))}
    assert packages <= set(tools["importlinter"]["root_packages"])


def test_constraints_are_names_and_versions_and_cover_every_requirement_of_the_tests() -> None:
    """Not the extras that the tests do without: frameworks that may not even be installed together."""
    pinned = {}
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            name, separator, version = line.partition("==")
            assert separator == "=="
            assert version.replace(".", "").isalnum(), line
            pinned[name.lower().replace("_", "-")] = version
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    [own] = [line for line in extras["dev"] if line.startswith("greenroom[")]
    wanted = [*project["dependencies"], *extras["dev"]]
    for extra in own.removeprefix("greenroom[").removesuffix("]").split(","):
        wanted += extras[extra]
    names = {requirement_name(line) for line in wanted} - {"greenroom"}
    assert names - pinned.keys() == set()


def requirement_name(requirement: str) -> str:
    name = requirement
    for mark in "[<>=!;~ ":
        name = name.split(mark)[0]
    return name.lower().replace("_", "-")


def test_the_makefile_explains_every_target_it_promises() -> None:
    shown = subprocess.run(
        ["make", "--no-print-directory"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    for target in [
        "help",
        "install",
        "serve",
        "test",
        "check",
        "proto",
        "bench",
        "soak",
        "interop",
        "up",
        "down",
        "clean",
    ]:
        assert f" {target} " in shown.replace("\x1b[1m", " ").replace("\x1b[0m", " "), target
