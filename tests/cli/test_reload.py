"""`greenroom serve --reload`: what is written counts, and what is stored stays."""

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import pytest
from running_sandbox import PATIENCE, Sandbox

from greenroom.cli.settings import Settings
from greenroom.cli.watch import Changes, Watch

AGENT = '''
from greenroom.sdk import Agent, Reply, Turn, World, tool

@tool
def count(world: World) -> int:
    """Counts up."""
    world["counters"]["n"] = world["counters"]["n"] + 1
    return world["counters"]["n"]

agent = Agent("counter", tools=[count], world={"counters": {"n": 0}})

@agent.reply
def reply(turn: Turn) -> str:
    if turn.text == "wait":
        open("waiting", "w").close()
        open("pipe").read()
    return f"first {turn.call_sync(count)}"
'''


def eventually(check: Callable[[], bool], sandbox: Sandbox) -> None:
    end = time.monotonic() + PATIENCE
    while not check():
        assert time.monotonic() < end, sandbox.log()
        time.sleep(0.05)


def answers(sandbox: Sandbox, beginning: str) -> Callable[[], bool]:
    """Whether a session of its own is answered so by now; 503 while the agent is started again."""

    def check() -> bool:
        answer = sandbox.chat("hello", session=f"probe-{time.monotonic_ns()}")
        assert answer.status_code in (200, 503), answer.text
        return answer.status_code == 200 and answer.json()["choices"][0]["message"]["content"].startswith(beginning)

    return check


def test_a_change_counts_for_the_next_turn_and_a_mistake_waits_for_its_mending(tmp_path: Path) -> None:
    file, pipe = tmp_path / "shop.py", tmp_path / "pipe"
    file.write_text(AGENT, encoding="utf-8")
    os.mkfifo(pipe)
    (tmp_path / "scenarios").mkdir()
    serve = ("serve", "shop:agent", "--reload", "--port", "0", "--grpc-port", "0", "--log-format", "console")
    with Sandbox(tmp_path, *serve) as sandbox, ThreadPoolExecutor(1) as aside:
        assert sandbox.said("hello", session="kept") == "first 1"
        core = sandbox.child("core").pid

        (tmp_path / "scenarios" / "ten.yaml").write_text("id: ten\npatch: {counters: {n: 10}}\n", encoding="utf-8")
        eventually(lambda: "1 scenarios loaded" in sandbox.log() or "2 scenarios loaded" in sandbox.log(), sandbox)
        assert sandbox.child("core").pid == core

        in_flight = aside.submit(sandbox.said, "wait", "in flight")
        eventually((tmp_path / "waiting").exists, sandbox)
        file.write_text(AGENT.replace("first", "second"), encoding="utf-8")
        eventually(lambda: "shop.py has changed" in sandbox.log(), sandbox)
        pipe.write_text("go on", encoding="utf-8")
        assert in_flight.result(PATIENCE) == "first 1"
        eventually(answers(sandbox, "second 1"), sandbox)
        assert sandbox.said("hello", session="kept") == "second 2"

        file.write_text(AGENT.replace("def reply(turn", "def reply(turn("), encoding="utf-8")
        eventually(lambda: "it waits for a change of a file" in sandbox.log(), sandbox)
        answer = sandbox.chat("hello", session="kept")  # it need not wait for the mending
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "agent_not_loaded")
        assert answer.json()["error"]["message"].endswith(
            " (shop.py, line 13). It is started again when a file changes."
        )
        assert "shop:agent: importing shop failed: SyntaxError: " in answer.json()["error"]["message"]
        assert httpx2.get(f"{sandbox.http}/health").json()["status"] == "unhealthy"
        file.write_text(AGENT.replace("first", "third"), encoding="utf-8")
        eventually(answers(sandbox, "third 1"), sandbox)
        assert sandbox.said("hello", session="kept") == "third 3"
        assert sandbox.stop() == 0


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("scenarios/late.yaml", "shop.py", "greenroom.toml", ".venv/x.py", "env/pyvenv.cfg", "env/y.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("", encoding="utf-8")
    return tmp_path


def seen(folder: Path, *names: str) -> Changes | None:
    watch = Watch(Settings(agent=("shop:agent", "other=../elsewhere.toml"), record=Path("tape.json")))
    for name in names:
        with (folder / name).open("a", encoding="utf-8") as file:
            file.write("#")
    return watch.changes()


def test_what_has_changed_is_told_by_what_is_to_be_done_about_it(folder: Path) -> None:
    (folder.parent / "elsewhere.toml").write_text("", encoding="utf-8")
    names = ("scenarios/late.yaml", "shop.py", "greenroom.toml", "world.json", "../elsewhere.toml")
    found = seen(folder, *names)
    assert found is not None
    assert [path.name for path in found.scenarios] == ["late.yaml"]
    assert [path.name for path in found.settings] == ["greenroom.toml"]
    assert {path.name for path in found.others} == {"shop.py", "world.json", "elsewhere.toml"}


def test_environments_databases_and_recordings_are_left_out(folder: Path) -> None:
    assert seen(folder, ".venv/x.py", "env/y.py", "greenroom.db", "tape.json") is None


def test_a_file_that_is_gone_has_changed(folder: Path) -> None:
    watch = Watch(Settings())
    (folder / "shop.py").unlink()
    found = watch.changes()
    assert found is not None
    assert [path.name for path in found.others] == ["shop.py"]
    assert watch.changes() is None
