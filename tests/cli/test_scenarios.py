"""Scenario files under a running server, and on the command line (USER-06)."""

import json
import os
import pty
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import psutil
import pytest
from running_sandbox import AGENT, PATIENCE, Sandbox, command, environment, run, run_here, until, until_gone

SERVE = ("serve", "counting:agent", "--port", "0", "--grpc-port", "0")
ONLY = ("--agent", "counting:agent")
REFUND = """
id: late_refund
title: Counting fails until the second try
extends: default
patch: {counters: {n: 5}}
user: {profile: {name: Ann}}
instructions: Morning rush.
tools:
  count:
    - when: {call: 1}
      error: {code: unavailable, message: Nobody counts.}
    - when: {call: 2}
      delay: 1500ms
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With an agent in it, and a folder for scenarios."""
    (tmp_path / "counting.py").write_text(AGENT, encoding="utf-8")
    (tmp_path / "scenarios").mkdir()
    return tmp_path


def returning(number: int, id: str = "fixed") -> str:
    return f"id: {id}\ntools:\n  count:\n    - return: {number}\n"


def asked(sandbox: Sandbox, session: str, scenario: str = "fixed") -> httpx2.Response:
    body = {
        "messages": [{"role": "user", "content": "hello"}],
        "session_id": session,
        "metadata": {"scenario_id": scenario},
    }
    return httpx2.post(f"{sandbox.http}/v1/chat/completions", json=body, timeout=PATIENCE)


def said(sandbox: Sandbox, session: str, scenario: str = "fixed") -> str:
    answer = asked(sandbox, session, scenario)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["choices"][0]["message"]["content"])


def loads(sandbox: Sandbox) -> int:
    """How often scenarios have been loaded."""
    return sandbox.log().count("scenarios loaded from")


def events(sandbox: Sandbox) -> list[str]:
    return [json.loads(line)["event"] for line in sandbox.log().splitlines()]


def test_scenarios_are_read_at_start_and_on_sighup_while_open_sessions_keep_theirs(folder: Path) -> None:
    file = folder / "scenarios" / "fixed.yaml"
    file.write_text(returning(41))
    with Sandbox(folder, *SERVE) as sandbox:
        assert said(sandbox, "old") == "41"
        assert asked(sandbox, "old").json()["metadata"]["scenario"] == {
            "id": "fixed",
            "requested": "fixed",
            "found": True,
        }
        file.write_text(returning(42))
        sandbox.process.send_signal(signal.SIGHUP)
        until(lambda: loads(sandbox) == 2)
        assert (said(sandbox, "new"), said(sandbox, "old")) == ("42", "41")
        core = sandbox.child("core")
        core.kill()
        until_gone([core])
        file.write_text(returning(43))
        sandbox.process.send_signal(signal.SIGHUP)  # the new core is not up yet
        until(lambda: said(sandbox, f"newest{time.monotonic_ns()}") == "43")
        assert (said(sandbox, "new"), said(sandbox, "old")) == ("42", "41")
        assert sandbox.stop() == 0
    with Sandbox(folder, *SERVE) as sandbox:
        assert (said(sandbox, "newer"), said(sandbox, "new"), said(sandbox, "old")) == ("43", "42", "41")


def test_a_core_alone_reads_them_again_too(folder: Path) -> None:
    (folder / "mine").mkdir()
    with Sandbox(folder, "core", "counting:agent", "--grpc-port", "0", "--scenarios", "mine") as core:
        assert loads(core) == 0
        (folder / "mine" / "a.yaml").write_text(returning(41))
        core.process.send_signal(signal.SIGHUP)
        until(lambda: loads(core) == 1)
        assert "2 scenarios loaded from 1 files, with 0 mistakes" in events(core)
        assert core.stop() == 0


