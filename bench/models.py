"""What an LLM agent adds to a turn and to its model's client, and how many of its turns run at once.

The core is in this process, on a store in memory; the model is a stub in another, so what is counted is the thread that runs
the turns: the core, the agent, and the client's HTTP.
"""

import asyncio
import contextlib
import itertools
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Any

from openai import AsyncOpenAI
from pydantic_ai import Agent as PydanticAgent
from pydantic_ai.direct import model_request, model_request_stream
from pydantic_ai.messages import ModelMessage, ModelRequest, ModelResponse, SystemPromptPart, TextPart, UserPromptPart
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai_compatible import OpenAICompatibleProvider
from pydantic_ai.tools import ToolDefinition

from bench.agent import get_order_status
from bench.stub_model import PIECES
from greenroom.agents.llm import LlmAgent
from greenroom.core.agents import Agents
from greenroom.core.core import Core
from greenroom.core.feed import Begun, Feed
from greenroom.core.limits import Limits
from greenroom.core.memory import MemoryStore
from greenroom.core.records import Message
from greenroom.core.request import TurnRequest
from greenroom.core.served import Served
from greenroom.sdk import Agent, Turn

if TYPE_CHECKING:
    from bench.__main__ import Plan, Report

_ANSWER_MS = 500
_AT_ONCE = 100
_INSTRUCTIONS = "You are the customer service of a shop."
_TOOLS = [get_order_status]
_numbers = itertools.count()

Once = Callable[[], Awaitable[Any]]


