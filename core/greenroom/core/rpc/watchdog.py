"""Names code that blocks the event loop: an author's blocking call holds every session back, not its own alone."""

import asyncio
import logging
import sys
import threading
import traceback
from time import monotonic

_log = logging.getLogger(__name__)

_BEAT = 0.1
_REPEAT = 10.0


class Watchdog:
    """Beats on the loop, and watches from a thread. Past `limit` seconds without a beat it logs the loop's stack."""

    def __init__(self, limit: float = 0.5) -> None:
        self._limit = limit
        self._beat = monotonic()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Watches the running loop."""
        self._beat_on(asyncio.get_running_loop())
        self._thread = threading.Thread(
            target=self._watch, args=(threading.get_ident(),), name="loop-watchdog", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._timer is not None:
            self._timer.cancel()
        if self._thread is not None:
            self._thread.join(timeout=1)

    def _beat_on(self, loop: asyncio.AbstractEventLoop) -> None:
        self._beat = monotonic()
        self._timer = loop.call_later(_BEAT, self._beat_on, loop)

    def _watch(self, thread: int) -> None:
        named = 0.0
        while not self._stop.wait(_BEAT):
            blocked = monotonic() - self._beat
            if blocked > self._limit + _BEAT and monotonic() - named > _REPEAT:
                named = monotonic()
                frame = sys._current_frames().get(thread)
                stack = "".join(traceback.format_stack(frame)) if frame else "(no stack)"
                _log.warning(
                    "the event loop has been blocked for %.1f s; every session waits for this code "
                    "(make it async, or a plain def, which runs in a thread):\n%s",
                    blocked,
                    stack,
                )
