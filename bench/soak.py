"""`make soak`: the sandbox under steady load for a long time (`--minutes`), with its memory and its errors.

Exits with 1 when a request failed or memory grew by more than a fifth after the first tenth of the time.
"""

import argparse
import asyncio
import sys
import time

from bench.load import at_rate
from bench.meter import memory_mb
from bench.servers import sandbox

_GROWTH = 1.2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--rate", type=float, default=200, help="requests a second")
    arguments = parser.parse_args()
    total = arguments.minutes * 60
    slice_seconds = max(total / 10, 1.0)
    with sandbox() as (target, _):
        baseline, errors, started = 0.0, 0, time.monotonic()
        while time.monotonic() - started < total:
            load = asyncio.run(at_rate(target, rate=arguments.rate, seconds=slice_seconds))
            memory = memory_mb(target.pids)
            baseline = baseline or memory
            errors += load.errors
            took = (time.monotonic() - started) / 60
            print(
                f"{took:6.1f} min  {load.requests} requests  {load.errors} errors  p99 {load.p99_ms:.1f} ms  {memory} MB"
            )
    grown = memory / baseline
    print(f"memory grew by {grown:.2f} ×, {errors} errors")
    if errors or grown > _GROWTH:
        sys.exit(1)


if __name__ == "__main__":
    main()
