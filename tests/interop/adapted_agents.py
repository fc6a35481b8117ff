"""Tests of adapters, run where their framework is installed: it is no part of the environment that the others share."""

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from python_environment import LONG, EnvironmentOnTop
from running_sandbox import Sandbox

HERE = Path(__file__).parent / "adapted"
ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "frameworks.md"
LEAK_PROOF = ROOT / "tests" / "proof" / "leak_proof.py"


class Adapted:
    """This tree's Greenroom with one of its extras, and what else an example needs."""

    def __init__(self, folder: Path, extra: str, *more: str) -> None:
        project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        self._environment = EnvironmentOnTop(folder / "venv", *project["optional-dependencies"][extra], *more)
        # A server has half a minute to start, and what is installed is not compiled.
        self._environment.run(["-c", "import greenroom.cli.main, greenroom.cli.child"])

    def run(self, *files: str) -> None:
        """Runs the tests in files of the folder `adapted`."""
        paths = "pythonpath=tests/interop/adapted tests/interop tests/cli tests/storage tests/proof"
        options = ["-o", "addopts=", "-o", "filterwarnings=", "-o", paths, "-p", "no:cacheprovider", "-n", "0"]
        self._environment.run(["-m", "pytest", "-q", *options, *(str(HERE / name) for name in files)], cwd=ROOT)

    @contextmanager
    def serving(self, folder: Path, *arguments: str, **settings: str) -> Iterator[Sandbox]:
        """`greenroom serve …` in a folder; the modules of `adapted` can be imported."""
        options = ("--fresh", "--port", "0", "--grpc-port", "0", "--rate-limit", "off")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "executable", self._environment.python)
            with Sandbox(folder, "serve", *arguments, *options, PYTHONPATH=str(HERE), **settings) as sandbox:
                patch.undo()
                yield sandbox

    def check_sealed(self, folder: Path, agent: str) -> None:
        """The leak proof finds nothing, though what it planted did arrive."""
        with self.serving(folder, agent, "--log-bodies") as sandbox:
            asked = ["--json", "--seed", "7", "--sessions", "24", "--same-keys", "--log", str(folder / "log")]
            done = subprocess.run(
                [sys.executable, str(LEAK_PROOF), sandbox.http, *asked],
                capture_output=True,
                text=True,
                timeout=LONG,
                check=False,
            )
        assert "Traceback" not in done.stderr, done.stderr
        report: dict[str, Any] = json.loads(done.stdout)
        assert (done.returncode, report["leaks"], report["failures"], report["skipped"]) == (0, [], [], {})
        for way, seen in report["planted"].items():
            assert min(seen["reply"], seen["turn record"]) >= 10, (way, seen)

    @contextmanager
    def serving_page(self, folder: Path, module: str, **settings: str) -> Iterator[Sandbox]:
        """Serves a module of docs/frameworks.md by the page's own command."""
        page = PAGE.read_text(encoding="utf-8")
        [code] = re.findall(rf"^```python\n# {module}\.py\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
        [command] = re.findall(rf"^greenroom serve ({module}:\S+)$", page, re.MULTILINE)
        (folder / f"{module}.py").write_text(code, encoding="utf-8")
        with self.serving(folder, command, **settings) as sandbox:
            yield sandbox
