"""What is wrong is said before anything is served, with the exit code 2."""

import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from running_sandbox import AGENT, PATIENCE, run, run_here

from greenroom.cli.agents import load_agents
from greenroom.cli.assembly import assemble
from greenroom.cli.process import CannotStart
from greenroom.cli.settings import Settings
from greenroom.core.memory import MemoryStore

FREE = ("--port", "0", "--grpc-port", "0")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "counting.py").write_text(AGENT, encoding="utf-8")
    return tmp_path


EXPLAINED = {
    "counting:agnet": "counting has no agnet; did you mean agent?",
    "countng:agent": "; did you mean counting?",
    "counting": "say which object of the module it is, for instance counting:agent",
    "suport": "there is no such agent; give support, or module:attribute from the current folder",
    "counting.py:agent": "name the module, not its file: counting:agent",
    "counting:nothing": "counting:nothing is a int; an agent is an Agent or a function that takes a Turn",
    "broken:agent": "broken imports no_such_library, which is not installed",
    "schöp=counting:agent": "'schöp' is no name for an agent; one is of letters, digits, '_', '.' and '-'",
    "failing:agent": "importing failing failed: RuntimeError: not today",
}
ASK = """
import sys
from greenroom.cli.agents import load_agent
from greenroom.cli.process import CannotStart

for name in sys.argv[1:]:
    try:
        load_agent(name)
    except CannotStart as problem:
        print(problem.code, problem)
"""


def test_an_agent_that_cannot_be_had_is_explained(folder: Path) -> None:
    """All in one process, which takes its time to start; the next test sees the command say so."""
    (folder / "broken.py").write_text("import no_such_library", encoding="utf-8")
    (folder / "failing.py").write_text("raise RuntimeError('not today')", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", ASK, *EXPLAINED],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=True,
    )
    told = done.stdout.splitlines()
    assert len(told) == len(EXPLAINED)
    for line, (agent, said) in zip(told, EXPLAINED.items(), strict=True):
        assert line.startswith(f"2 agent {agent}: ")
        assert said in line


@pytest.mark.parametrize(
    ("agents", "given", "said"),
    [
        (["https://h/chat"], {"upstream_reply": "$.a", "upstream_model": "m"}, "--upstream-model is for OpenAI"),
        (["https://h/v1"], {"upstream_tools": "$.a"}, "--request and --tools come with --reply"),
        (["HTTPS://h/chat"], {}, "say where the text stands in what it answers"),
        (["support"], {"upstream_model": "m"}, "is for the agent at https://…, and there is none"),
        (["a=https://h/v1", "b=https://h/v1"], {"upstream_model": "m"}, "is for one agent, and there are several"),
        (["a=support", "a=support"], {}, "two agents have this name"),
    ],
)
def test_what_is_said_of_an_endpoint_fits_it(agents: list[str], given: dict[str, str], said: str) -> None:
    with pytest.raises(CannotStart) as problem:
        load_agents(Settings.model_construct(agent=agents, **given))
    assert said in str(problem.value)


def test_serve_says_the_same_and_ends(folder: Path) -> None:
    done = run(folder, "serve", "counting:agnet", *FREE)
    assert done.returncode == 2
    assert "greenroom: agent counting:agnet: counting has no agnet; did you mean agent?" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (("serve", "--host", "0.0.0.0"), "host (from --host)"),
        (("serve", "--grpc-host", "0.0.0.0"), "grpc_host (from --grpc-host)"),
        (("serve", "--host", "example.org"), "host (from --host)"),
        (("edge", "--host", "::"), "host (from --host)"),
        (("core", "--grpc-host", "10.0.0.1"), "grpc_host (from --grpc-host)"),
    ],
)
def test_without_a_key_nothing_is_opened_to_others(folder: Path, arguments: tuple[str, ...], name: str) -> None:
    done = run_here(folder, *arguments)
    assert done.returncode == 2
    assert done.stderr.startswith(f"greenroom: {name}: {arguments[-1]} can be reached from outside, and no API key")
    assert "greenroom keys create" in done.stderr


def test_a_port_that_is_taken_is_named(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        http = run(folder, "serve", "counting:agent", "--port", port, "--grpc-port", "0")
        grpc = run(folder, "core", "counting:agent", "--grpc-port", port)
    assert (http.returncode, grpc.returncode) == (2, 2)
    assert f"port: cannot listen on 127.0.0.1:{port}: Address already in use" in http.stderr
    assert f"grpc_port: cannot listen on 127.0.0.1:{port}" in grpc.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("serve", "--port", "http"), "port (from --port): input should be a valid integer"),
        (
            ("core", "--grpc-port", "0", "--database", "mysql://x"),
            "database_url: 'mysql' is not a database that Greenroom knows",
        ),
        (("core", "--database", "postgres://x/y"), "begins with postgresql://"),
        (("keys", "create", "a b"), "the name must be 1 to 64"),
        (("keys", "create", "a", "--scope", "chat,admin"), "no scope is called 'admin'; there are chat, inspect, edge"),
        (("sessions", "prune", "--idle", "long"), "--idle: give seconds"),
        (("migrate", "--database", "sqlite:///no/such/folder/x.db"), "does not exist"),
    ],
)
def test_a_wrong_setting_says_what_would_be_right(folder: Path, arguments: tuple[str, ...], said: str) -> None:
    done = (run if arguments[0] == "core" else run_here)(folder, *arguments)
    assert done.returncode in (1, 2)
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"replay": "nowhere.jsonl"}, "replay: there is no cassette .*nowhere.jsonl; record one first"),
        ({"record": "nowhere/talk.jsonl"}, "record: there is no folder for .*talk.jsonl"),
        ({"replay": "counting.py"}, "replay: .*counting.py, line 2, is no recording: "),
        ({"replay_until": 3}, "replay_until: .* give --replay FILE"),
    ],
)
def test_a_cassette_that_cannot_be_used_is_explained(
    folder: Path, monkeypatch: pytest.MonkeyPatch, given: dict[str, Any], said: str
) -> None:
    monkeypatch.chdir(folder)
    with pytest.raises(CannotStart, match=said):
        assemble(Settings(**given), MemoryStore())
