"""The files that served agents are made of, and which of them have changed."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from greenroom.cli.settings import FILE, Settings

_SUFFIXES = (".py", ".toml", ".yaml", ".yml", ".json", ".j2", ".md", ".txt")
_LEFT_OUT = ("__pycache__", "node_modules", "site-packages")
_SCENARIOS = "scenarios"


@dataclass(frozen=True, slots=True)
class Changes:
    """Paths, by what has to be done about them."""

    scenarios: Sequence[Path]
    """Read again by a core that runs."""
    settings: Sequence[Path]
    """Read when the command starts."""
    others: Sequence[Path]


class Watch:
    """The current folder, and what the settings name elsewhere. Environments, hidden folders and what is recorded are left
    out."""

    def __init__(self, settings: Settings) -> None:
        here = Path.cwd()
        self._recorded = settings.record.absolute() if settings.record else None
        self._scenarios = settings.scenarios_dir.absolute() if settings.scenarios_dir else None
        named = [Path(part) for name in settings.agent for part in (name, name.partition("=")[2]) if part]
        named += [path for path in (settings.tools_file, settings.upstream_request) if path]
        self._files = [path.absolute() for path in named if path.is_file()]
        self._folders = [here, *([self._scenarios] if self._scenarios else ())]
        self._seen = self._look()

    def changes(self) -> Changes | None:
        """What has changed, come or gone since the last time; None for nothing."""
        now = self._look()
        changed = sorted(path for path, _ in now.items() ^ self._seen.items())
        self._seen = now
        if not changed:
            return None
        changed = list(dict.fromkeys(changed))
        settings = [path for path in changed if path == Path.cwd() / FILE]
        scenarios = [path for path in changed if self._is_scenario(path)]
        return Changes(scenarios, settings, [path for path in changed if path not in {*settings, *scenarios}])

    def _look(self) -> dict[Path, tuple[int, int]]:
        found = {}
        for path in (*self._files, *(path for folder in self._folders for path in _files(folder))):
            try:
                status = path.stat()
            except OSError:  # gone meanwhile
                continue
            if path != self._recorded:
                found[path] = status.st_mtime_ns, status.st_size
        return found

    def _is_scenario(self, path: Path) -> bool:
        if path.suffix not in (".yaml", ".yml") or path in self._files:
            return False
        return path.parent == self._scenarios or path.parent.name == _SCENARIOS


def _files(folder: Path) -> Iterator[Path]:
    for name, folders, files in os.walk(folder):
        if "pyvenv.cfg" in files:
            folders.clear()
            continue
        folders[:] = [one for one in folders if not one.startswith(".") and one not in _LEFT_OUT]
        yield from (Path(name, file) for file in files if file.endswith(_SUFFIXES))
