"""Where scenarios come from: folders of files, or mappings that a test gives."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from greenroom.core.plain import WorldError, to_json
from greenroom.core.scenario_files.mistake import Mistake, Place, dotted
from greenroom.core.scenario_files.yaml_reader import read_yaml

_FILE_BYTES = 1024 * 1024
_FILES = 1000
_SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder of YAML files, one scenario a file. `optional`: it need not be there."""

    path: Path
    optional: bool = False


Source = Folder | Sequence[Mapping[str, Any]]


@dataclass(slots=True)
class Document:
    """What one file says, before anybody has asked what it means. `home` is what files named in it are relative to."""

    file: str
    home: Path
    data: Any
    lines: Mapping[Place, int]
    mistakes: list[Mistake] = field(default_factory=list)

    def complain(self, place: Place, text: str, line: int = 0) -> None:
        """Notes a mistake, in the line of the innermost part that has one."""
        known = place
        while not line and known not in self.lines and known:
            known = known[:-1]
        self.mistakes.append(Mistake(self.file, line or self.lines.get(known, 0), dotted(place), text))


def read_source(source: Source) -> tuple[list[Document], list[Mistake]]:
    """Its documents, in order of their names; and what is wrong with it as a whole."""
    if not isinstance(source, Folder):
        return [_given(number, data) for number, data in enumerate(source)], []
    name = _shown(source.path)
    try:
        paths = sorted(path for path in source.path.iterdir() if path.suffix in _SUFFIXES and path.is_file())
    except OSError as error:
        if source.optional and isinstance(error, FileNotFoundError | NotADirectoryError):
            return [], []
        return [], [Mistake(name, 0, "", f"cannot be read: {error.strerror}")]
    mistakes = []
    if len(paths) > _FILES:
        mistakes.append(Mistake(name, 0, "", f"holds {len(paths)} files; the first {_FILES} are read"))
    return [_read(path) for path in paths[:_FILES]], mistakes


def _given(number: int, data: Mapping[str, Any]) -> Document:
    document = Document(f"scenarios[{number}]", Path(), None, {})
    try:
        document.data = json.loads(to_json(data, "it"))
    except WorldError as error:
        document.complain((), str(error))
    return document


def _read(path: Path) -> Document:
    document = Document(_shown(path), path.parent, None, {})
    try:
        text = read_text(path, _FILE_BYTES)
    except ValueError as error:
        document.complain((), str(error))
        return document
    parsed = read_yaml(text)
    document.data, document.lines = parsed.data, parsed.lines
    for line, place, complaint in parsed.complaints:
        document.complain(place, complaint, line)
    if not document.mistakes and not isinstance(document.data, dict):
        empty = document.data is None
        document.complain((), "is empty" if empty else "a scenario is a mapping of keys, beginning with id", 1)
    return document


def read_text(path: Path, most: int) -> str:
    """A file of at most so many bytes. Raises `ValueError` with what is wrong with it."""
    try:
        with path.open("rb") as file:
            content = file.read(most + 1)
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from None
    if len(content) > most:
        raise ValueError(f"is larger than {most // 1024**2} MiB")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"is not UTF-8 (byte {error.start})") from None


def _shown(path: Path) -> str:
    """As short as it can be named from here."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
