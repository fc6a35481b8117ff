"""The state machine of clients (placing_machine) on SQLite and on PostgreSQL.

`make test` plays a few games, always the same ones. GREENROOM_PLACING_GAMES=2000 plays as many random ones, of
GREENROOM_PLACING_MOVES moves each (default 60): `pytest -n 0 tests/spec/test_placing_machine.py`.
"""

import asyncio
import itertools
import logging
import os
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from placing_agent import Diarist
from placing_machine import Clients, Stage
from whole_sandbox import PATIENCE, sandbox

GAMES = int(os.environ.get("GREENROOM_PLACING_GAMES", "0"))
MOVES = int(os.environ.get("GREENROOM_PLACING_MOVES", "60"))
FEW = settings(max_examples=8, stateful_step_count=40, derandomize=True, database=None, phases=[Phase.generate])


@contextmanager
def playing(folder: Path, database: str) -> Iterator[Stage]:
    """A sandbox with the diarist, on a loop of its own: the machine is no coroutine."""
    loop, diarist = asyncio.new_event_loop(), Diarist()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def run(work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, loop).result(PATIENCE)

    whole = sandbox(folder, diarist.agent, database=database)
    try:
        yield Stage(run(whole.__aenter__()), diarist, run)
    finally:
        run(whole.__aexit__(None, None, None))
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_every_kind_of_client_gets_the_right_answer_and_its_twin_too(
    request: pytest.FixtureRequest, tmp_path: Path, caplog: pytest.LogCaptureFixture, database: str
) -> None:
    caplog.set_level(logging.CRITICAL, "greenroom.core.turns")  # the agent fails when it is asked to
    url = request.getfixturevalue("postgres_url") if database == "postgres" else ""
    with playing(tmp_path, url) as stage:
        machine = type("Played", (Clients,), {"stage": stage, "names": itertools.count(1)})
        profile = (
            settings(
                verbosity=__import__("hypothesis").Verbosity.verbose,
                max_examples=GAMES,
                stateful_step_count=MOVES,
                print_blob=True,
            )
            if GAMES
            else FEW
        )
        checks = [*HealthCheck]
        run_state_machine_as_test(machine, settings=settings(profile, deadline=None, suppress_health_check=checks))
