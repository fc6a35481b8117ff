"""The terminal of a conversation: lines read, a reply written as it comes. Off a terminal, plain lines both ways."""

import contextlib
import importlib
import io
import os
import sys
from collections.abc import Iterator

from greenroom.cli.notation import plain

_DIM, _RED, _BOLD, _OFF = "\x1b[2m", "\x1b[31m", "\x1b[1m", "\x1b[0m"
_ERASE = "\r\x1b[K"


class Screen:
    """Standard input and output. Written to by one thread at a time."""

    def __init__(self) -> None:
        self.interactive = sys.stdin.isatty() and sys.stdout.isatty()
        """Whether a person sits there; else what is read is written too, so that the output is the whole conversation."""
        self._styled = sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        self._in_text = False
        self._status = False

    def lines(self) -> Iterator[str]:
        """What the user says, line by line, until the end of the input."""
        if isinstance(sys.stdin, io.TextIOWrapper):
            sys.stdin.reconfigure(errors="replace")
        if not self.interactive:
            for line in sys.stdin:
                self.line(f"user: {line.rstrip()}")
                yield line.rstrip()
            return
        with contextlib.suppress(ImportError):  # not every system has one
            importlib.import_module("readline")  # it gives `input` editing and a history
        prompt = f"\x01{_BOLD}\x02user:\x01{_OFF}\x02 " if self._styled else "user: "
        while True:
            try:
                yield input(prompt).rstrip()
            except EOFError:
                self.line("")
                return

    def line(self, text: str) -> None:
        """A line of its own."""
        self._write(f"{text}\n")

    def aside(self, text: str) -> None:
        """A line about what happens in the turn."""
        self._write(f"{self._in(_DIM, f'  {text}')}\n")

    def error(self, text: str) -> None:
        first, *further = text.splitlines()
        self._write("".join(f"{line}\n" for line in (self._in(_RED, f"error: {first}"), *further)))

    def text(self, piece: str) -> None:
        """More of the agent's reply."""
        if not piece:
            return
        self._clear()
        if not self._in_text:
            sys.stdout.write(self._in(_BOLD, "assistant:") + " ")
        self._in_text = True
        sys.stdout.write(plain(piece))
        sys.stdout.flush()

    def status(self, text: str) -> None:
        """What goes on now, on a terminal alone: the next thing that is written takes its place."""
        if self._styled:
            self.finish()
            sys.stdout.write(f"{_ERASE}{self._in(_DIM, f'  {plain(text)} …')}")
            sys.stdout.flush()
            self._status = True

    def finish(self) -> None:
        """Ends the line that a reply stands in."""
        self._clear()
        if self._in_text:
            sys.stdout.write("\n")
            self._in_text = False
        sys.stdout.flush()

    def _write(self, text: str) -> None:
        self.finish()
        sys.stdout.write(text)
        sys.stdout.flush()

    def _clear(self) -> None:
        if self._status:
            sys.stdout.write(_ERASE)
            self._status = False

    def _in(self, style: str, text: str) -> str:
        return f"{style}{text}{_OFF}" if self._styled else text
