"""The agents that a core serves."""

import difflib
from collections.abc import Iterator, Sequence

from greenroom.core.errors import AgentNotFound
from greenroom.core.ports import Store
from greenroom.core.served import Served
from greenroom.core.turn import Turn


class Agents:
    """One or several; the first is the default.

    `strict`: a turn that asks for one that is not served is refused, instead of the default one replying.
    """

    def __init__(self, served: Sequence[Served], *, strict: bool = False) -> None:
        self.default = served[0]
        self._by_id = {one.id: one for one in served}
        self._strict = strict

    def __iter__(self) -> Iterator[Served]:
        return iter(self._by_id.values())

    def asked(self, id: str) -> Served:
        """Whom a turn's new session is for. Raises `AgentNotFound`."""
        return self.named(id) if self._strict else self.of(id)

    def of(self, id: str) -> Served:
        """Who replies in a session that this one replied in; the default one when it is not served any longer."""
        return self._by_id.get(id) or self.default

    def named(self, id: str) -> Served:
        """The one of this id; "": the default one. Raises `AgentNotFound`."""
        found = self._by_id.get(id) if id else self.default
        if found is None:
            near = difflib.get_close_matches(id, self._by_id, 1, 0.5) or self._by_id
            raise AgentNotFound(f"there is no agent {id[:100]!r}; did you mean {' or '.join(near)}?", field="agent")
        return found

    def turn_of(self, token: str) -> Turn | None:
        """The turn in flight that gave out this token."""
        return next((turn for one in self if (turn := one.backstage.tokens.get(token)) is not None), None)

    async def start(self, store: Store) -> None:
        """Raises `StoreUnavailable`, or what an agent's start-up raises; those that have started are then stopped."""
        started: list[Served] = []
        try:
            for one in self:
                started.append(one)
                await one.start(store)
        except BaseException:
            for one in started[:-1]:
                await one.stop()
            raise

    async def stop(self) -> None:
        for one in reversed(list(self)):
            await one.stop()
