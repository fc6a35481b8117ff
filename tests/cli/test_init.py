"""`greenroom init`: a project that works as it is written."""

import subprocess
import sys
from pathlib import Path

import pytest
from running_sandbox import PATIENCE, environment, run_here

from greenroom.cli.init import enter, module_name

FILES = {
    ".gitignore",
    "Dockerfile",
    "README.md",
    "greenroom.toml",
    "my_shop.py",
    "pyproject.toml",
    "scenarios/already_shipped.yaml",
    "tests/test_my_shop.py",
    "world.yaml",
}


def test_the_project_is_written_and_its_tests_pass(tmp_path: Path) -> None:
    done = run_here(tmp_path, "init", "My Shop!")
    assert (done.returncode, done.stderr) == (0, "")
    folder = tmp_path / "My Shop!"
    assert {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} == FILES
    assert "wrote My Shop!/my_shop.py" in done.stdout.splitlines()
    for name in FILES:
        assert "my_agent" not in (text := (folder / name).read_text(encoding="utf-8")), name
        assert "my-agent" not in text, name
    tests = subprocess.run(
        # neither plugins nor this repository's settings are at hand
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider"],
        cwd=folder,
        env=environment(PYTEST_DISABLE_PLUGIN_AUTOLOAD="1"),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert "3 passed" in tests.stdout, tests.stdout


@pytest.mark.parametrize(
    ("given", "typed"),
    [("my-agent", "cd my-agent; "), ("my agent", "cd 'my agent'; "), ("-v", "cd ./-v; "), (".", ""), ("", "")],
)
def test_the_folder_is_entered_by_what_it_says(given: str, typed: str) -> None:
    assert enter(given) == typed


def test_its_commands_need_no_agent_named(tmp_path: Path) -> None:
    assert run_here(tmp_path, "init", "json").returncode == 0
    folder = tmp_path / "json"
    assert (folder / "json_agent.py").is_file()
    listed = run_here(folder, "tools", "list")
    assert [line.split("\t")[::2][:2] for line in listed.stdout.splitlines()[1:]] == [
        ["get_order", "json_agent"],
        ["cancel_order", "json_agent"],
    ]
    assert run_here(folder, "scenarios", "check").stdout == "1 files, 2 scenarios, 0 mistakes\n"


def test_the_image_holds_what_the_agent_needs(tmp_path: Path) -> None:
    run_here(tmp_path, "init", "my-shop")
    copied = {
        word.rstrip("/")
        for line in (tmp_path / "my-shop" / "Dockerfile").read_text(encoding="utf-8").splitlines()
        if line.startswith("COPY ")
        for word in line.split()[1:-1]
    }
    assert copied == {"greenroom.toml", "my_shop.py", "world.yaml", "scenarios"}


def test_nothing_is_written_over(tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "README.md").write_text("mine", encoding="utf-8")
    done = run_here(tmp_path, "init", "shop")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "greenroom: there is shop/README.md already; nothing was written\n"
    assert [path.name for path in (tmp_path / "shop").iterdir()] == ["README.md"]
    done = run_here(tmp_path, "init", "shop/README.md")
    assert done.stderr == "greenroom: cannot write shop/README.md: File exists\n"


def test_the_current_folder_can_become_the_project(tmp_path: Path) -> None:
    folder = tmp_path / "corner-shop"
    folder.mkdir()
    (folder / "LICENSE").write_text("mine", encoding="utf-8")
    assert run_here(folder, "init", ".").returncode == 0
    assert (folder / "corner_shop.py").is_file()


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("my-shop", "my_shop"),
        ("2nd", "agent_2nd"),
        ("class", "class_agent"),
        ("email", "email_agent"),
        ("greenroom", "greenroom_agent"),
        ("tests", "tests_agent"),
    ],
)
def test_its_module_can_be_imported_and_hides_no_other(name: str, module: str) -> None:
    assert module_name(name) == module