@contextlib.contextmanager
def stub_model() -> Iterator[str]:
    """Its address, without how long it takes."""
    with subprocess.Popen([sys.executable, "-m", "bench.stub_model"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
        finally:
            process.terminate()


@contextlib.asynccontextmanager
async def core_of(agent: Agent) -> AsyncIterator[Core]:
    core = Core(Agents([Served(agent, "bench", Limits())]), MemoryStore(), Limits())
    await core.start()
    try:
        yield core
    finally:
        await core.stop()


def turns_of(core: Core, *, stream: bool) -> Once:
    """One turn in a session of its own."""

    async def turn() -> None:
        request = TurnRequest(messages=(Message("user", "Where is 12345?"),), session_id=f"s{next(_numbers)}")
        if stream:

            def read() -> None:
                for event in feed.take():
                    feed.acknowledge(len(event) if isinstance(event, str) else 0)
                    assert isinstance(event, str | Begun)

            feed = request.feed = Feed(read)
        reply = await core.turns.run(request)
        assert len(reply.turn.reply.split()) == len(PIECES)

    return turn


def speaker() -> Agent:
    """Says what the stub says, without asking it."""
    agent = Agent("bench", tools=_TOOLS, world={}, instructions=_INSTRUCTIONS)

    @agent.reply
    async def reply(turn: Turn) -> AsyncIterator[str]:
        for piece in PIECES:
            yield piece

    return agent


def scripted() -> FunctionModel:
    """Says the same without any HTTP, which would drown what the agent adds."""

    def whole(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        return ModelResponse([TextPart("".join(PIECES))])

    async def stream(messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[str]:
        for piece in PIECES:
            yield piece

    return FunctionModel(whole, stream_function=stream)


class Client:
    """What pydantic-ai costs by itself: the same request through its model, and through an agent of its own."""

    def __init__(self, model: Model[Any]) -> None:
        self._model = model
        self._agent = PydanticAgent(model, instructions=_INSTRUCTIONS)
        self._agent.tool_plain(get_order_status_of)
        tool = ToolDefinition(
            name=get_order_status.name,
            parameters_json_schema=get_order_status.signature.schema(),
            description=get_order_status.description,
        )
        self._asked: dict[str, Any] = {
            "messages": [ModelRequest([SystemPromptPart(_INSTRUCTIONS), UserPromptPart("Where is 12345?")])],
            "model_request_parameters": ModelRequestParameters(function_tools=[tool]),
            "instrument": False,
        }

    async def whole(self) -> None:
        await model_request(self._model, **self._asked)

    async def streamed(self) -> None:
        async with model_request_stream(self._model, **self._asked) as stream:
            async for _ in stream:
                pass

    async def run(self) -> None:
        await self._agent.run("Where is 12345?")


def get_order_status_of(order_id: str) -> dict[str, Any]:
    """Look up where an order stands."""
    return {"order_id": order_id}


async def cpu_of(acts: dict[str, Once], times: int, rounds: int) -> dict[str, float]:
    """Microseconds of this thread that each of them takes: the least of the rounds, in which they take turns."""
    best = dict.fromkeys(acts, float("inf"))
    for _ in range(rounds):
        for name, act in acts.items():
            await act()
            before = time.thread_time()
            for _ in range(times):
                await act()
            best[name] = min(best[name], (time.thread_time() - before) / times * 1e6)
    return best


async def measure_added(report: "Report", rounds: int) -> None:
    """What the agent adds to a turn that says the same, and to a request to its model."""
    model = scripted()
    llm = LlmAgent(model=model, instructions=_INSTRUCTIONS, tools=_TOOLS, world={})
    client = Client(model)
    async with core_of(llm) as asking, core_of(speaker()) as saying:
        acts = {
            "turn": turns_of(asking, stream=False),
            "said": turns_of(saying, stream=False),
            "client": client.whole,
            "streamed": turns_of(asking, stream=True),
            "streamed said": turns_of(saying, stream=True),
            "streamed client": client.streamed,
        }
        cpu = await cpu_of(acts, times=20, rounds=rounds)
    added = cpu["turn"] - cpu["said"] - cpu["client"]
    report.add("CPU an LLM agent adds to a turn and a model's request", added, f"{added:.0f} µs", "< 1000 µs")
    added = cpu["streamed"] - cpu["streamed said"] - cpu["streamed client"]
    report.add("added to them, streamed in 40 pieces", added, f"{added:.0f} µs", "< 1000 µs")


async def measure_whole(report: "Report", url: str, rounds: int) -> None:
    """What it comes to over HTTP."""
    client = AsyncOpenAI(base_url=f"{url}/0/v1", api_key="none", max_retries=0)
    theirs = Client(OpenAIChatModel("m", provider=OpenAICompatibleProvider("bench", openai_client=client)))
    async with core_of(agent_at(f"{url}/0/v1")) as core:
        acts = {
            "turn": turns_of(core, stream=False),
            "streamed": turns_of(core, stream=True),
            "their agent": theirs.run,
        }
        cpu = await cpu_of(acts, times=20, rounds=rounds)
    await client.close()
    shown = f"{cpu['turn']:.0f}, {cpu['streamed']:.0f} µs"
    report.add("CPU of an LLM agent's turn over HTTP, and streamed in 40", cpu["turn"], shown)
    report.add("of a run of pydantic-ai's own agent", cpu["their agent"], f"{cpu['their agent']:.0f} µs")


async def measure_at_once(report: "Report", url: str, rounds: int) -> None:
    """Beyond what the model takes, turns that run at once take their CPU, which on a busy machine takes longer."""
    over: list[float] = []
    async with core_of(agent_at(f"{url}/{_ANSWER_MS}/v1")) as core:
        turn = turns_of(core, stream=False)
        await asyncio.gather(*(turn() for _ in range(_AT_ONCE)))  # opens the connections
        for _ in range(rounds):
            busy = busyness()
            started, before = time.perf_counter(), time.thread_time()
            await asyncio.gather(*(turn() for _ in range(_AT_ONCE)))
            wall, cpu = time.perf_counter() - started, time.thread_time() - before
            over.append((wall - _ANSWER_MS / 1000) / (cpu * (busy + busyness()) / 2))
    name = f"{_AT_ONCE} turns at once, model takes {_ANSWER_MS} ms: the rest / their CPU"
    report.add(name, statistics.median(over), f"{statistics.median(over):.2f} ×", "≤ 1 ×")


def agent_at(url: str) -> LlmAgent:
    return LlmAgent(model="openai:m", base_url=url, instructions=_INSTRUCTIONS, tools=_TOOLS, world={})


def busyness() -> float:
    """How much longer than its CPU a computation takes here and now."""
    started, before = time.perf_counter(), time.thread_time()
    while time.thread_time() - before < 0.1:
        pass
    return (time.perf_counter() - started) / 0.1


def measure_models(report: "Report", plan: "Plan") -> None:
    with stub_model() as url:
        asyncio.run(measure_added(report, rounds=plan.rounds * 10))
        asyncio.run(measure_whole(report, url, rounds=plan.rounds * 4))
        asyncio.run(measure_at_once(report, url, rounds=plan.rounds * 2))
