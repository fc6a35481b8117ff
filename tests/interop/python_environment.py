"""Python packages in an environment of their own."""

import os
import subprocess
import sys
import sysconfig
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


class EnvironmentOnTop(Environment):
    """One that has all that this process's environment has, Greenroom from this tree too, and further packages, which come
    first: in seconds, and with the versions that they need."""

    def __init__(self, folder: Path, *requirements: str) -> None:
        below = sysconfig.get_path("purelib")
        venv.create(folder)
        own = folder / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
        # As a site folder: what is installed from its sources is named in files there.
        (own / "below.pth").write_text(f"import site; site.addsitedir({below!r})\n", encoding="utf-8")
        super().__init__(folder, *requirements)


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
