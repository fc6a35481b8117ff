"""Each turn counts once while edge, core and database are killed (CHAT-15..17). `make soak` plays this at full length."""

from pathlib import Path

import pytest
from kill_proof import Plan, run
from stages import VARIANTS


@pytest.mark.parametrize("variant", VARIANTS)
async def test_each_turn_counts_once_while_processes_are_killed(tmp_path: Path, variant: str) -> None:
    outcome = await run(Plan(variant, sessions=16, seconds=1.5, seed=20240121), tmp_path)
    assert [str(violation) for violation in outcome.violations] == []
    assert outcome.kills.total() >= 4
    assert outcome.tally.answered > outcome.plan.sessions
    assert outcome.tally.repeated > 0
