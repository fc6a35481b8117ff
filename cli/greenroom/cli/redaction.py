"""What never reaches a log: keys, bearer tokens, and the fields that the settings name (SEC-06)."""

import io
import re
from collections.abc import Iterable, Mapping
from typing import Any, BinaryIO

HIDDEN = "[redacted]"
ALWAYS = ("authorization", "x-api-key", "api_key", "apikey", "password", "secret", "access_token", "refresh_token")
"""Fields that are hidden whatever the settings say."""

_MINTED = r"\bgr_[A-Za-z0-9_-]{16,}"
_BEARER = r"(?<=bearer )[^\s\"'\\,;]+"
_URL_PASSWORD = r"(?<=://)[^/\s:@\"]*:[^/\s@\"]+(?=@)"


class Redactor:
    """Hides secrets in texts and in structured events."""

    def __init__(self, secrets: Iterable[str] = (), fields: Iterable[str] = ()) -> None:
        secrets = set(secrets)
        literal = [re.escape(secret) for secret in sorted(secrets, key=len, reverse=True) if secret]
        pattern = "|".join([*literal, f"(?i:{_BEARER})", _MINTED, _URL_PASSWORD])
        self._text = re.compile(pattern)
        self._bytes = re.compile(pattern.encode())
        self._signs = [sign.lower().encode() for sign in (*filter(None, secrets), "bearer ", "gr_", "://")]
        """What a line must contain for the pattern to match: looking for these costs a twentieth."""
        self._fields = frozenset(field.lower() for field in (*ALWAYS, *fields))

    def text(self, text: str) -> str:
        return self._text.sub(HIDDEN, text)

    def raw(self, line: bytes) -> bytes:
        lowered = line.lower()
        if not any(sign in lowered for sign in self._signs):
            return line
        return self._bytes.sub(HIDDEN.encode(), line)

    def event(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """A copy with named fields and secrets in texts hidden, however deep they are."""
        return {
            name: HIDDEN if str(name).lower() in self._fields else self._value(value) for name, value in event.items()
        }

    def _value(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return self.event(value)
        if isinstance(value, list | tuple):
            return [self._value(item) for item in value]
        return value


class RedactingStream(io.RawIOBase):
    """Bytes on their way to a log: the last gate, for lines that were made elsewhere. Each write holds whole lines."""

    def __init__(self, stream: BinaryIO, redactor: Redactor) -> None:
        super().__init__()
        self._stream = stream
        self._redactor = redactor

    def writable(self) -> bool:
        return True

    def write(self, line: Any) -> int:
        self._stream.write(self._redactor.raw(bytes(line)))
        self._stream.flush()
        return len(line)

    def isatty(self) -> bool:
        return self._stream.isatty()
