"""What is never written down: keys, bearer tokens, and the fields that the settings name (SEC-06)."""

import base64
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote, quote_plus

HIDDEN = "[redacted]"
ALWAYS = ("authorization", "x-api-key", "api_key", "apikey", "password", "secret", "access_token", "refresh_token")
"""Fields that are hidden whatever the settings say."""

_MINTED = r"\bgr_[A-Za-z0-9_-]{16,}"
_BEARER = r"(?<=bearer )[^\s\"'\\,;]+"
_URL_PASSWORD = r"(?<=://)[^/\s:@\"]*:[^/\s@\"]+(?=@)"
_NAMED_AS_SECRET = re.compile(
    r"(?i)((^|_)(key|pass|pwd|pat)|apikey|token|secret|password|passwd|credentials?)(_?\d+)?$"
)
_SHORTEST_SECRET = 8
"""Characters: a shorter value of the environment's would hide words."""


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

    def hides(self, name: str) -> bool:
        """Whether a field of this name is hidden, whatever it holds."""
        return name.lower() in self._fields

    def raw(self, line: bytes) -> bytes:
        lowered = line.lower()
        if not any(sign in lowered for sign in self._signs):
            return line
        return self._bytes.sub(HIDDEN.encode(), line)

    def event(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """A copy with named fields and secrets in texts hidden, however deep they are."""
        return {name: HIDDEN if self.hides(str(name)) else self.value(value) for name, value in event.items()}

    def value(self, value: Any) -> Any:
        """The same for a value of any kind."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return self.event(value)
        if isinstance(value, list | tuple):
            return [self.value(item) for item in value]
        return value


class DocumentRedactor(Redactor):
    """The same for what is kept: the fields are found in JSON and in query strings that stand in a text, too."""

    def __init__(self, secrets: Iterable[str] = (), fields: Iterable[str] = ()) -> None:
        super().__init__((), fields)
        forms = {form for secret in secrets if secret for form in _forms(secret)}
        self._secrets = sorted(forms, key=len, reverse=True)
        """Looked for one by one: as parts of a pattern they would cost fifty times as much."""
        names = "|".join(map(re.escape, sorted(self._fields, key=len, reverse=True)))
        self._in_json = re.compile(rf'(?i)((\\*)"(?:{names})\2"\s*:\s*\2")(?:(?!(?<!\\)\2").)*', re.DOTALL)
        self._in_repr = re.compile(rf"(?i)('(?:{names})'\s*:\s*')(?:[^'\\]|\\.)*", re.DOTALL)
        self._in_query = re.compile(rf"(?i)((?<![\w-])(?:{names})=)[^&\s\"'#\\,;)]+")

    def text(self, text: str) -> str:
        for secret in self._secrets:
            if secret in text:
                text = text.replace(secret, HIDDEN)
        text = super().text(text)
        if '":' in text or '": ' in text or '" :' in text:
            text = self._in_json.sub(rf"\1{HIDDEN}", text)
        if "':" in text or "' :" in text:
            text = self._in_repr.sub(rf"\1{HIDDEN}", text)
        return self._in_query.sub(rf"\1{HIDDEN}", text) if "=" in text else text


def _forms(secret: str) -> set[str]:
    """A secret as it may stand in a text: as it is, in JSON (which may stand in JSON), in an address, in base64 with
    whatever is before and behind it."""
    forms = {secret, json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]}
    forms |= {json.dumps(form)[1:-1] for form in forms}
    forms |= {quote(secret, safe=""), quote(secret), quote_plus(secret)}
    if len(secret) >= _SHORTEST_SECRET:
        raw = secret.encode(errors="replace")
        for before in range(3):
            whole = base64.b64encode(b"\0" * before + raw).decode()
            own = whole[-(-before * 8 // 6) : (before + len(raw)) * 8 // 6]  # what nothing beside it has a part in
            forms |= {own, own.replace("+", "-").replace("/", "_")}
    return forms


def secrets_of(environment: Mapping[str, str]) -> list[str]:
    """The values of variables that are named as secrets are: OPENAI_API_KEY, GITHUB_TOKEN, DB_PASSWORD."""
    return [
        value
        for name, value in environment.items()
        if len(value) >= _SHORTEST_SECRET and _NAMED_AS_SECRET.search(name) is not None
    ]
