"""A real `greenroom …` in a folder of its own: started, awaited, asked, stopped. Every wait is bounded."""

import contextlib
import io
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx2
import psutil
import pytest

from greenroom.cli.main import main

PATIENCE = 30.0
"""Seconds; for a machine that is busy with other tests."""

AGENT = '''
import os
from greenroom.sdk import Agent, Reply, Turn, World, tool

@tool
def count(world: World) -> int:
    """Counts up."""
    world["counters"]["n"] = world["counters"]["n"] + 1
    return world["counters"]["n"]

agent = Agent("counter", tools=[count], world={"counters": {"n": 0}})

@agent.reply
async def reply(turn: Turn) -> Reply:
    """Counts."""
    if turn.text == "crash":
        os._exit(3)
    return Reply(f"{await turn.call(count)}")

def waits(turn: Turn) -> str:
    """Answers when the test says so: reading a pipe blocks until somebody writes."""
    if turn.text == "wait":
        open("waiting", "w").close()
        open("pipe").read()
    return f"done {turn.text}"

nothing = 3
'''


def environment(**settings: str) -> dict[str, str]:
    """This process's, without settings of ours but these."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GREENROOM_") and name != "PORT"}
    return {**kept, **settings}


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "greenroom.cli", *arguments]


def run(folder: Path, *arguments: str, **settings: str) -> "subprocess.CompletedProcess[str]":
    """A command that ends by itself."""
    return subprocess.run(
        command(*arguments),
        cwd=folder,
        env=environment(**settings),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        stdin=subprocess.DEVNULL,
        check=False,
    )


def run_here(folder: Path, *arguments: str, **settings: str) -> "subprocess.CompletedProcess[str]":
    """The same in this process, for a command that serves nothing: a process takes a second to start."""
    modules, path = set(sys.modules), list(sys.path)
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["greenroom", *arguments])
        for name in os.environ.keys() - environment().keys():
            patch.delenv(name)
        for name, value in settings.items():
            patch.setenv(name, value)
        try:
            main()
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
        finally:
            sys.path[:] = path
            for name in set(sys.modules) - modules:
                if str(getattr(sys.modules[name], "__file__", "")).startswith(str(folder)):
                    del sys.modules[name]
    said, complained = (file.buffer.getvalue().decode() for file in (out, err))
    return subprocess.CompletedProcess(list(arguments), code, said, complained)


class Sandbox:
    """A server process from `start` to `stop`; `addresses` is what it said it listens on."""

    def __init__(self, folder: Path, *arguments: str, **settings: str) -> None:
        self.folder = folder
        self._arguments = arguments
        self.settings = settings
        self.addresses: Mapping[str, str] = {}

    def __enter__(self) -> "Sandbox":
        (self.folder / "counting.py").write_text(AGENT, encoding="utf-8")
        self._log = (self.folder / "log").open("ab")
        self.process = subprocess.Popen(
            command(*self._arguments),
            cwd=self.folder,
            env=environment(**self.settings),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._log,
        )
        line = self._first_line()
        assert " ready " in line, f"{line!r} {self.log()}"
        self.addresses = dict(part.split("=", 1) for part in line.split() if "=" in part)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        children = self.children() if self.process.poll() is None else []
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(PATIENCE)
        for child in psutil.wait_procs(children, PATIENCE)[1]:
            child.kill()
        assert self.process.stdout is not None
        self.process.stdout.close()
        self._log.close()

    def _first_line(self) -> str:
        assert self.process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            assert selector.select(PATIENCE), f"said nothing: {self.log()}"
        return self.process.stdout.readline().decode()

    @property
    def http(self) -> str:
        return self.addresses["http"]

    def log(self) -> str:
        return (self.folder / "log").read_text(encoding="utf-8")

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children()

    def child(self, role: str) -> psutil.Process:
        return next(child for child in self.children() if role in child.cmdline())

    def chat(self, text: str, session: str = "s1", **options: Any) -> httpx2.Response:
        """One turn; the answer, whatever it is."""
        body = {"messages": [{"role": "user", "content": text}], "session_id": session}
        return httpx2.post(f"{self.http}/v1/chat/completions", json=body, timeout=PATIENCE, **options)

    def said(self, text: str, session: str = "s1") -> str:
        """One turn; what the agent said."""
        answer = self.chat(text, session)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["choices"][0]["message"]["content"])

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """The exit code."""
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)


def until(condition: Callable[[], bool]) -> None:
    """Asks, with a little pause between: the server that is looked at needs the machine too."""
    begun = time.monotonic()
    while not condition():
        assert time.monotonic() - begun < PATIENCE
        time.sleep(0.02)


def until_gone(processes: list[psutil.Process]) -> None:
    _, alive = psutil.wait_procs(processes, PATIENCE)
    assert alive == []
