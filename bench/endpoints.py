"""What agents behind HTTP endpoints add to a turn, and to asking the endpoint with the same client.

As in `models`: the core is in this process, the endpoint in another, and the thread that runs the turns is counted.
"""

import asyncio
import json
import statistics
import time
from typing import TYPE_CHECKING

import httpx2

from bench.models import busyness, core_of, cpu_of, speaker, stub_model, turns_of
from greenroom.agents.http import AnswerPaths, HttpAgent, OpenAiAgent
from greenroom.sdk import Agent

if TYPE_CHECKING:
    from bench.__main__ import Plan, Report

_ANSWER_MS = 500
_AT_ONCE = 300
_PATHS = AnswerPaths(reply="$.choices[0].message.content", tools="$.choices[0].message.tool_calls")
_INSTRUCTIONS = "You are the customer service of a shop."


def _body(*, stream: bool) -> bytes:
    said = [{"role": "system", "content": _INSTRUCTIONS}, {"role": "user", "content": "Where is 12345?"}]
    return json.dumps({"model": "m", "messages": said, "stream": stream}).encode()


async def measure_added(report: "Report", url: str, rounds: int) -> None:
    url = f"{url}/0/v1"
    asked, streamed = _body(stream=False), _body(stream=True)
    own: Agent = HttpAgent(f"{url}/chat/completions", _PATHS)
    openai: Agent = OpenAiAgent(url, model="m", api_key="none", instructions=_INSTRUCTIONS)
    async with httpx2.AsyncClient(timeout=None) as client, core_of(own) as at_own, core_of(openai) as at_openai:

        async def whole() -> None:
            answer = await client.post(f"{url}/chat/completions", content=asked)
            assert answer.json()["choices"]

        async def in_pieces() -> None:
            async with client.stream("POST", f"{url}/chat/completions", content=streamed) as answer:
                async for event in httpx2.EventSource(answer):
                    assert event.data == "[DONE]" or json.loads(event.data)["choices"]

        async with core_of(speaker()) as saying:
            acts = {
                "own": turns_of(at_own, stream=False),
                "openai": turns_of(at_openai, stream=False),
                "said": turns_of(saying, stream=False),
                "client": whole,
                "streamed": turns_of(at_openai, stream=True),
                "streamed said": turns_of(saying, stream=True),
                "streamed client": in_pieces,
            }
            cpu = await cpu_of(acts, times=20, rounds=rounds)
    for name, what in (("own", "an HTTP agent"), ("openai", "an agent at an OpenAI-compatible endpoint")):
        added = cpu[name] - cpu["said"] - cpu["client"]
        report.add(f"CPU {what} adds to a turn and a request", added, f"{added:.0f} µs", "< 1000 µs")
    added = cpu["streamed"] - cpu["streamed said"] - cpu["streamed client"]
    report.add("added by the latter, streamed in 40 pieces", added, f"{added:.0f} µs", "< 1000 µs")
    report.add(
        "the request by itself, and streamed", cpu["client"], f"{cpu['client']:.0f}, {cpu['streamed client']:.0f} µs"
    )


async def measure_at_once(report: "Report", url: str, rounds: int) -> None:
    over: list[float] = []
    async with core_of(HttpAgent(f"{url}/{_ANSWER_MS}/v1/chat/completions", _PATHS)) as core:
        turn = turns_of(core, stream=False)
        for _ in range(rounds + 1):
            busy = busyness()
            started, before = time.perf_counter(), time.thread_time()
            await asyncio.gather(*(turn() for _ in range(_AT_ONCE)))
            wall, cpu = time.perf_counter() - started, time.thread_time() - before
            over.append((wall - _ANSWER_MS / 1000) / (cpu * (busy + busyness()) / 2))
    rest = statistics.median(over[1:])  # the first round opens the connections
    report.add(
        f"{_AT_ONCE} turns at once, endpoint takes {_ANSWER_MS} ms: the rest / their CPU",
        rest,
        f"{rest:.2f} ×",
        "≤ 1 ×",
    )


def measure_endpoints(report: "Report", plan: "Plan") -> None:
    with stub_model() as url:
        asyncio.run(measure_added(report, url, rounds=plan.rounds * 10))
        asyncio.run(measure_at_once(report, url, rounds=plan.rounds * 2))
