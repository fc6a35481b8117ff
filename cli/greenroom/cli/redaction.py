"""The last gate before a log: lines that were made elsewhere lose their secrets here (SEC-06)."""

import io
from typing import Any, BinaryIO

from greenroom.core.redaction import Redactor


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
