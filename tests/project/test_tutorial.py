"""docs/tutorial.md, done as a newcomer does it: every command, in order, with what it shows.

The commands that serve nothing run in this process, the server and pytest in processes of their own."""

import contextlib
import fnmatch
import io
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx2
import pytest
from running_sandbox import PATIENCE, Sandbox, environment, run_here
from walked_page import DOCS, agrees

PAGE = (DOCS / "tutorial.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(\w+)(?: ([^\n`]+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
HERE = "http://127.0.0.1:8000"


class Newcomer:
    """Where somebody is on the page."""

    def __init__(self, folder: Path, served: contextlib.ExitStack, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self._served = served
        self._monkeypatch = monkeypatch
        self._settings: dict[str, str] = {}
        self._sandbox: Sandbox | None = None
        self.shown: Any = None
        """What the last command has shown."""
        self.compared = 0

    def do(self, block: str) -> None:
        for line in re.split(r"\n(?=[a-zA-Z.])", block.strip()):
            self._command(line)

    def _command(self, line: str) -> None:
        if assigned := re.fullmatch(r"export (\w+)=\$\((.+)\)", line):
            value = self._shell(assigned[2]).strip()
            self._settings[assigned[1]] = value
            return
        line, _, into = line.partition(" > ") if " > " in line else (line, "", "")
        match shlex.split(line):
            case ["python", "-m", "venv", *_] | [".", *_] | ["pip", "install", *_]:
                pass
            case ["cd", name]:
                self.folder = self.folder / name
            case ["rm", name]:
                (self.folder / name).unlink()
            case ["python", "-m", "pytest"]:
                self.shown = self._pytest()
            case ["greenroom", "serve", *arguments]:
                free = ("--port", "0", "--grpc-port", "0")
                self._sandbox = self._served.enter_context(
                    Sandbox(self.folder, "serve", *arguments, *free, **self._settings)
                )
            case ["printf", said, "|", "greenroom", *arguments]:
                self.shown = self._greenroom(arguments, said.replace("\\n", "\n"))
            case ["greenroom", "check", *arguments]:
                fewer = ("--sessions", "5", "--rate", "20", "--duration", "0.5")
                self.shown = self._greenroom(["check", *arguments, *fewer])
            case ["greenroom", *arguments]:
                self.shown = self._greenroom(arguments)
            case ["curl", *arguments]:
                self.shown = self._curl(arguments)
            case _:
                raise AssertionError(f"the page says {line!r}, which nobody can do here")
        if into:
            (self.folder / into).write_text(self.shown, encoding="utf-8")

    def _greenroom(self, arguments: list[str], said: str = "") -> str:
        assert self._sandbox is None or arguments[0] in ("sessions", "check")
        stdin = io.TextIOWrapper(io.BytesIO(said.encode()), encoding="utf-8")
        with self._monkeypatch.context() as patch:
            patch.setattr(sys, "stdin", stdin)
            done = run_here(self.folder, *[self._there(word) for word in arguments], **self._settings)
        assert done.returncode == 0, done
        return done.stdout + done.stderr

    def _pytest(self) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
            cwd=self.folder,
            env=environment(PYTEST_DISABLE_PLUGIN_AUTOLOAD="1"),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout.splitlines()[-1]

    def _shell(self, command: str) -> str:
        """What the system's own commands say."""
        return subprocess.run(
            ["sh", "-c", command], cwd=self.folder, capture_output=True, text=True, check=True, env=dict(os.environ)
        ).stdout

    def _curl(self, arguments: list[str]) -> Any:
        url, headers, body = "", {}, ""
        words = iter(arguments)
        for word in words:
            match word:
                case "-s":
                    pass
                case "-H":
                    name, _, value = self._there(next(words)).partition(": ")
                    headers[name] = value
                case "-d":
                    body = next(words)
                case _:
                    url = self._there(word)
        answer = httpx2.post(url, headers=headers, content=body, timeout=PATIENCE)
        assert answer.status_code == 200, answer.text
        del headers["Authorization"]
        assert httpx2.post(url, headers=headers, content=body, timeout=PATIENCE).status_code == 401
        return answer.json()

    def _there(self, word: str) -> str:
        for name, value in self._settings.items():
            word = word.replace(f"${name}", value)
        return word.replace(HERE, self._sandbox.http) if self._sandbox else word

    def compare(self, language: str, text: str) -> None:
        if language == "json":
            agrees(json.loads(text), self.shown, "the answer")
        else:
            lines, said = text.splitlines(), self.shown.splitlines()
            if lines[0] == "…":
                lines, said = lines[1:], said[1 - len(lines) :]
            assert len(lines) == len(said), self.shown
            for line, real in zip(lines, said, strict=True):
                wanted = re.sub(r"([*?[])", r"[\1]", line).replace("…", "*")
                assert fnmatch.fnmatchcase(real, wanted), f"the page shows {line!r}, and it is {real!r}"
        self.compared += 1


def test_the_tutorial_leads_from_an_empty_folder_to_an_agent_behind_a_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with contextlib.ExitStack() as served:
        newcomer = Newcomer(tmp_path, served, monkeypatch)
        for language, name, text in BLOCK.findall(PAGE):
            if name:
                assert (newcomer.folder / name).parent.is_dir(), name
                (newcomer.folder / name).write_text(text, encoding="utf-8")
            elif language == "sh":
                newcomer.do(text)
            else:
                newcomer.compare(language, text)
        assert newcomer.compared == 8


def test_every_page_that_is_linked_exists() -> None:
    for name in re.findall(r"\]\(([^):#]+)\)", PAGE):
        assert (DOCS / name).exists(), name
