"""`make bench`: CPU per turn, latency and memory of the sandbox, beside a bare FastAPI echo in the same run.

Prints a table and writes `bench/results/latest.json`. `--quick` takes a minute and shows the way of things. Machines
differ: quote the ratios and the CPU per turn, not the requests a second.
"""

import argparse
import asyncio
import json
import os
import platform
import shutil
import statistics
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from bench.endpoints import measure_endpoints
from bench.load import Client, Load, Target, at_rate, quantiles_ms, saturate
from bench.meter import cpu_seconds, memory_mb, tree
from bench.models import measure_models
from bench.placing import measure
from bench.servers import echo, postgres, sandbox
from bench.streams import open_streams, run_turns
from bench.worlds import measure_worlds

_RESULTS = Path(__file__).parent / "results" / "latest.json"


@dataclass(frozen=True, slots=True)
class Plan:
    """How long each part takes."""

    rounds: int
    seconds: int
    rate_seconds: float
    long_session: int
    memory_turns: int
    placing_turns: int


FULL = Plan(rounds=3, seconds=8, rate_seconds=60, long_session=1000, memory_turns=100_000, placing_turns=10_000)
QUICK = Plan(rounds=1, seconds=4, rate_seconds=10, long_session=200, memory_turns=10_000, placing_turns=2000)


@dataclass(slots=True)
class Report:
    """What was measured, by name, with what it should not be worse than."""

    rows: list[tuple[str, str, str]] = field(default_factory=list)
    values: dict[str, Any] = field(default_factory=dict)

    def add(self, name: str, value: Any, shown: str, target: str = "") -> None:
        self.values[name] = value
        self.rows.append((name, shown, target))
        print(f"  {name:<52} {shown:>16}   {target}", flush=True)


def measure_saturation(report: Report, plan: Plan) -> None:
    """The sandbox and the echo in turn, so that whatever else the machine does meets both."""
    with sandbox() as (ours, cold_start), echo() as bare:
        report.add("cold start", cold_start, f"{cold_start:.2f} s", "< 3 s")
        serving = memory_mb(tree(ours.pids)[1:])
        report.add("memory of edge and core, started", serving, f"{serving:.0f} MB", "≤ 150 MB")
        for target in (ours, bare):
            saturate(target, seconds=2)
        rounds = [
            (saturate(ours, seconds=plan.seconds), saturate(bare, seconds=plan.seconds)) for _ in range(plan.rounds)
        ]
        best = max(rounds, key=lambda pair: pair[0].rate)
        ratio = statistics.median(mine.cpu_us / theirs.cpu_us for mine, theirs in rounds)
        report.add(
            "CPU per turn, SQLite", median_cpu([r[0] for r in rounds]), f"{median_cpu([r[0] for r in rounds]):.0f} µs"
        )
        report.add(
            "CPU per request, bare FastAPI echo",
            median_cpu([r[1] for r in rounds]),
            f"{median_cpu([r[1] for r in rounds]):.0f} µs",
        )
        report.add("CPU per turn / echo", ratio, f"{ratio:.2f} ×", "≤ 1.5 ×")
        report.add("turns/s at saturation (client on the same cores)", best[0].rate, f"{best[0].rate:.0f}", "≥ 4,000")
        report.add("p99 at saturation", best[0].p99_ms, f"{best[0].p99_ms:.1f} ms", "≤ 30 ms")
        errors = sum(mine.errors for mine, _ in rounds)
        health = health_while_saturated(ours, plan.seconds)
        report.add("p99 of /health while saturated", health, f"{health:.1f} ms", "< 20 ms")
        report.add("errors at saturation", errors, str(errors), "0")
    with sandbox() as (ours, _):
        saturate(ours, seconds=1)
        calm = asyncio.run(at_rate(ours, rate=100, seconds=plan.rate_seconds))
        report.add("p50 at 100/s", calm.p50_ms, f"{calm.p50_ms:.1f} ms", "< 4 ms")
        report.add("p99 at 100/s", calm.p99_ms, f"{calm.p99_ms:.1f} ms", "< 15 ms")
        report.add("errors at 100/s", calm.errors, str(calm.errors), "0")


