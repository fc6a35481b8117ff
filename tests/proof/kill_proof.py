"""Are turns applied exactly once while processes are killed? Clients repeat until they are answered; every session is checked.

    PYTHONPATH=tests/cli:tests/storage python tests/proof/kill_proof.py --variant sqlite --sessions 200 --seconds 60

Variants: `sqlite` and `postgres` behind one supervisor (PostgreSQL is restarted and its backends are killed as well),
`two-cores` on one PostgreSQL, each with an edge, sessions bouncing between them. Exit code 1 on any violation.
"""

import argparse
import asyncio
import random
import secrets
import shutil
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from persistent_clients import Client, Tally, read_back
from stages import VARIANTS, Stage, end_by_sigterm, stage
from verdict import Violation, verdict

_SETTLING = 60.0
"""Seconds after the last kill within which everything must be answered."""
_SHOWN = 50
_LEAST = 4
"""Kills, however slow the machine."""
_PROGRESS = 5.0
"""Longest wait for answers between two kills."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The same seed gives the same clients and victims; when they meet is up to the machine."""

    variant: str
    sessions: int
    seconds: float
    seed: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a plan."""

    plan: Plan
    tally: Tally
    kills: Counter[str]
    violations: list[Violation]

    def __str__(self) -> str:
        plan, tally = self.plan, self.tally
        kills = ", ".join(f"{count} {part}" for part, count in sorted(self.kills.items()))
        return (
            f"kill proof {plan.variant}: {plan.sessions} sessions, {tally.answered} turns,"
            f" {self.kills.total()} kills ({kills}), {tally.repeated} retries, {tally.replayed} replayed answers,"
            f" violations={len(self.violations)}"
        )


async def strike(stage: Stage, tally: Tally, seconds: float, chance: random.Random) -> Counter[str]:
    """Kills for so long. Mostly after something was answered since the last time, so that every kill meets turns in
    flight; sometimes at once, so that it meets processes that are starting."""
    loop = asyncio.get_running_loop()
    end, kills, deck = loop.time() + seconds, Counter[str](), list[str]()
    while loop.time() < end or (kills.total() < _LEAST and loop.time() < end + _SETTLING):
        if chance.random() < 0.85:
            await progress(tally, loop.time() + _PROGRESS)
        await asyncio.sleep(chance.uniform(0.0, 0.8))
        # every part is struck before one is struck again
        deck = deck or chance.sample(stage.parts, len(stage.parts))
        if await stage.strike(part := deck.pop()):
            kills[part.rstrip("0123456789")] += 1
    return kills


async def progress(tally: Tally, until: float) -> None:
    before, loop = tally.answered, asyncio.get_running_loop()
    while tally.answered == before and loop.time() < until:  # noqa: ASYNC110  # bounded, and no client knows of it
        await asyncio.sleep(0.02)


async def run(plan: Plan, folder: Path) -> Outcome:
    """Plays a plan in a folder of its own."""
    shutil.copy(Path(__file__).with_name("counting_agent.py"), folder)
    tally, over = Tally(), asyncio.Event()
    async with stage(plan.variant, folder) as (servers, database):
        clients = [Client(number, plan.seed, servers, tally) for number in range(plan.sessions)]
        deadline = asyncio.get_running_loop().time() + plan.seconds + 2 * _SETTLING
        async with asyncio.TaskGroup() as talking:
            for client in clients:
                talking.create_task(client.talk(over, deadline))
            kills = await strike(servers, tally, plan.seconds, random.Random(f"{plan.seed}/kills"))
            over.set()
        for client in clients:
            await read_back(client.history, servers)
    violations = [violation for client in clients for violation in verdict(client.history)]
    violations += [Violation("", "half-written turn", flaw) for flaw in database.flaws()]
    return Outcome(plan, tally, kills, violations)


def proved_wrong(plan: Plan) -> bool:
    """Plays a plan in a temporary folder, and prints what came of it."""
    print(f"kill proof {plan.variant}: seed {plan.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="greenroom-proof-") as folder:
        outcome = asyncio.run(run(plan, Path(folder)))
    for violation in outcome.violations[:_SHOWN]:
        print(violation)
    print(outcome, flush=True)
    return bool(outcome.violations)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--variant", choices=VARIANTS, action="append", help="may be given again; all of them if not")
    parser.add_argument("--sessions", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=None)
    given = parser.parse_args()
    end_by_sigterm()
    seed = given.seed if given.seed is not None else secrets.randbits(32)
    plans = [Plan(variant, given.sessions, given.seconds, seed) for variant in given.variant or VARIANTS]
    sys.exit(sum(map(proved_wrong, plans)) > 0)


if __name__ == "__main__":
    main()
