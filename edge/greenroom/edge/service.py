"""What the routes share while the app runs."""

import time

from greenroom.edge.client import CoreClient
from greenroom.edge.options import EdgeOptions


class Service:
    """Exists from `create_app` on; its core from the app's startup to its shutdown."""

    def __init__(self, options: EdgeOptions) -> None:
        self._options = options
        self._core: CoreClient | None = None
        self.draining = False
        self.version = options.version
        self.started = time.monotonic()

    @property
    def core(self) -> CoreClient:
        """The core. Raises RuntimeError when the app was not started."""
        if self._core is None:
            raise RuntimeError("the edge is not running: its lifespan has not started")
        return self._core

    def start(self) -> None:
        """Connects to the core, whether it is there yet or not."""
        self.draining = False
        self._core = CoreClient(self._options.core)
        self._core.start()

    def pending(self) -> int:
        """Turns that wait for the core."""
        return self._core.turns.pending if self._core is not None else 0

    def drain(self) -> None:
        """Refuses new turns from now on; the ones in flight go on (GRPC-04)."""
        self.draining = True

    async def close(self) -> None:
        """Ends the connection."""
        self.draining = True
        if self._core is not None:
            await self._core.close()
            self._core = None
