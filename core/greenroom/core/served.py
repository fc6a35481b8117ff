"""The agent a core serves, with what its turns share."""

import json
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from greenroom.core.agent import Agent, AgentError
from greenroom.core.errors import StoreUnavailable
from greenroom.core.limits import Limits
from greenroom.core.overlay import Seed
from greenroom.core.ports import Store
from greenroom.core.turn import Backstage, Turn

_TOOL_THREADS = 2  # for each turn in flight
_SEEDS_KEPT = 8


class Served:
    """One agent under its AGENT argument, its starting world read once. Raises `AgentError` for one that cannot be served."""

    def __init__(self, agent: Agent, agent_id: str, limits: Limits) -> None:
        check_tools(agent)
        self.agent = agent
        self.id = agent_id
        self.seed = agent.load_world()
        # Apart, and as many as may be needed: agents that are plain functions wait in their threads for tools that need
        # threads too. Threads are made when they are first wanted.
        self.executor = ThreadPoolExecutor(limits.max_in_flight, thread_name_prefix="greenroom-agent")
        self._tool_executor = ThreadPoolExecutor(
            limits.max_in_flight * _TOOL_THREADS, thread_name_prefix="greenroom-tool"
        )
        tokens: dict[str, Turn] = {}
        self.backstage = Backstage(agent.tools, limits, self._tool_executor, tokens)
        self._older: OrderedDict[str, Seed] = OrderedDict()

    async def start(self, store: Store) -> None:
        """Stores the starting world and runs the agent's start-up functions."""
        await store.put_seed(self.seed.sha, self.seed.text)
        await self.agent.startup()

    async def stop(self) -> None:
        await self.agent.shutdown()
        for executor in (self.executor, self._tool_executor):
            executor.shutdown(wait=False, cancel_futures=True)

    async def seed_of(self, sha: str, store: Store) -> Seed:
        """The starting world of a session, which keeps the one it began with. Raises `StoreUnavailable`."""
        if sha == self.seed.sha:
            return self.seed
        seed = self._older.get(sha)
        if seed is None:
            text = await store.load_seed(sha)
            if text is None:
                raise StoreUnavailable("the session's starting world is not in the database")
            seed = self._older[sha] = Seed(_read(text))
            if len(self._older) > _SEEDS_KEPT:
                self._older.popitem(last=False)
        return seed


def check_tools(agent: Agent) -> None:
    """Says now, not at the first call, that a tool cannot be called."""
    names: set[str] = set()
    for tool in agent.tools:
        if tool.name in names:
            raise AgentError(f"agent {agent.name}: two tools are named {tool.name!r}")
        names.add(tool.name)
        try:
            tool.signature.schema()
        except Exception as error:  # annotations are the author's, and pydantic has many ways to refuse one
            raise AgentError(f"agent {agent.name}, tool {tool.name}: {error}") from error


def _read(text: str) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(text)
    return data
