"""Headers for a server: names that are ones, values on one line, secrets from the environment that no error repeats."""

import os
import re
from collections.abc import Iterable, Mapping

from greenroom.sdk import AgentError

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_NO_PART = re.compile(r"[\x00-\x20\x7f]+")
_SECRET_LENGTH = 8
"""Shorter words of a header's value are no secrets; they would hide half of what is to be read."""
HIDDEN = "[redacted]"


def header_value(text: str) -> str:
    """The text on one line, as a header is: whoever names a session or a user adds none of their own."""
    return _NO_PART.sub(" ", text).strip()


def from_environment(headers: Mapping[str, str], *, templates: bool = False) -> dict[str, str]:
    """The headers with `${NAME}` replaced by the environment's; with `templates` as what a template writes as it is. Raises
    `AgentError` for a name that is not set there, and for a header that no request can have."""
    return {_name(header): _filled(value, f"header {header}", templates) for header, value in headers.items()}


def encoded(headers: Mapping[str, str]) -> dict[bytes, bytes]:
    """As they are sent. Ids may be of any script."""
    return {name.lower().encode(): header_value(value).encode(errors="replace") for name, value in headers.items()}


class Secrets:
    """What was given in headers: not to be repeated in logs and evidence, even where the endpoint repeats it. `known` are
    secrets as a whole, however short."""

    def __init__(self, values: Iterable[str], known: Iterable[str] = ()) -> None:
        words = {word for value in values for word in value.split() if len(word) >= _SECRET_LENGTH}
        words.update(filter(None, known))
        literal = sorted(map(re.escape, words), key=len, reverse=True)
        self._pattern = re.compile("|".join(literal)) if literal else None

    def hidden_in(self, text: str) -> str:
        """The text without them."""
        return text if self._pattern is None else self._pattern.sub(HIDDEN, text)


def _name(header: str) -> str:
    if not _NAME.fullmatch(header):
        raise AgentError(f"{header!r} is no name of a header")
    return header


def _filled(text: str, what: str, templates: bool) -> str:
    def value(match: re.Match[str]) -> str:
        found = os.environ.get(match[1])
        if found is None:
            raise AgentError(f"{what} names ${{{match[1]}}}, which is not set in the environment")
        return f"{{% raw %}}{found}{{% endraw %}}" if templates and "{" in found else found

    return _VARIABLE.sub(value, text)
