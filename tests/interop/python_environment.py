"""Python packages in an environment of their own."""

import os
import subprocess
import venv
from collections.abc import Sequence
from pathlib import Path

LONG = 600.0
"""Seconds; an installation downloads."""


class Environment:
    """A virtual environment with what is installed into it."""

    def __init__(self, folder: Path, *requirements: str) -> None:
        venv.create(folder, with_pip=True)
        self.python = str(folder / "bin" / "python")
        self.run(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", *requirements])

    def run(self, arguments: Sequence[str], cwd: Path | None = None, **settings: str) -> str:
        done = subprocess.run(
            [self.python, *arguments],
            cwd=cwd,
            env={**os.environ, **settings},
            capture_output=True,
            text=True,
            timeout=LONG,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout
