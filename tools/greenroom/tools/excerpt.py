"""What others say, cut short: a process or a server cannot fill a log or an error with it."""

_MOST = 500


def shortened(text: str, most: int = _MOST) -> str:
    """One line, of bounded length."""
    line = " ".join(text[: most * 2].split())
    return line if len(line) <= most else f"{line[: most - 1]}…"
