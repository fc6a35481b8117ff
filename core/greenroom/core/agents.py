"""The agents that a core serves."""

import difflib
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack

from greenroom.core.cassettes.deck import Deck
from greenroom.core.errors import AgentNotFound
from greenroom.core.ports import Store
from greenroom.core.served import Served
from greenroom.core.turn import Turn


class Agents:
    """One or several; the first is the default.

    `strict`: a turn that asks for one that is not served is refused, instead of the default one replying.
    """

    def __init__(self, served: Sequence[Served], *, strict: bool = False, deck: Deck | None = None) -> None:
        self.default = served[0]
        self.deck = deck or Deck()
        """What their turns record and replay."""
        self._by_id = {one.id: one for one in served}
        self._strict = strict
        self._started = AsyncExitStack()

    def __iter__(self) -> Iterator[Served]:
        return iter(self._by_id.values())

    def asked(self, id: str) -> Served:
        """Whom a new session is for; "": the default one. Raises `AgentNotFound`."""
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

    def problems(self) -> list[str]:
        """What is wrong with what each of them depends on, "" for nothing; what is new is told in the log."""
        return ["; ".join(filter(None, (one.problem(), self.deck.problem))) for one in self]

    def can_reply(self) -> bool:
        """Whether one of them can, be it without tools from elsewhere."""
        return any(one.can_reply() for one in self) and not self.deck.problem

    async def start(self, store: Store) -> None:
        """Raises `StoreUnavailable`, or what an agent's start-up raises; those that have started are then stopped."""
        async with AsyncExitStack() as starting:
            for one in self:
                self.deck.prepare(one.agent)
                await one.start(store)
                starting.push_async_callback(one.stop)
            self._started = starting.pop_all()

    async def reload(self, store: Store) -> None:
        """Reads the scenarios and worlds of all again, for the starts to come; what has begun keeps its own. Raises
        `AgentError` or `StoreUnavailable`; then all is as it was."""
        read = [await one.read_again(store) for one in self]
        for one, loaded in zip(self, read, strict=True):
            one.loaded = loaded
        self.deck.forget()

    async def stop(self) -> None:
        """The last one first; one that fails to stop keeps no other from it."""
        await self._started.aclose()
