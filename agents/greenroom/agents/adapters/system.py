"""What holds for a turn beside its conversation."""

from greenroom.sdk import Turn


def system_texts(turn: Turn) -> list[str]:
    """The agent's instructions as Greenroom has them, what is known of the user (where memory is on), and the context. They
    hold for this turn: none of them belongs into a framework's memory."""
    return list(turn.system)
