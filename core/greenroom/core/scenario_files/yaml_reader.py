"""Reads YAML as plain JSON data with the line of everything in it.

Unquoted words are read as JSON reads them: `true`, `false`, `null` and numbers are what they are, all else is text. So
`on`, `no`, `2024-01-21`, `10:30`, `012345` and `+4912345` stay as they were written, whatever YAML 1.1 makes of them; keys
are texts always. Tags make no objects.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import yaml

from greenroom.core.scenario_files.mistake import Place, shown

_TAG: Final = "tag:yaml.org,2002:"
_DEEPEST: Final = 100
_ALIASED: Final = 100_000  # values that aliases may add to a text's own
_LINES_KEPT: Final = 8  # levels; below them stand the data of worlds

# with libyaml, where PyYAML was built with it: a tenth of the time
_Reading: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_Reading):  # type: ignore[misc]
    yaml_implicit_resolvers = {
        None: [
            (f"{_TAG}null", re.compile(r"~|null|Null|NULL|\Z")),
            (f"{_TAG}bool", re.compile(r"(?:true|True|TRUE|false|False|FALSE)\Z")),
            (f"{_TAG}int", re.compile(r"-?(?:0|[1-9][0-9]*)\Z")),
            (f"{_TAG}float", re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?\Z")),
            (f"{_TAG}merge", re.compile(r"<<\Z")),
        ],
    }


@dataclass(slots=True)
class Parsed:
    """`data` is None where the text is no YAML. `complaints` are (line, place, what is wrong)."""

    data: Any = None
    lines: dict[Place, int] = field(default_factory=dict)
    complaints: list[tuple[int, Place, str]] = field(default_factory=list)


class _TooMuch(Exception):
    """It holds more than its size says, or itself."""


def read_yaml(text: str) -> Parsed:
    """Never raises: what is wrong with the text is among the complaints."""
    parsed = Parsed()
    try:
        node = yaml.compose(text, Loader=_Loader)
        if node is not None:
            parsed.data = _Walk(parsed, len(text) + _ALIASED).value(node, ())
    except yaml.MarkedYAMLError as error:
        line, said = no_yaml(error)
        parsed.complaints.append((line, (), said))
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1 if isinstance(error.position, int) else 1
        parsed.complaints.append((line, (), f"is not valid YAML: {error.reason}"))
    except RecursionError:
        parsed.complaints.append((1, (), f"is nested more than {_DEEPEST} levels deep"))
    except _TooMuch as error:
        parsed.complaints.append((1, (), str(error)))
    return parsed


def no_yaml(error: yaml.MarkedYAMLError) -> tuple[int, str]:
    """The line, counted from 1, and what is wrong there."""
    line = _line(error.problem_mark or error.context_mark)
    if error.context and "single document" in error.context:
        return line, "holds more than one document: one scenario a file"
    if error.problem and "found character '\\t'" in error.problem:
        return line, "is not valid YAML: a tab indents it; use spaces"
    return line, f"is not valid YAML: {error.problem or error.context}"


def _line(mark: Any) -> int:
    return mark.line + 1 if mark is not None else 1


class _Walk:
    """From nodes to data."""

    def __init__(self, parsed: Parsed, most: int) -> None:
        self._parsed = parsed
        self._left = most
        self._open: set[int] = set()

    def value(self, node: Any, place: Place) -> Any:
        self._left -= 1
        if self._left < 0:
            raise _TooMuch("its aliases stand for too much")
        if len(place) <= _LINES_KEPT:
            self._parsed.lines.setdefault(place, _line(node.start_mark))
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, place)
        with self._within(node, place):
            if not node.tag.endswith((":seq", ":map")):
                self._complain(node, place, f"the tag {node.tag} makes no plain data")
            if isinstance(node, yaml.SequenceNode):
                return [self.value(item, (*place, number)) for number, item in enumerate(node.value)]
            return self._mapping(node, place)

    @contextmanager
    def _within(self, node: Any, place: Place) -> Iterator[None]:
        if id(node) in self._open:
            raise _TooMuch("an alias stands within what it stands for")
        if len(place) >= _DEEPEST:
            raise _TooMuch(f"is nested more than {_DEEPEST} levels deep")
        self._open.add(id(node))
        yield
        self._open.discard(id(node))

    def _mapping(self, node: Any, place: Place) -> dict[str, Any]:
        data: dict[str, Any] = {}
        first: dict[str, int] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self._complain(key_node, place, "a key is a text, not a list or a mapping")
                continue
            key = str(key_node.value)
            inner = (*place, key)
            if key_node.tag == f"{_TAG}merge":
                self._complain(key_node, inner, "YAML's merging is not supported; write the keys out, or use extends")
                continue
            if key in data:
                self._complain(key_node, inner, f"is given twice; the first is in line {first[key]}")
                continue
            first[key] = _line(key_node.start_mark)
            if len(inner) <= _LINES_KEPT:
                self._parsed.lines[inner] = first[key]
            data[key] = self.value(value_node, inner)
        return data

    def _scalar(self, node: Any, place: Place) -> Any:
        text = str(node.value)
        match str(node.tag).removeprefix(_TAG):
            case "str" | "merge":
                return text
            case "null" if text in ("", "~") or text.lower() == "null":
                return None
            case "bool" if text.lower() in ("true", "false"):
                return text.lower() == "true"
            case "int" if re.fullmatch(r"-?[0-9]{1,4000}", text):
                return int(text)
            case "float" if re.fullmatch(r"-?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?", text) and abs(float(text)) < 1e309:
                return float(text)
            case "int" | "float":
                self._complain(node, place, f"no number is written as {shown(text)}, or none that fits")
            case _:
                self._complain(node, place, f"the tag {node.tag} makes no plain data")
        return text

    def _complain(self, node: Any, place: Place, text: str) -> None:
        self._parsed.complaints.append((_line(node.start_mark), place, text))
