"""What JSON must not contain before it is parsed (ERR-02). msgspec skips over what it is not asked for, so this looks first."""

import re
from typing import TypeVar

import msgspec

from greenroom.edge.errors import bad_request

MAX_DEPTH = 100
_Body = TypeVar("_Body")

_STRINGS = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(?P<lone>u[dD][89a-fA-F])|.)", re.DOTALL
)
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_ONE_KIND = bytes.maketrans(b"{}", b"[]")


def check(body: bytes) -> None:
    """Raise 400 for what no field may contain: bytes that are not UTF-8, half a surrogate pair, nesting past 100."""
    try:
        body.decode()
    except UnicodeDecodeError as error:
        raise bad_request(f"The body is not valid UTF-8 (byte {error.start})") from None
    if _SURROGATE.search(body) is not None and any(match["lone"] for match in _ESCAPE.finditer(body)):
        raise bad_request("The body has half a surrogate pair (a lone \\ud800 to \\udfff)")
    if body.count(b"[") + body.count(b"{") > MAX_DEPTH and _depth_exceeds(body, MAX_DEPTH):
        raise bad_request(f"The body is nested deeper than {MAX_DEPTH}")


def parse(body: bytes, decoder: msgspec.json.Decoder[_Body]) -> _Body:
    """The body, typed, or 400 naming the field and why."""
    check(body)
    try:
        return decoder.decode(body)
    except msgspec.DecodeError as error:
        raise explain(error) from None
    except RecursionError:
        raise bad_request(f"The body is nested deeper than {MAX_DEPTH}") from None


def check_free(text: msgspec.Raw, field: str) -> None:
    """Raise 400 when a value that passes through as text could not be read back: a number beyond a double."""
    try:
        msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        raise bad_request(f"`{field}` has a number that is out of range", field) from None


def explain(error: msgspec.DecodeError, prefix: str = "") -> Exception:
    """The 400 for what msgspec found wrong, naming the field where there is one."""
    text = str(error)
    if not isinstance(error, msgspec.ValidationError):
        return bad_request(f"The body is not valid JSON: {text.removeprefix('JSON is malformed: ')}")
    what, _, path = text.partition(" - at `$")
    field = prefix + path.rstrip("`").lstrip(".")
    what = what[:1].lower() + what[1:]
    if not field:
        return bad_request(f"The body is wrong: {what}", _missing(what))
    return bad_request(f"`{field}`: {what}", field)


def _missing(what: str) -> str | None:
    _, found, name = what.partition("missing required field `")
    return name.rstrip("`") if found else None


def _depth_exceeds(body: bytes, limit: int) -> bool:
    """Whether brackets nest deeper than `limit`, each pass taking the innermost level away at the speed of C."""
    brackets = _STRINGS.sub(b"", body).translate(_ONE_KIND, _NOT_BRACKETS)
    for _ in range(limit):
        shorter = brackets.replace(b"[]", b"")
        if not shorter or len(shorter) == len(brackets):
            return False
        brackets = shorter
    return True
