"""A turn as the JSON that an endpoint wants, by a Jinja template."""

import json
from pathlib import Path
from typing import Any

from greenroom.agents.extras import load
from greenroom.sdk import AgentError, Turn

EXTRA = "http"
DEFAULT = (
    '{"message": {{ text | tojson }}, "session_id": {{ session_id | tojson }}, "user_id": {{ user_id | tojson }},'
    ' "metadata": {{ metadata | tojson }}}'
)
"""What is sent where no template is given."""

_ODD = 'a "quoted" \\ text\nof two lines'


def values_of(turn: Turn) -> dict[str, Any]:
    """What a template may name."""
    return {
        "text": turn.text,
        "messages": turn.messages.openai(),
        "context": list(turn.context),
        "session_id": turn.session_id,
        "chat_id": turn.chat_id,
        "number": turn.number,
        "user_id": turn.user.id,
        "user": {"profile": turn.user.profile, "metadata": turn.user.metadata},
        "metadata": turn.metadata,
        "options": turn.options,
        "state": turn.state,
    }


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
        self._template = _compiled(source, name)
        try:
            json.loads(_rendered(self._template, _SAMPLE, name))
        except ValueError as problem:
            raise AgentError(
                f"{name} does not make JSON where a text has quotes or line breaks in it ({problem});"
                " write {{ text | tojson }}, without quotes around it"
            ) from None

    def body(self, values: dict[str, Any]) -> bytes:
        """JSON. Raises `AgentError` where the template makes something else."""
        text = _rendered(self._template, values, self._name)
        try:
            json.loads(text)
        except ValueError as problem:
            raise AgentError(f"{self._name} made no JSON: {problem}") from None
        return text.encode()


class HeaderTemplate:
    """Renders a header's value."""

    def __init__(self, source: str, name: str) -> None:
        self._name = name
        self._template = _compiled(source, name)
        _rendered(self._template, _SAMPLE, name)

    def value(self, values: dict[str, Any]) -> str:
        """On one line, as a header is."""
        return " ".join(_rendered(self._template, values, self._name).split())


def _compiled(source: str, name: str) -> Any:
    jinja2 = load("jinja2", EXTRA)
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, autoescape=False)
    environment.policies["json.dumps_function"] = _dumped
    environment.policies["json.dumps_kwargs"] = {}
    try:
        return environment.from_string(source)
    except jinja2.TemplateSyntaxError as problem:
        raise AgentError(f"{name}, line {problem.lineno}: {problem.message}") from None


def _dumped(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)  # of a name that is not there, the text is an error


def _rendered(template: Any, values: dict[str, Any], name: str) -> str:
    try:
        return str(template.render(values))
    except Exception as problem:  # a template is its author's code
        known = ", ".join(_SAMPLE)
        raise AgentError(f"{name}: {problem} (there are {known})") from None
