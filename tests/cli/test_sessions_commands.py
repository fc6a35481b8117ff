import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from running_sandbox import Sandbox, run_here

SERVE = ("serve", "counting:agent", "--port", "0", "--grpc-port", "0")


@dataclass(frozen=True)
class Stored:
    """Three turns in two sessions, of a server that is gone, and what was seen while it ran."""

    folder: Path
    listed: "CompletedProcess[str]"
    """After the first turn."""
    said: str
    """By the second one."""
    pruned: "CompletedProcess[str]"


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Stored:
    folder = tmp_path_factory.mktemp("stored")
    with Sandbox(folder, *SERVE) as sandbox:
        sandbox.said("hello", "first")
        listed = run_here(folder, "sessions", "list", "--json")
        said = sandbox.said("an\x1b[31mother", "first")
        sandbox.said("hi", "second")
        pruned = run_here(folder, "sessions", "prune", "--idle", "1d")
        sandbox.stop()
    return Stored(folder, listed, said, pruned)


@pytest.fixture
def folder(stored: Stored) -> Path:
    return stored.folder


def test_sessions_can_be_read_beside_a_running_server(stored: Stored) -> None:
    assert json.loads(stored.listed.stdout)["session_id"] == "first"
    assert stored.said == "2"
    assert stored.pruned.returncode == 1
    assert "in use by another process" in stored.pruned.stderr


def test_a_list_is_plain_lines_off_a_terminal(folder: Path) -> None:
    lines = [line.split("\t") for line in run_here(folder, "sessions", "list").stdout.splitlines()]
    assert lines[0] == ["session", "user", "turns", "agent", "updated"]
    assert [line[:4] for line in lines[1:]] == [
        ["second", "-", "1", "counting:agent"],
        ["first", "-", "2", "counting:agent"],
    ]
    assert len(run_here(folder, "sessions", "list", "--limit", "1").stdout.splitlines()) == 2


def test_a_session_is_shown_as_it_was_held(folder: Path) -> None:
    shown = run_here(folder, "sessions", "show", "first").stdout
    assert "user: hello" in shown
    assert "count({}) -> 1" in shown
    assert "counters/n: 0 -> 1" in shown
    assert "assistant: 2" in shown
    # what a user wrote does not steer the terminal
    assert "\x1b" not in shown


def test_an_export_holds_whole_sessions(folder: Path) -> None:
    sessions = [json.loads(line) for line in run_here(folder, "sessions", "export").stdout.splitlines()]
    assert [session["session_id"] for session in sessions] == ["second", "first"]
    second_turn = sessions[1]["turns"][1]
    assert (second_turn["number"], second_turn["parent"], second_turn["superseded"]) == (2, 1, False)
    assert second_turn["messages"] == [{"role": "user", "content": "an\x1b[31mother"}]
    (call,) = second_turn["tool_calls"]
    assert (call["name"], call["arguments"], call["result"], call["ok"]) == ("count", {}, 2, True)
    (one,) = run_here(folder, "sessions", "export", "first").stdout.splitlines()
    assert json.loads(one) == sessions[1]


def test_what_is_not_there_is_said(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    done = run_here(folder, "sessions", "show", "third")
    assert (done.returncode, done.stderr) == (1, "greenroom: there is no session third\n")
    empty = run_here(tmp_path_factory.mktemp("empty"), "sessions", "list")
    assert empty.returncode == 1
    assert "does not exist" in empty.stderr


def test_old_sessions_are_pruned(folder: Path, tmp_path: Path) -> None:
    shutil.copy(folder / "greenroom.db", tmp_path)
    assert run_here(tmp_path, "sessions", "prune", "--idle", "1d").stdout == "deleted 0 sessions\n"
    assert run_here(tmp_path, "sessions", "prune", "--idle", "1ms").stdout == "deleted 2 sessions\n"
    assert run_here(tmp_path, "sessions", "list", "--json").stdout == ""


def test_a_database_is_migrated_ahead_of_its_first_server(tmp_path: Path) -> None:
    done = run_here(tmp_path, "migrate")
    assert (done.returncode, done.stdout) == (0, "the database's schema is up to date\n")
    assert run_here(tmp_path, "sessions", "list", "--json").returncode == 0
