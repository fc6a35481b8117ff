"""The bounds a core keeps, each a setting; the defaults are the contract's."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Times in seconds, sizes in bytes."""

    turn_timeout: float = 60.0
    """From when a turn starts to run (CHAT-18)."""
    slow_turn: float = 5.0
    """Past this a turn is named in the log."""
    session_waiting: int = 8
    """Turns that may wait for one session (CHAT-16)."""
    session_wait: float = 30.0
    """How long one waits before SESSION_BUSY."""
    max_in_flight: int = 256
    """Turns that run at once in this core (SEC-05)."""
    max_queued: int = 1024
    """Turns that wait for a place; beyond them OVERLOADED at once."""
    agent_concurrency: int | None = None
    """Turns that one agent runs at once; the others wait for it. None: as many as run at once."""
    carried_messages: int = 1_000
    session_turns: int = 10_000
    session_world_bytes: int = 16 * 1024 * 1024
    turn_tool_calls: int = 64
    tool_result_bytes: int = 1024 * 1024
    reply_bytes: int = 4 * 1024 * 1024
    metadata_bytes: int = 64 * 1024
    options_bytes: int = 1024 * 1024
    memory_facts: int = 100
    """Facts that a session may note of its user, and that a later one is told."""
    memory_bytes: int = 16 * 1024
    """What a session may note of its user, and what a later one is told."""
    cache_bytes: int = 64 * 1024 * 1024
    """Sessions kept in memory between turns; what is dropped is read again."""
