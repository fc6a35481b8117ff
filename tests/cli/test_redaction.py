import io

import pytest

from greenroom.cli.redaction import RedactingStream
from greenroom.core.redaction import Redactor


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Authorization: Bearer abc.def", "Authorization: Bearer [redacted]"),
        ('{"a": "bearer abc"}', '{"a": "bearer [redacted]"}'),
        ("key gr_abcdefghijklmnopqrstuvwxyz0123 was used", "key [redacted] was used"),
        ("the KEY-IN-CLEAR of a setting", "the [redacted] of a setting"),
        ("postgresql://user:pass@host/db", "postgresql://[redacted]@host/db"),
        ("nothing to hide: http://host:80/path", "nothing to hide: http://host:80/path"),
    ],
)
def test_secrets_in_texts_are_hidden(text: str, shown: str) -> None:
    redactor = Redactor(["KEY-IN-CLEAR"])
    assert redactor.text(text) == shown
    assert redactor.raw(text.encode()) == shown.encode()


def test_named_fields_are_hidden_however_deep() -> None:
    event = {"a": {"Card": "4111", "list": [{"api_key": "x", "kept": 1}]}, "password": "p", "text": "Bearer abc"}
    assert Redactor(fields=["card"]).event(event) == {
        "a": {"Card": "[redacted]", "list": [{"api_key": "[redacted]", "kept": 1}]},
        "password": "[redacted]",
        "text": "Bearer [redacted]",
    }


def test_lines_made_elsewhere_pass_the_gate() -> None:
    sink = io.BytesIO()
    RedactingStream(sink, Redactor(["SECRET-KEY"])).write(b'{"path": "/?key=SECRET-KEY"}\n')
    assert sink.getvalue() == b'{"path": "/?key=[redacted]"}\n'
