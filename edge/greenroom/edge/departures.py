"""Clients that leave before they have their reply, which is then kept for them (CHAT-15)."""

import asyncio
from collections.abc import Callable

from starlette.types import Receive

SWEEP_SECONDS = 0.5
"""Between two looks at the clients whose turns take long. The others are looked at once, when their reply is there."""


class Departures:
    """Whose client has left. `tell` is called once for each, with its attempt id; the turn goes on."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._clients: dict[str, _Client] = {}
        """By attempt id, in the order of their coming."""
        self._sweeps = 0
        self._timer: asyncio.TimerHandle | None = None

    def enter(self, attempt_id: str, receive: Receive) -> None:
        """A client that now waits for a reply; its body has been read."""
        self._clients[attempt_id] = _Client(receive, self._sweeps)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(SWEEP_SECONDS, self._sweep)

    def forget(self, attempt_id: str) -> None:
        """There is no reply to be kept."""
        del self._clients[attempt_id]

    def has_left(self, attempt_id: str) -> bool:
        """Whether nobody is there for the reply that has come. The client is forgotten."""
        return self._look(attempt_id, self._clients.pop(attempt_id))

    def _look(self, attempt_id: str, client: "_Client") -> bool:
        if not client.left and has_left(client.receive):
            client.left = True
            self._tell(attempt_id)
        return client.left

    def _sweep(self) -> None:
        """Looks at those that were there at the last sweep already."""
        self._timer = None
        for attempt_id, client in self._clients.items():
            if client.since == self._sweeps:
                break
            self._look(attempt_id, client)
        self._sweeps += 1
        if self._clients:
            self._timer = asyncio.get_running_loop().call_later(SWEEP_SECONDS, self._sweep)


class _Client:
    """Who waits for one reply."""

    __slots__ = ("left", "receive", "since")

    def __init__(self, receive: Receive, since: int) -> None:
        self.receive = receive
        self.since = since
        self.left = False


def has_left(receive: Receive) -> bool:
    """Looks without waiting: after the body, the only message that can be ready is that the client has gone."""
    # uvicorn's own flag, behind the `receive` of each of its requests; the look by ASGI costs a good 10 us.
    gone = getattr(getattr(receive, "__self__", None), "disconnected", None)
    if isinstance(gone, bool):
        return gone
    look = receive().__await__()
    try:
        next(look)
    except StopIteration as ready:
        return bool(ready.value["type"] == "http.disconnect")
    finally:
        look.close()
    return False