def measure_postgres(report: Report, plan: Plan) -> None:
    with postgres() as (url, pid), sandbox(url, extra_pids=(pid,)) as (ours, _), echo() as bare:
        for target in (ours, bare):
            saturate(target, seconds=2)
        rounds = [
            (saturate(ours, seconds=plan.seconds), saturate(bare, seconds=plan.seconds)) for _ in range(plan.rounds)
        ]
        ratio = statistics.median(mine.cpu_us / theirs.cpu_us for mine, theirs in rounds)
        cpu = median_cpu([mine for mine, _ in rounds])
        report.add("CPU per turn, PostgreSQL (its server included)", cpu, f"{cpu:.0f} µs")
        report.add("CPU per turn / echo, PostgreSQL", ratio, f"{ratio:.2f} ×", "≤ 2.5 ×")


def measure_long_sessions(report: Report, plan: Plan) -> None:
    """CPU of the first turns of some sessions against that of their last ones."""
    with sandbox() as (ours, _):
        saturate(ours, seconds=1)
        first, last = asyncio.run(grow(ours, plan.long_session))
        report.add(f"CPU at turn {plan.long_session} / at the first", last / first, f"{last / first:.2f} ×", "≤ 1.3 ×")


async def grow(target: Target, length: int, sessions: int = 16, window: int = 50) -> tuple[float, float]:
    """CPU seconds of the first `window` turns of each session, and of the last."""
    client, prefix = Client(target), f"long_{uuid4().hex[:12]}_"
    raws = [client.request(prefix, k) for k in range(sessions)]

    async def turns(count: int) -> float:
        before = cpu_seconds(target.pids)
        for _ in range(count):
            for status, body in await asyncio.gather(*(client.send(raw) for raw in raws)):
                if status != 200:
                    raise RuntimeError(f"{status}: {body[:200]!r}")
        return cpu_seconds(target.pids) - before

    first = await turns(window)
    await turns(length - 2 * window)
    last = await turns(window)
    client.close()
    return first, last


