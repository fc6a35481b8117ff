"""What a remote agent's failure becomes."""

_MOST = 500


class RemoteFailed(Exception):
    """The remote agent failed, or broke its contract. The text may be its own: it is for the log and the evidence."""

    def __init__(self, message: str) -> None:
        super().__init__(shortened(message))


def shortened(text: str) -> str:
    """What a remote process says, so that it cannot fill a log: one line, of bounded length."""
    line = " ".join(text[: _MOST * 2].split())
    return line if len(line) <= _MOST else f"{line[: _MOST - 1]}…"