def test_of_several_agents_each_has_its_scenarios(folder: Path) -> None:
    (folder / "scenarios" / "ours.yaml").write_text("id: both\n")
    (folder / "scenarios" / "counts.yaml").write_text(f"agent: counting:agent\n{returning(41)}")
    (folder / "scenarios" / "other.yaml").write_text("id: fixed\nagent: suport\n")
    with Sandbox(folder, "serve", "support", "counting:agent", *SERVE[2:]) as sandbox:
        assert sandbox.addresses["agent"] == "support,counting:agent"
        models = httpx2.get(f"{sandbox.http}/v1/models").json()["data"]
        assert [model["id"] for model in models] == ["support", "counting:agent"]
        for model, scenario, found in [
            ("support", "both", True),
            ("counting:agent", "both", True),
            ("counting:agent", "fixed", True),
            ("support", "fixed", False),
        ]:
            body = {
                "messages": [{"role": "user", "content": "hi"}],
                "model": model,
                "metadata": {"scenario_id": scenario},
            }
            answer = httpx2.post(f"{sandbox.http}/v1/chat/completions", json=body, timeout=PATIENCE).json()
            assert (answer["model"], answer["metadata"]["scenario"]["found"]) == (model, found)
        assert "agent counting:agent, 3 scenarios loaded from 2 files, with 0 mistakes" in events(sandbox)
        assert "scenario: scenarios/other.yaml:2: agent: no agent suport is served; did you mean support?" in events(
            sandbox
        )
        (folder / "scenarios" / "new.yaml").write_text(f"agent: counting:agent\n{returning(42, 'new')}")
        sandbox.process.send_signal(signal.SIGHUP)
        until(lambda: "agent counting:agent, 4 scenarios loaded from 3 files, with 0 mistakes" in events(sandbox))


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """With a file that is right, and one with mistakes."""
    folder = tmp_path_factory.mktemp("strict")
    (folder / "scenarios").mkdir()
    (folder / "scenarios" / "good.yaml").write_text(returning(41))
    (folder / "scenarios" / "bad.yaml").write_text("id: bad\ntools:\n  cuont:\n    - timeuot: true\n")
    with Sandbox(folder, *SERVE, "--scenarios-strict") as sandbox:
        yield sandbox


def test_mistakes_are_told_in_the_log_and_the_rest_is_served(strict: Sandbox) -> None:
    assert httpx2.get(f"{strict.http}/health").json()["status"] == "healthy"
    assert said(strict, "s1") == "41"
    assert asked(strict, "s2", "bad").status_code == 400
    assert [event for event in events(strict) if event.startswith("scenario: ")] == [
        "scenario: scenarios/bad.yaml:3: tools.cuont: the agent has no such tool; did you mean count?",
        "scenario: scenarios/bad.yaml:4: tools.cuont[0].timeuot: there is no such key; did you mean timeout?",
    ]
    assert "2 scenarios loaded from 2 files, with 2 mistakes" in events(strict)


def test_where_it_is_strict_an_unknown_id_is_400_with_the_nearest(strict: Sandbox) -> None:
    answer = asked(strict, "s3", "fixd")
    assert answer.status_code == 400
    assert answer.json()["error"] == {
        "message": "metadata.scenario_id: there is no scenario 'fixd'; did you mean fixed?",
        "type": "invalid_request_error",
        "code": "bad_request",
        "param": "metadata.scenario_id",
        "request_id": answer.headers["x-request-id"],
    }
    assert said(strict, "s3") == "41"


def test_a_server_ends_with_its_terminal(folder: Path) -> None:
    (folder / "scenarios" / "good.yaml").write_text(returning(41))
    ours, theirs = pty.openpty()
    log = folder / "log"
    with log.open("wb") as stderr:
        process = subprocess.Popen(
            command(*SERVE), cwd=folder, env=environment(), stdin=theirs, stdout=subprocess.PIPE, stderr=stderr
        )
    os.close(theirs)
    assert process.stdout is not None
    assert b" ready " in process.stdout.readline()
    children = psutil.Process(process.pid).children()
    process.send_signal(signal.SIGHUP)
    until(lambda: log.read_text().count("scenarios loaded from") == 2)
    os.close(ours)
    process.send_signal(signal.SIGHUP)
    assert process.wait(PATIENCE) == 0
    until_gone(children)
    process.stdout.close()


def test_a_folder_that_is_not_there_is_a_wrong_setting(folder: Path) -> None:
    refused = run(folder, *SERVE, "--scenarios", "scenarois")
    assert (refused.returncode, refused.stderr) == (
        2,
        "greenroom: scenarios_dir (from --scenarios): there is no such folder, not 'scenarois'\n",
    )


def test_check_tells_every_mistake_and_says_so_with_its_exit_code(folder: Path) -> None:
    (folder / "scenarios" / "good.yaml").write_text(REFUND)
    fine = run_here(folder, "scenarios", "check", *ONLY)
    assert (fine.returncode, fine.stdout) == (0, "1 files, 2 scenarios, 0 mistakes\n")
    (folder / "scenarios" / "bad.yaml").write_text("id: bad\ntitel: x\nextends: late_refnd\n")
    bad = run_here(folder, "scenarios", "check", *ONLY)
    assert (bad.returncode, bad.stdout.splitlines()) == (
        1,
        [
            "scenarios/bad.yaml:2: titel: there is no such key; did you mean title?",
            "scenarios/bad.yaml:3: extends: there is no scenario late_refnd; did you mean late_refund?",
            "2 files, 2 scenarios, 2 mistakes",
        ],
    )
    as_json = run_here(folder, "scenarios", "check", "scenarios", *ONLY, "--json")
    assert (as_json.returncode, json.loads(as_json.stdout)) == (
        1,
        {
            "files": 2,
            "scenarios": ["default", "late_refund"],
            "mistakes": [
                {
                    "file": "scenarios/bad.yaml",
                    "line": 2,
                    "path": "titel",
                    "message": "there is no such key; did you mean title?",
                },
                {
                    "file": "scenarios/bad.yaml",
                    "line": 3,
                    "path": "extends",
                    "message": "there is no scenario late_refnd; did you mean late_refund?",
                },
            ],
        },
    )


