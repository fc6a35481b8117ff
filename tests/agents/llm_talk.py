"""A conversation with an LLM agent in this process, its turns streamed or not, with what failed attempts leave behind."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from stub_model import StubModel

from greenroom.agents.llm import LlmAgent, LlmOptions
from greenroom.core.agents import Agents
from greenroom.core.core import Core
from greenroom.core.feed import Begun, Feed
from greenroom.core.limits import Limits
from greenroom.core.memory import MemoryStore
from greenroom.core.records import FailedTurn, Message, ToolCallRecord, TurnRecord
from greenroom.core.request import TurnReply, TurnRequest
from greenroom.core.served import Served
from greenroom.sdk import Agent

QUICK: dict[str, Any] = {"backoff": 0.0}


def agent_of(model: StubModel, *, options: dict[str, Any] | None = None, **parts: Any) -> LlmAgent:
    """An agent on the stub, which is asked again at once."""
    return LlmAgent(model="openai:stub", base_url=model.url, options=LlmOptions(**QUICK, **(options or {})), **parts)


@dataclass
class Told:
    """What a stream was told of one turn, piece by piece."""

    pieces: list[str] = field(default_factory=list)
    calls: list[ToolCallRecord] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(self.pieces)


class Talk:
    """See `talking`."""

    def __init__(self, core: Core, store: MemoryStore) -> None:
        self._core = core
        self._store = store

    async def say(self, text: str, *, options: Any = None, told: Told | None = None, **more: Any) -> TurnRecord:
        """One turn; raises what a client would be told. With `told` it is streamed."""
        messages = (Message("user", text),)
        return (await self.send(messages, options=options, told=told, **more)).turn

    async def send(
        self, messages: Sequence[Message], *, options: Any = None, told: Told | None = None, **more: Any
    ) -> TurnReply:
        more.setdefault("session_id", "s1")
        request = TurnRequest(messages=tuple(messages), options_json=json.dumps(options) if options else "", **more)
        if told is None:
            return await self._core.turns.run(request)

        def read() -> None:
            for event in feed.take():
                if isinstance(event, str):
                    told.pieces.append(event)
                    feed.acknowledge(len(event))
                elif not isinstance(event, Begun):
                    told.calls.append(event)

        feed = request.feed = Feed(read)
        return await self._core.turns.run(request)

    async def failures(self) -> Sequence[FailedTurn]:
        """The failed attempts at the session's turns."""
        return await self._store.list_failures("", "s1")


@asynccontextmanager
async def talking(agent: Agent, limits: Limits | None = None, *, memory: bool = False) -> AsyncIterator[Talk]:
    """A core in memory that serves the agent to one session."""
    limits = limits or Limits()
    store = MemoryStore()
    core = Core(Agents([Served(agent, "agent", limits, memory=memory)]), store, limits)
    await core.start()
    try:
        yield Talk(core, store)
    finally:
        await core.stop()
