"""A turn as the JSON that an endpoint wants, by a Jinja template."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from greenroom.sdk import AgentError, Turn
from greenroom.tools.extras import import_extra

EXTRA = "http"
DEFAULT = (
    '{"message": {{ text | tojson }}, "session_id": {{ session_id | tojson }}, "user_id": {{ user_id | tojson }},'
    ' "metadata": {{ metadata | tojson }}}'
)
"""What is sent where no template is given."""

_ODD = 'a "quoted" \\ text\nof two lines'


_VALUES: dict[str, Callable[[Turn], Any]] = {
    "text": lambda turn: turn.text,
    "messages": lambda turn: turn.messages.openai(),
    "context": lambda turn: list(turn.context),
    "session_id": lambda turn: turn.session_id,
    "chat_id": lambda turn: turn.chat_id,
    "number": lambda turn: turn.number,
    "user_id": lambda turn: turn.user.id,
    "user": lambda turn: {"profile": turn.user.profile, "metadata": turn.user.metadata},
    "metadata": lambda turn: turn.metadata,
    "options": lambda turn: turn.options,
    "state": lambda turn: turn.state,
}
"""What a template may name."""


def values_of(turn: Turn, names: frozenset[str]) -> dict[str, Any]:
    """What templates that use these names are rendered with."""
    return {name: value(turn) for name, value in _VALUES.items() if name in names}


_SAMPLE: dict[str, Any] = {
    "text": _ODD,
    "messages": [{"role": "user", "content": _ODD}],
    "context": [_ODD],
    "session_id": "s",
    "chat_id": "c",
    "number": 1,
    "user_id": "u",
    "user": {"profile": {}, "metadata": {}},
    "metadata": {},
    "options": {},
    "state": {},
}


def template_text(path: Path) -> str:
    """The template in a file. Raises `AgentError`."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError as problem:
        raise AgentError(f"cannot read the template {path}: {problem.strerror}") from None
    except UnicodeDecodeError:
        raise AgentError(f"the template {path} is not UTF-8") from None


class BodyTemplate:
    """Renders bodies. Raises `AgentError` for a template that is none, or that does not make JSON of texts with quotes and
    line breaks in them."""

    def __init__(self, source: str, name: str) -> None:
        self._name = name
        self._template, self.names = _compiled(source, name)
        try:
            _check_json(_rendered(self._template, _SAMPLE, name))
        except msgspec.DecodeError as problem:
            raise AgentError(
                f"{name} does not make JSON where a text has quotes or line breaks in it ({problem});"
                " write {{ text | tojson }}, without quotes around it"
            ) from None

    def body(self, values: dict[str, Any]) -> bytes:
        """JSON. Raises `AgentError` where the template makes something else."""
        text = _rendered(self._template, values, self._name)
        try:
            _check_json(text)
        except msgspec.DecodeError as problem:
            raise AgentError(f"{self._name} made no JSON: {problem}") from None
        return text.encode(errors="replace")


class HeaderTemplate:
    """Renders a header's value."""

    def __init__(self, source: str, name: str) -> None:
        self._name = name
        self._template, self.names = _compiled(source, name)
        _rendered(self._template, _SAMPLE, name)

    def value(self, values: dict[str, Any]) -> str:
        """As the template says; what no header can hold is taken out where it is sent."""
        return _rendered(self._template, values, self._name)


def _compiled(source: str, name: str) -> tuple[Any, frozenset[str]]:
    """The template, and what it names."""
    jinja2, meta = import_extra("jinja2", EXTRA), import_extra("jinja2.meta", EXTRA)
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, autoescape=False)
    environment.policies["json.dumps_function"] = _dumped
    environment.policies["json.dumps_kwargs"] = {}
    try:
        return environment.from_string(source), frozenset(meta.find_undeclared_variables(environment.parse(source)))
    except jinja2.TemplateSyntaxError as problem:
        raise AgentError(f"{name}, line {problem.lineno}: {problem.message}") from None


def _check_json(text: str) -> None:
    """Raises `msgspec.DecodeError`."""
    msgspec.json.decode(text.encode(errors="replace"), type=msgspec.Raw)


def _dumped(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=_refused)


def _refused(value: Any) -> None:
    told = str(value)  # of a name that is not there, the text is an error
    raise TypeError(f"{told:.50} is no JSON; a key that is the name of a dict's method, too, is read by .get('items')")


def _rendered(template: Any, values: dict[str, Any], name: str) -> str:
    try:
        return str(template.render(values))
    except Exception as problem:  # a template is its author's code
        known, may_miss = ", ".join(_VALUES), "{{ metadata.plan | default(none) | tojson }}"
        raise AgentError(f"{name}: {problem} (there are {known}; what may be missing is written {may_miss})") from None
