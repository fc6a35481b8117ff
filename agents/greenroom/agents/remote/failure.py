"""What a remote agent's failure becomes."""

from greenroom.tools.excerpt import shortened


class RemoteFailed(Exception):
    """The remote agent failed, or broke its contract. The text may be its own: it is for the log and the evidence."""

    def __init__(self, message: str) -> None:
        super().__init__(shortened(message))
