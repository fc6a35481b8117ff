"""What others say, cut short: a process or a server cannot fill a log or an error with it."""

_MOST = 500


def shortened(text: str, most: int = _MOST) -> str:
    """One line, of bounded length."""
    line = " ".join(text[: most * 2].split())
    return line if len(line) <= most else f"{line[: most - 1]}…"


def beginning(text: str, size: str, most: int) -> dict[str, str]:
    """In place of a result that is too long: its first `most` bytes, and that there are `size` of them."""
    first = text.encode(errors="replace")[:most].decode(errors="ignore")
    return {"truncated": f"this is the beginning of {size} bytes; ask for less", "beginning": first}
