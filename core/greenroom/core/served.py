"""One agent that a core serves, with what its turns share."""

import asyncio
import json
import logging
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from greenroom.core.agent import Agent, AgentError
from greenroom.core.errors import InvalidRequest, StoreUnavailable
from greenroom.core.limits import Limits
from greenroom.core.overlay import Seed
from greenroom.core.ports import Store
from greenroom.core.records import ScenarioRef, Start
from greenroom.core.scenario import ClockRule, Scenario, Scenarios, read_scenario
from greenroom.core.scenario_files.load import Loaded, load_scenarios
from greenroom.core.scenario_files.sources import Source
from greenroom.core.turn import Backstage, Turn
from greenroom.core.waiting import Capacity

_log = logging.getLogger(__name__)

_TOOL_THREADS = 2  # for each turn in flight
_OLDER_KEPT = 32


class Served:
    """One agent under its AGENT argument, its starting worlds read once. Raises `AgentError` for one that cannot be served.

    `sources` are scenarios beside the agent's own. `strict`: an id that no scenario has is refused. `memory`: where a
    scenario says nothing of it, sessions know their user from earlier ones.
    """

    def __init__(
        self,
        agent: Agent,
        agent_id: str,
        limits: Limits,
        sources: Sequence[Source] = (),
        *,
        strict: bool = False,
        memory: bool = False,
    ) -> None:
        check_tools(agent)
        self.agent = agent
        self.id = agent_id
        self._sources = sources
        self._strict = strict
        self._memory = memory
        self.loaded: Loaded = load_scenarios(agent, sources, agent_id)
        """The scenarios as they were read last, with what was wrong."""
        # Apart, and as many as may be needed: agents that are plain functions wait in their threads for tools that need
        # threads too. Threads are made when they are first wanted.
        self.executor = ThreadPoolExecutor(limits.max_in_flight, thread_name_prefix="greenroom-agent")
        self._tool_executor = ThreadPoolExecutor(
            limits.max_in_flight * _TOOL_THREADS, thread_name_prefix="greenroom-tool"
        )
        self.places: Capacity | None = None
        """Bounds how many turns the agent runs at once, beside what the core can carry; None where that is not set."""
        if limits.agent_concurrency is not None:
            self.places = Capacity(replace(limits, max_in_flight=limits.agent_concurrency))
        tokens: dict[str, Turn] = {}
        self.backstage = Backstage(agent.rack, limits, self._tool_executor, tokens)
        self._problem = ""
        self._older: OrderedDict[str, Scenario] = OrderedDict()
        """Scenarios as files of earlier times had them, for sessions that still run in them."""

    async def start(self, store: Store) -> None:
        """Stores the scenarios with their starting worlds and runs the agent's start-up functions."""
        await _store(self.scenarios, store)
        await self.agent.startup()
        if self.agent.rack.sources:
            try:
                self.loaded = await self.read_again(store)  # the names of tools are checked once they are known
            except BaseException:
                await self.agent.shutdown()
                raise

    @property
    def scenarios(self) -> Scenarios:
        return self.loaded.scenarios

    def problem(self) -> str:
        """What is wrong with what the agent depends on; "" for nothing. The log says when that changes."""
        try:
            problem = self.agent.problem()
        except Exception as error:  # the function is the author's
            problem = f"its health cannot be told: {type(error).__name__}: {error}"
        if problem != self._problem:
            if problem:
                _log.warning("agent %s: %s", self.id, problem)
            else:
                _log.info("agent %s is well again", self.id)
            self._problem = problem
        return problem

    def can_reply(self) -> bool:
        """Whether it goes on with what is wrong."""
        return not self.problem() or self._goes_on()

    def _goes_on(self) -> bool:
        try:
            return self.agent.can_reply()
        except Exception:  # the function is the author's; `problem` has told it
            return False

    async def read_again(self, store: Store) -> Loaded:
        """The scenarios and worlds as they are now, stored and not yet in use. Raises `AgentError` or `StoreUnavailable`."""
        loaded = await asyncio.to_thread(load_scenarios, self.agent, self._sources, self.id)
        await _store(loaded.scenarios, store)
        return loaded

    async def stop(self) -> None:
        await self.agent.shutdown()
        for executor in (self.executor, self._tool_executor):
            executor.shutdown(wait=False, cancel_futures=True)

    def begin(self, asked: str) -> Start:
        """A start in the scenario that was asked for ("": none was), or in the default one. Raises `InvalidRequest`."""
        found = self.scenarios.find(asked) if asked else self.scenarios.default
        if found is None and self._strict:
            near = self.scenarios.nearest(asked)
            hint = f"; did you mean {' or '.join(near)}?" if near else ""
            raise InvalidRequest(
                f"metadata.scenario_id: there is no scenario {asked!r}{hint}", field="metadata.scenario_id"
            )
        scenario = found or self.scenarios.default
        return Start(ScenarioRef(scenario.id, asked, found is not None), scenario.sha, scenario.seed.sha)

    def remembers(self, scenario: Scenario) -> bool:
        """Whether sessions in this scenario know their user from earlier ones (CHAT-16)."""
        return self._memory if scenario.memory is None else scenario.memory

    async def scenario_of(self, start: Start, store: Store) -> Scenario:
        """The scenario of a start, which keeps the one it began with. Raises `StoreUnavailable`."""
        scenario = self.scenarios.by_sha(start.scenario_sha) or self._older.get(start.scenario_sha)
        if scenario is None:
            seed = next((known.seed for known in self.scenarios if known.seed.sha == start.seed_sha), None)
            if seed is None:
                seed = Seed(_read(await _stored(store, start.seed_sha)))
            if not start.scenario_sha:  # from before scenarios were kept
                return Scenario(start.scenario.id, seed, clock=ClockRule(self.agent.story_start))
            text = await _stored(store, start.scenario_sha)
            scenario = self._older[start.scenario_sha] = read_scenario(text, seed)
            if len(self._older) > _OLDER_KEPT:
                self._older.popitem(last=False)
        return scenario


def check_tools(agent: Agent) -> None:
    """Says now, not at the first call, that a tool of its own cannot be called."""
    names: set[str] = set()
    for tool in agent.rack.own:
        if tool.name in names:
            raise AgentError(f"agent {agent.name}: two tools are named {tool.name!r}")
        names.add(tool.name)
        try:
            tool.signature.schema()
        except Exception as error:  # annotations are the author's, and pydantic has many ways to refuse one
            said = str(error).removeprefix(f"tool {tool.name}: ")
            raise AgentError(f"agent {agent.name}, tool {tool.name}: {said}") from error


async def _store(scenarios: Scenarios, store: Store) -> None:
    texts = {scenario.seed.sha: scenario.seed.text for scenario in scenarios}
    texts |= {scenario.sha: scenario.text for scenario in scenarios}
    await asyncio.gather(*(store.put_seed(sha, text) for sha, text in texts.items()))


async def _stored(store: Store, sha: str) -> str:
    text = await store.load_seed(sha)
    if text is None:
        raise StoreUnavailable("the session's scenario is not in the database")
    return text


def _read(text: str) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(text)
    return data
