"""The same scenarios, session ids and messages give the same replies, tool-call ids, dates and worlds on every run.

When the agent is meant to answer otherwise, record anew: see record_support.py.
"""

import os
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import support_recording
from support_recording import FILE, differences, read_recording, replay

from greenroom.agents.support import agent
from greenroom.core.scenario_files.load import load_scenarios


def test_500_recorded_turns_come_again_in_another_process_after_the_database_was_deleted(tmp_path: Path) -> None:
    """Once as they were recorded, a few at a time; then the other way round, many at a time, elsewhere in the world."""
    store = tmp_path / "store"
    url = f"sqlite:///{store}/replay.db"
    store.mkdir()
    assert replay(url, backwards=False, together=6) == ""
    shutil.rmtree(store)
    store.mkdir()
    elsewhere = {**os.environ, "PYTHONHASHSEED": "77", "TZ": "Asia/Kolkata"}
    again = [sys.executable, support_recording.__file__, url]
    ended = subprocess.run(again, env=elsewhere, capture_output=True, text=True, timeout=120, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_the_recording_has_all_scenarios_and_both_kinds_of_clients() -> None:
    sessions, answers = read_recording()
    asked = [asked for session in sessions for asked in session.asked]
    assert (len(asked), sum(map(len, answers.values()))) == (500, 500)
    assert {session.scenario for session in sessions} == {s.id for s in load_scenarios(agent, []).scenarios}
    assert FILE.stat().st_size < 400_000
    kinds = Counter(
        "last" if one.path is None else "on" if one.path[-1:] == (number,) else "back" if number else "first"
        for session in sessions
        for number, one in enumerate(session.asked)
    )
    assert min(kinds[kind] for kind in ("last", "on", "back")) >= 50
    again = [
        one
        for session in sessions
        for number, one in enumerate(session.asked)
        if one.path is not None and one in session.asked[:number]
    ]
    assert len(again) >= 10, "replies that are made anew"
    assert (
        {bool(session.user) for session in sessions} == {bool(session.profile) for session in sessions} == {True, False}
    )


def test_another_answer_is_told_with_what_is_different() -> None:
    _, recorded = read_recording()
    session = min(recorded)
    other = [replace(recorded[session][0], dates=["2026-11-22"]), *recorded[session][1:]]
    [told] = differences(recorded, {**recorded, session: other})
    assert told.splitlines()[0] == f"{session}, request 1"
    assert "now: ['2026-11-22']" in told
