"""The wheel: all layers in one namespace package, and nothing else."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The files in a wheel built from this tree, by the build backend itself (no network)."""
    target = tmp_path_factory.mktemp("wheel")
    script = f"import hatchling.build, sys; print(hatchling.build.build_wheel({str(target)!r}))"
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True, capture_output=True)
    (wheel,) = target.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


def test_every_layer_is_in_the_wheel(names: list[str]) -> None:
    written = {
        path.relative_to(root.parent).as_posix()
        for root in ROOT.glob("*/greenroom")
        for path in root.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    packed = {name for name in names if name.startswith("greenroom/")}
    assert written <= packed
    assert {name for name in packed if "__pycache__" in name} == set()


def test_nothing_else_is_in_the_wheel(names: list[str]) -> None:
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {"greenroom"}
    assert "greenroom/__init__.py" not in names


def test_data_and_licence_are_in_the_wheel(names: list[str]) -> None:
    assert any(name.startswith("greenroom/storage/migrations/") for name in names)
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert "greenroom/v1/agent.proto" in names
    assert {name for name in names if name.startswith("greenroom/agents/support/scenarios/")} >= {
        f"greenroom/agents/support/scenarios/{file.name}"
        for file in (ROOT / "agents" / "greenroom" / "agents" / "support" / "scenarios").glob("*.yaml")
    }
