"""One core: its agents, its store, and the use cases between them."""

from collections.abc import Collection

from greenroom.core.agents import Agents
from greenroom.core.branch import Cache
from greenroom.core.evaluation import DERIVED, Evaluation
from greenroom.core.limits import Limits
from greenroom.core.openings import Openings
from greenroom.core.parts import Parts
from greenroom.core.ports import Store
from greenroom.core.sessions import Sessions
from greenroom.core.tickets import Tickets
from greenroom.core.tool_desk import ToolDesk
from greenroom.core.tracing import Tracer
from greenroom.core.turns import Turns
from greenroom.core.users import Users


class Core:
    """Wires the use cases. `start` once before the first turn, `stop` after the last one. `evaluation_keys` are those that
    are derived from a turn's record."""

    def __init__(
        self,
        agents: Agents,
        store: Store,
        limits: Limits,
        *,
        replace_existing_users: bool = True,
        evaluation_keys: Collection[str] = tuple(DERIVED),
        tracer: Tracer | None = None,
    ) -> None:
        self.agents = agents
        self.store = store
        self.limits = limits
        self.users = Users(store, limits, replace_existing=replace_existing_users)
        cache, tickets = Cache(limits.cache_bytes), Tickets()
        parts = Parts(agents, store, self.users, cache, tickets, limits, Evaluation(evaluation_keys), tracer)
        self.sessions = Sessions(parts)
        self.openings = Openings(parts)
        self.tools = ToolDesk(parts, self.sessions)
        self.turns = Turns(parts)

    async def start(self) -> None:
        """Opens the store and starts the agents. Raises `StoreUnavailable`, or what an agent's start-up raises."""
        await self.store.start()
        await self.agents.start(self.store)

    async def stop(self) -> None:
        await self.agents.stop()
        await self.store.close()