def measure_memory(report: Report, plan: Plan) -> None:
    """Memory after a fifth of the turns, and after all of them, over a tenth as many sessions."""
    with sandbox() as (ours, _):
        asyncio.run(many_turns(ours, plan.memory_turns // 5, plan.memory_turns // 10))
        early = memory_mb(ours.pids)
        asyncio.run(many_turns(ours, plan.memory_turns * 4 // 5, plan.memory_turns // 10))
        late = memory_mb(ours.pids)
        name = f"memory after {plan.memory_turns:,} turns / after {plan.memory_turns // 5:,}"
        report.add(name, late / early, f"{late / early:.2f} × ({late:.0f} MB)", "flat")


async def many_turns(target: Target, turns: int, sessions: int, parallel: int = 32) -> None:
    client = Client(target)
    numbers = iter(range(turns))

    async def worker() -> None:
        for number in numbers:
            status, body = await client.send(client.request("memory_", number % sessions))
            if status != 200:
                raise RuntimeError(f"{status}: {body[:200]!r}")

    await asyncio.gather(*(worker() for _ in range(parallel)))
    client.close()


def measure_streams(report: Report, plan: Plan) -> None:
    with sandbox(agent="bench.streaming_agent:agent") as (ours, _):
        asyncio.run(run_turns(ours, at_once=100, rounds=1, stream=True))
        plain = asyncio.run(run_turns(ours, at_once=100, rounds=plan.rounds * 2, stream=False))
        streamed = asyncio.run(run_turns(ours, at_once=100, rounds=plan.rounds * 2, stream=True))
        shown = f"{streamed.cpu_us / plain.cpu_us:.1f} × ({streamed.cpu_us:.0f} µs)"
        report.add("CPU per streamed turn of 40 pieces / a plain one", streamed.cpu_us / plain.cpu_us, shown, "≤ 4 ×")
        late = f"{streamed.late_p50_ms:.1f}, {streamed.late_p99_ms:.1f} ms"
        report.add("from yield to read at 100 streams, p50 and p99", streamed.late_p99_ms, late, "p99 < 25 ms")
        alone = asyncio.run(run_turns(ours, at_once=1, rounds=plan.rounds * 2, stream=True))
        shown = f"{alone.late_p50_ms:.1f}, {alone.late_p99_ms:.1f} ms"
        report.add("from yield to read, one stream, p50 and p99", alone.late_p99_ms, shown, "p99 < 5 ms")
    with sandbox(agent="bench.streaming_agent:agent") as (ours, _):
        asyncio.run(run_turns(ours, at_once=100, rounds=1, stream=True))
        held, failed = asyncio.run(open_streams(ours, 1000, 10.0))
        report.add("memory of each of 1,000 open streams", held, f"{held:.0f} KB", "< 40 KB")
        report.add("of those that did not end well", failed, str(failed), "0")


def measure_placing(report: Report, plan: Plan) -> None:
    """A request that is placed among many equal paths, against the same one in a session of a dozen turns."""
    with sandbox() as (ours, _):
        report_placing(report, plan, "SQLite", ours)
    with postgres() as (url, pid), sandbox(url, extra_pids=(pid,)) as (ours, _):
        report_placing(report, plan, "PostgreSQL", ours)


def report_placing(report: Report, plan: Plan, database: str, target: Target) -> None:
    turns, equal = plan.placing_turns, plan.placing_turns * 3 // 10
    placing = measure(target, turns=turns, equal=equal, requests=plan.placing_turns // 40)
    name = f"placed among {turns:,} turns, {equal:,} equal paths / among 10, {database}"
    shown = f"{placing.ratio:.2f} × ({placing.large_ms:.1f} ms)"
    report.add(name, placing.ratio, shown, "≤ 1.3 ×")


def health_while_saturated(target: Target, seconds: int) -> float:
    """p99 in milliseconds of `GET /health`, asked twenty times a second."""
    load = threading.Thread(target=saturate, args=(target,), kwargs={"seconds": seconds})
    load.start()

    async def ask() -> list[float]:
        client, latencies = Client(target), []
        while load.is_alive():
            started = time.perf_counter()
            await client.send(client.raw("GET", "/health"))
            latencies.append(time.perf_counter() - started)
            await asyncio.sleep(0.05)
        client.close()
        return latencies

    latencies = asyncio.run(ask())
    load.join()
    return quantiles_ms(latencies)[1]


def median_cpu(loads: list[Load]) -> float:
    return statistics.median(load.cpu_us for load in loads)


PARTS: Mapping[str, Callable[[Report, Plan], None]] = {
    "saturation": measure_saturation,
    "postgres": measure_postgres,
    "long": measure_long_sessions,
    "memory": measure_memory,
    "streams": measure_streams,
    "placing": measure_placing,
    "worlds": measure_worlds,
    "models": measure_models,
    "endpoints": measure_endpoints,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a minute instead of ten")
    parser.add_argument("--part", choices=[*PARTS], action="append", help="only this part; may be given again")
    arguments = parser.parse_args()
    if shutil.which("wrk") is None:
        sys.exit("make bench needs wrk on the PATH (Debian and Ubuntu: apt-get install wrk)")
    plan, report = QUICK if arguments.quick else FULL, Report()
    machine = {"python": platform.python_version(), "cores": os.cpu_count(), "machine": platform.machine()}
    print(f"  {'measured on ' + str(machine['cores']) + ' cores, Python ' + str(machine['python']):<52}")
    for part in arguments.part or PARTS:
        PARTS[part](report, plan)
    _RESULTS.parent.mkdir(exist_ok=True)
    _RESULTS.write_text(json.dumps({"machine": machine, "plan": asdict(plan), "measured": report.values}, indent=2))
    print(f"  written to {_RESULTS.relative_to(Path.cwd()) if _RESULTS.is_relative_to(Path.cwd()) else _RESULTS}")


if __name__ == "__main__":
    main()