def test_check_knows_the_tools_of_the_agent_that_is_named(folder: Path) -> None:
    (folder / "scenarios" / "good.yaml").write_text(REFUND)
    for told in (run_here(folder, "scenarios", "check"), run_here(folder, "scenarios", "check", "--agent", "support")):
        assert told.returncode == 1
        assert "tools.count: the agent has no such tool; its tools: order_lookup, " in told.stdout
    assert run_here(folder, "scenarios", "check", GREENROOM_AGENT="counting:agent").returncode == 0
    assert run_here(folder, "scenarios", "check", "--agent", "counting:nobody").returncode == 2


def test_check_refuses_a_folder_that_is_not_there(folder: Path) -> None:
    refused = run_here(folder, "scenarios", "check", "scenarois", *ONLY)
    assert (refused.returncode, "there is no such folder" in refused.stderr) == (2, True)


def test_a_list_is_plain_lines_off_a_terminal(folder: Path) -> None:
    (folder / "scenarios" / "good.yaml").write_text(REFUND)
    lines = [line.split("\t") for line in run_here(folder, "scenarios", "list", *ONLY).stdout.splitlines()]
    assert lines == [
        ["id", "title", "extends", "scripts", "file"],
        ["default", "-", "-", "-", "-"],
        ["late_refund", "Counting fails until the second try", "-", "count", "scenarios/good.yaml"],
    ]
    as_json = run_here(folder, "scenarios", "list", *ONLY, "--json").stdout.splitlines()
    assert [json.loads(line)["id"] for line in as_json] == ["default", "late_refund"]


def test_show_tells_where_each_part_comes_from(folder: Path) -> None:
    (folder / "scenarios" / "a.yaml").write_text(REFUND)
    (folder / "scenarios" / "b.yaml").write_text(
        "id: later\nextends: late_refund\nclock: {start: 2025-01-01T00:00:00Z}\n"
    )
    shown = run_here(folder, "scenarios", "show", "later", *ONLY)
    assert shown.returncode == 0, shown.stderr
    lines = [line.split(maxsplit=1) for line in shown.stdout.splitlines()]
    world = dict(lines[:3] + lines[4:])
    assert world == {
        "id": "later",
        "title": "-",
        "file": "scenarios/b.yaml",
        "world": world["world"],
        "clock": "2025-01-01T00:00:00+00:00, +60s a turn, +1s a call  [later]",
        "user.profile.name": '"Ann"  [late_refund]',
        "instructions": '"Morning rush."  [late_refund]',
        "tools.count[0]": "call 1: fails with unavailable: Nobody counts.  [late_refund]",
        "tools.count[1]": "call 2: waits 1.5s, then the real tool  [late_refund]",
    }
    assert world["world"].startswith("counters: 1 (sha256 ")
    assert world["world"].endswith("…)  [the agent's + patch of late_refund]")
    assert shown.stdout.splitlines()[3].split(maxsplit=2) == ["stands", "on", "late_refund"]


def test_show_as_json_holds_all_of_it(folder: Path) -> None:
    (folder / "scenarios" / "a.yaml").write_text(REFUND)
    document = json.loads(run_here(folder, "scenarios", "show", "late_refund", *ONLY, "--json").stdout)
    assert document["world"] == {"counters": {"n": 5}}
    assert document["from"]["tools.count"] == "late_refund"
    assert [rule["by"] for rule in document["tools"]["count"]] == [
        "late_refund: tools.count[0]",
        "late_refund: tools.count[1]",
    ]


def test_show_names_the_nearest_to_one_that_there_is_not(folder: Path) -> None:
    (folder / "scenarios" / "a.yaml").write_text(REFUND)
    missing = run_here(folder, "scenarios", "show", "late_refnd", *ONLY)
    assert (missing.returncode, missing.stderr) == (
        1,
        "greenroom: there is no scenario late_refnd; did you mean late_refund?\n",
    )
