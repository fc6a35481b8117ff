"""Python packages in an environment of their own."""

import os
import subprocess
import sys
import venv
from collections.abc import Sequence
from pathlib import Path

LONG = 600.0
"""Seconds; an installation downloads."""


class Environment:
    """A virtual environment with what is installed into it."""

    def __init__(self, folder: Path, *requirements: str) -> None:
        venv.create(folder)
        self.python = str(folder / "bin" / "python")
        pip = [sys.executable, "-m", "pip", "--python", self.python, "--quiet", "--disable-pip-version-check"]
        # What is used once need not be compiled.
        finished([*pip, "install", "--no-compile", *requirements])

    def run(self, arguments: Sequence[str], cwd: Path | None = None, **settings: str) -> str:
        return finished([self.python, *arguments], cwd, **settings)


def finished(command: Sequence[str], cwd: Path | None = None, **settings: str) -> str:
    """What a command printed that ended well."""
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        timeout=LONG,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
