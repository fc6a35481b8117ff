"""Tests of adapters, run where their framework is installed: it is no part of the environment that the others share."""

import tomllib
from pathlib import Path

from python_environment import EnvironmentOnTop

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


class Adapted:
    """This tree's Greenroom with one of its extras."""

    def __init__(self, folder: Path, extra: str) -> None:
        project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        self._folder = folder
        self._environment = EnvironmentOnTop(folder / "venv", *project["optional-dependencies"][extra])

    def run(self, *files: str) -> None:
        """Runs the tests in files of the folder `adapted`."""
        paths = "pythonpath=tests/interop/adapted tests/interop tests/cli tests/storage tests/proof"
        options = [
            "-o",
            "addopts=",
            "-o",
            "filterwarnings=",
            "-o",
            paths,
            "-p",
            "no:cacheprovider",
            "-p",
            "no:xdist",
            "-q",
        ]
        self._environment.run(
            ["-m", "pytest", *options, *(f"tests/interop/adapted/{name}" for name in files)], cwd=ROOT
        )
