"""A page of the docs, done as a reader does it: its files are written, its commands run, its answers compared.

A fenced block with a name after its language (```toml shop.toml) is a file. In `sh` blocks `greenroom serve …` starts a
sandbox (in this process, as the command would), `curl …` asks it, `greenroom check …` checks it, `export` sets a variable,
`chmod +x` makes a file a command, and `pip install` has been done.
A `json` block after a `curl` or a check is what it answers (an error is to be shown): the same, but for the keys it leaves
out and the parts it shows as "…".
"""

import asyncio
import contextlib
import json
import re
import shlex
import sys
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
import typer.testing
from whole_sandbox import Sandbox, sandbox

from greenroom.cli import serve
from greenroom.cli.assembly import assemble
from greenroom.cli.main import app
from greenroom.cli.sources import load
from greenroom.core.limits import Limits

DOCS = Path(__file__).parents[2] / "docs"
ELSEWHERE = "http://localhost:8000"
"""Where a page says the sandbox is."""

_BLOCK = re.compile(r"^```(\w+)(?: ([^\n`]+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Walk:
    """A page that is being done; `replaced` are texts of it that stand for something else here, an address for instance."""

    def __init__(self, page: str, folder: Path, replaced: Mapping[str, str], section: str) -> None:
        self._text = (DOCS / page).read_text(encoding="utf-8")
        if section:
            self._text = self._text.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
        for shown, real in replaced.items():
            assert shown in self._text, f"{page} does not say {shown}"
            self._text = self._text.replace(shown, real)
        self._folder = folder
        self._served = contextlib.AsyncExitStack()
        self._sandbox: Sandbox | None = None
        self._answer: Any = None
        self._failed: Any = None
        """The last answer, where it was an error that the page does not show yet."""
        self.asked = 0
        """How many answers were compared."""

    async def run(self, monkeypatch: pytest.MonkeyPatch) -> None:
        async with self._served:
            for language, name, text in _BLOCK.findall(self._text):
                if name:
                    (self._folder / name).parent.mkdir(parents=True, exist_ok=True)
                    (self._folder / name).write_text(text, encoding="utf-8")
                elif language == "sh":
                    for line in commands(text):
                        await self._do(line, monkeypatch)
                elif language == "json" and self._answer is not None:
                    agrees(json.loads(text), self._answer, "the answer")
                    self._answer = self._failed = None
                    self.asked += 1
            self._check_failure()

    def _check_failure(self) -> None:
        assert self._failed is None, self._failed

    async def _do(self, line: str, monkeypatch: pytest.MonkeyPatch) -> None:
        words = shlex.split(line, comments=True)
        match words:
            case ["pip", "install", *_] | []:
                pass
            case ["chmod", "+x", name]:
                (self._folder / name).chmod(0o755)
            case ["export", assigned]:
                monkeypatch.setenv(*assigned.split("=", 1))
            case ["greenroom", "serve", *arguments]:
                await self._served.aclose()
                self._sandbox = await self._served.enter_async_context(serving(self._folder, arguments, monkeypatch))
            case ["greenroom", "check", url, *arguments]:
                assert self._sandbox is not None, "nothing is served yet"
                self._answer = await check(self._sandbox, url, arguments)
            case ["curl", *arguments]:
                assert self._sandbox is not None, "nothing is served yet"
                self._check_failure()
                self._answer, succeeded = await curl(self._sandbox, arguments)
                self._failed = None if succeeded else self._answer
            case _:
                raise AssertionError(f"a page says {line!r}, which nobody can do here")


async def walk(
    page: str,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    replaced: Mapping[str, str] | None = None,
    section: str = "",
) -> None:
    """Does the page in a folder, or the section with this heading. At least one of its answers must have been compared."""
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    before = set(sys.modules)
    done = Walk(page, folder, replaced or {}, section)
    try:
        await done.run(monkeypatch)
    finally:
        for name in set(sys.modules) - before:
            if str(getattr(sys.modules[name], "__file__", "")).startswith(str(folder)):
                del sys.modules[name]
    assert done.asked


def commands(text: str) -> Iterable[str]:
    """Lines, those joined that end in a backslash."""
    return filter(None, re.sub(r"\\\n\s*", "", text).splitlines())


@asynccontextmanager
async def serving(folder: Path, arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Sandbox]:
    """What `greenroom serve` with these arguments serves."""
    asked: list[Mapping[str, Any]] = []
    with monkeypatch.context() as patch:
        patch.setattr(serve, "serve_both", lambda flags, *, fresh, reload: asked.append(flags))
        done = typer.testing.CliRunner().invoke(app, ["serve", *arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    settings = load(asked[0])
    async with sandbox(folder, limits=Limits(), make=lambda store: assemble(settings, store)) as served:
        yield served


async def check(served: Sandbox, url: str, arguments: list[str]) -> Any:
    """What `greenroom check` prints, with fewer sessions and less load than it has by default. All must hold."""
    fewer = ["--sessions", "4", "--duration", "0.2"]
    given = ["check", url.replace(ELSEWHERE, served.url), *arguments, *fewer]
    done = await asyncio.to_thread(typer.testing.CliRunner().invoke, app, given, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout) if "--json" in arguments else done.stdout


async def curl(served: Sandbox, arguments: list[str]) -> tuple[Any, bool]:
    """What curl prints with `-s`, `-X`, `-H` and `-d`: JSON, or text; and whether it succeeded."""
    method, headers, body, url = "", {}, None, ""
    left = iter(arguments)
    for word in left:
        match word:
            case "-s" | "-sN" | "-N":
                pass
            case "-X":
                method = next(left)
            case "-H":
                name, _, value = next(left).partition(": ")
                headers[name] = value
            case "-d":
                body = next(left)
            case _:
                url = word
    assert url.startswith(ELSEWHERE), f"curl asks {url}, not {ELSEWHERE}"
    request: dict[str, Any] = {"headers": headers, "content": body}
    answer: httpx2.Response = await served.http.request(
        method or ("POST" if body is not None else "GET"), url.removeprefix(ELSEWHERE), **request
    )
    told = json.loads(answer.text) if "json" in answer.headers.get("content-type", "") else answer.text
    return told, answer.is_success


def agrees(shown: Any, real: Any, where: str) -> None:
    """The page shows what came, but for what it leaves out."""
    if shown == "…":
        return
    if isinstance(shown, dict):
        assert isinstance(real, dict), f"{where} is {real!r}"
        for key, value in shown.items():
            assert key in real, f"{where} has no {key}: {real}"
            agrees(value, real[key], f"{where}.{key}")
    elif isinstance(shown, list):
        assert isinstance(real, list), f"{where} is {real!r}"
        assert len(shown) == len(real), f"{where} is {real}"
        for number, (one, other) in enumerate(zip(shown, real, strict=True)):
            agrees(one, other, f"{where}[{number}]")
    else:
        assert shown == real, f"{where} is {real!r}, not {shown!r}"
