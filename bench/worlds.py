"""What worlds cost: opening a session, touching one record of very many, reading a whole collection, an ordinary turn.

CPU time of this thread, the least of several rounds; a machine that is busy with other things shows in it all the same.
"""

import gc
import json
import time
import tracemalloc
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from greenroom.core.ledger import WRITER, leave
from greenroom.core.overlay import Base, Overlay, Seed
from greenroom.core.world import World, WorldTurn

if TYPE_CHECKING:
    from bench.__main__ import Report

FIVE_MB = 10_000
"""Records of the seed that is read whole."""


def record(number: int) -> dict[str, Any]:
    """Some 500 bytes of JSON."""
    item = {"sku": f"s{number}", "name": "A thing that somebody has ordered", "quantity": 1, "price": 12.5}
    return {
        "status": "preparing",
        "customer": f"user-{number}",
        "total": 25.0,
        "currency": "EUR",
        "placed_at": "2024-01-03T10:00:00Z",
        "address": {"street": "Main Street 5", "postcode": "12345", "city": "Town", "country": "DE"},
        "carrier": "Fast Parcel",
        "tracking_number": None,
        "items": [item, item],
        "notes": ["leave it with the neighbours", "call first"],
    }


def flat_record(number: int) -> dict[str, Any]:
    """As large, with no dicts or lists in it."""
    return {f"field_{i}": f"value {number} of field {i}, with some text to it" for i in range(10)} | {"items": "none"}


def seed_of(count: int, make: Callable[[int], dict[str, Any]] = record) -> Seed:
    seed = Seed({"orders": {str(n): make(n) for n in range(count)}, "counters": {"n": 0}})
    seed.data  # noqa: B018  # read once in a process, before anything is measured
    return seed


def turn_on(seed: Seed, overlay: Overlay, tool: Callable[[World], None]) -> None:
    """One turn with one call, as far as its world goes."""
    turn = WorldTurn(Base(seed, overlay))
    outside = WRITER.set(turn.ledger.own)
    call = turn.begin()
    before = WRITER.set(call)
    tool(turn.world)
    turn.commit(call)
    leave(before)
    changes = turn.changes()
    turn.close()
    leave(outside)
    overlay.apply(changes)


def microseconds(act: Callable[[], object], times: int, rounds: int = 15) -> float:
    best = float("inf")
    for _ in range(rounds):
        before = time.thread_time()
        for _ in range(times):
            act()
        best = min(best, (time.thread_time() - before) / times)
    return best * 1e6


def writes_one(world: World) -> None:
    """Reads two records and writes a field of one."""
    order, other = world["orders"]["3"], world["orders"]["4"]
    order["status"] = "shipped" if order["status"] == other["status"] else other["status"]


def counts(world: World) -> None:
    world["counters"]["n"] = world["counters"]["n"] + 1


def reads_all(world: World) -> None:
    assert sum(len(order["items"]) for order in world["orders"].values()) > FIVE_MB


def bytes_of_sessions(seed: Seed, count: int = 100) -> float:
    """Memory that an open session takes."""
    tracemalloc.start()
    held = [WorldTurn(Base(seed, Overlay())).world for _ in range(count)]
    size = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return size / len(held)


def measure_worlds(report: "Report", _: object) -> None:
    """Worlds are measured apart from any server."""
    small, large = seed_of(100), seed_of(100_000)
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 50)  # as the processes that serve do
    opening = microseconds(lambda: WorldTurn(Base(large, Overlay())).world, times=200)
    report.add("opening a world of 100,000 records", opening, f"{opening:.1f} µs", "< 50 µs")
    size = bytes_of_sessions(large)
    report.add("memory of a session just opened", size, f"{size:.0f} bytes", "< 4096")
    turns = {count: Overlay() for count in (100, 100_000)}
    few = microseconds(lambda: turn_on(small, turns[100], writes_one), times=50)
    many = microseconds(lambda: turn_on(large, turns[100_000], writes_one), times=50)
    report.add("a turn's world: two of 100 records read, one written", few, f"{few:.0f} µs")
    report.add("the same of 100,000 / of 100", many / few, f"{many / few:.2f} ×", "≤ 1.2 ×")
    counted = Overlay()
    counter = microseconds(lambda: turn_on(small, counted, counts), times=50)
    report.add("a turn's world: a counter counted up", counter, f"{counter:.0f} µs")
    for kind, make in (("nested, six containers each", record), ("flat", flat_record)):
        report_whole(report, kind, seed_of(FIVE_MB, make))


def report_whole(report: "Report", kind: str, seed: Seed) -> None:
    size_mb = len(json.dumps(dict(seed.data["orders"]))) / 1e6
    gc.collect()
    gc.freeze()
    whole = microseconds(lambda: turn_on(seed, Overlay(), reads_all), times=1, rounds=7) / 1000
    report.add(f"reading all of {FIVE_MB:,} records, {kind}, {size_mb:.1f} MB", whole, f"{whole:.0f} ms", "< 50 ms")
