"""The worlds that scenarios start from, each read and kept once."""

import json
from pathlib import Path
from typing import Any

from greenroom.core.merge_patch import merge_patch
from greenroom.core.overlay import Seed
from greenroom.core.plain import WorldError
from greenroom.core.scenario_files.sources import read_text
from greenroom.core.scenario_files.yaml_reader import read_yaml

_JSON_BYTES = 256 * 1024 * 1024
_YAML_BYTES = 16 * 1024 * 1024


class StartingWorlds:
    """Equal worlds are one `Seed`; a file is read once."""

    def __init__(self, own: Seed) -> None:
        self._seeds = {own.sha: own}
        self._files: dict[Path, Seed] = {}

    def file(self, path: Path) -> Seed:
        """Raises `ValueError` with what is wrong with the file."""
        path = path.resolve()
        if path not in self._files:
            self._files[path] = self.inline(_read(path))
        return self._files[path]

    def inline(self, data: dict[str, Any]) -> Seed:
        """Raises `ValueError` when it is not JSON."""
        try:
            seed = Seed(data)
        except WorldError as error:
            raise ValueError(str(error)) from None
        return self._seeds.setdefault(seed.sha, seed)

    def patched(self, seed: Seed, patch: dict[str, Any]) -> Seed:
        """The world with a merge patch applied."""
        return self.inline(merge_patch(json.loads(seed.text), patch))


def _read(path: Path) -> dict[str, Any]:
    if path.suffix == ".json":
        text = read_text(path, _JSON_BYTES)
        try:
            data = json.loads(text, parse_constant=_no_number)
        except json.JSONDecodeError as error:
            raise ValueError(f"is not valid JSON: line {error.lineno}: {error.msg}") from None
        except RecursionError:
            raise ValueError("is nested too deeply") from None
    elif path.suffix in (".yaml", ".yml"):
        parsed = read_yaml(read_text(path, _YAML_BYTES))
        for line, _, complaint in parsed.complaints:
            raise ValueError(f"line {line}: {complaint}")
        data = parsed.data
    else:
        raise ValueError("has to end in .json, .yaml or .yml")
    if not isinstance(data, dict):
        raise ValueError("is no mapping of collections")
    return data


def _no_number(name: str) -> None:
    raise ValueError(f"is not valid JSON: {name} is no number of JSON's")
