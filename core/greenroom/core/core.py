"""One core: an agent, its store, and the use cases between them."""

from greenroom.core.branch import Cache
from greenroom.core.limits import Limits
from greenroom.core.ports import Store
from greenroom.core.served import Served
from greenroom.core.sessions import Sessions
from greenroom.core.tickets import Tickets
from greenroom.core.tool_desk import ToolDesk
from greenroom.core.turns import Turns
from greenroom.core.users import Users


class Core:
    """Wires the use cases. `start` once before the first turn, `stop` after the last one."""

    def __init__(self, served: Served, store: Store, limits: Limits, *, replace_existing_users: bool = True) -> None:
        self.served = served
        self.store = store
        self.limits = limits
        cache, tickets = Cache(limits.cache_bytes), Tickets()
        self.users = Users(store, limits, replace_existing=replace_existing_users)
        self.sessions = Sessions(served, store, self.users, cache, tickets, limits)
        self.tools = ToolDesk(served, store, self.users, self.sessions, limits)
        self.turns = Turns(served, store, self.users, cache, tickets, limits)

    async def start(self) -> None:
        """Opens the store and starts the agent. Raises `StoreUnavailable`, or what the agent's start-up raises."""
        await self.store.start()
        await self.served.start(self.store)

    async def stop(self) -> None:
        await self.served.stop()
        await self.store.close()
