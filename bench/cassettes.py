"""The CPU that recording and replaying take: `.venv/bin/python -m bench.cassettes`. The same agent calls the same tool live,
recorded, and replayed from a cassette of 100,000 calls."""

import asyncio
import json
import tempfile
from pathlib import Path
from time import process_time
from typing import Any

import msgspec

from greenroom.core.cassettes.cassette import Cassette
from greenroom.core.cassettes.recording import Recording
from greenroom.sdk import Agent, Turn, tool
from greenroom.sdk.testing import play

RECORDINGS, TURNS, CALLS = 100_000, 20, 60
STRIDE = 7_919
"""From one question to the next: they are found all over the cassette."""


@tool
async def get_weather(city: str) -> dict[str, Any]:
    """What the weather is."""
    return weather_in(city)


def weather_in(city: str) -> dict[str, Any]:
    return {"city": city, "degrees": 18, "text": "It is sunny, with a light wind from the sea. " * 4}


def agent_of(cpu: list[float]) -> Agent:
    """Its turns call the tool, and note how many CPU seconds that took."""
    agent = Agent("bench", tools=[get_weather])

    @agent.reply
    async def reply(turn: Turn) -> str:
        began = process_time()
        for number in range(CALLS):
            await turn.call(get_weather, city=f"city {(turn.number * CALLS + number) * STRIDE % RECORDINGS}")
        cpu.append(process_time() - began)
        return "done"

    return agent


def write(path: Path) -> None:
    """Recordings of turn 1: whichever turn asks, they answer."""
    with path.open("wb") as file:
        for number in range(RECORDINGS):
            city = f"city {number}"
            recording = Recording(
                agent="bench",
                scenario="default",
                turn=1,
                kind="tool",
                name="get_weather",
                request=msgspec.Raw(json.dumps({"city": city}).encode()),
                response=msgspec.Raw(json.dumps(weather_in(city)).encode()),
            )
            file.write(msgspec.json.encode(recording) + b"\n")


async def measure(what: str, **how: Any) -> None:
    cpu: list[float] = []
    await play(agent_of(cpu), ["go"] * TURNS, **how)
    calls = sorted(seconds / CALLS for seconds in cpu)
    print(
        f"{what:<34} {calls[len(calls) // 2] * 1e6:7.1f} us a call  {1 / calls[len(calls) // 2]:10,.0f} calls a second"
    )


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        path = Path(name, "weather.jsonl")
        write(path)
        began = process_time()
        Cassette(path)
        print(
            f"{RECORDINGS:,} recordings of {path.stat().st_size / 1e6:.0f} MB are read in {process_time() - began:.2f} s"
        )
        asyncio.run(measure("live"))
        asyncio.run(measure("recorded", record=Path(name, "new.jsonl")))
        asyncio.run(measure(f"replayed, of {RECORDINGS:,}", replay=path))


if __name__ == "__main__":
    main()
