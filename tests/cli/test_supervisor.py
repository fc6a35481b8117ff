"""The supervisor with children of our own: how often, how soon, and when it gives up."""

import asyncio
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from greenroom.cli.supervisor import ChildFailed, ChildSpec, supervise
from greenroom.cli.watch import Changes

CHILD = """
import json, os, signal, sys, time
role, descriptor = sys.argv[1], int(sys.argv[2])
told = json.loads(sys.stdin.readline())
{before}
with os.fdopen(descriptor, "w") as pipe:
    pipe.write(json.dumps({{"told": told, "pid": os.getpid()}}) + chr(10))
{after}
"""
PATIENCE = 20.0


def spec(folder: Path, before: str = "", after: str = "signal.pause()", **given: Any) -> ChildSpec:
    script = folder / f"child{len(list(folder.iterdir()))}.py"
    script.write_text(CHILD.format(before=before, after=after), encoding="utf-8")
    return ChildSpec("child", lambda: {"number": 7}, command=(sys.executable, str(script)), **given)


async def test_a_child_is_told_and_says_when_it_is_ready(tmp_path: Path) -> None:
    said: list[Mapping[str, Any]] = []
    after = "signal.signal(signal.SIGTERM, lambda *_: os._exit(0))\nsignal.pause()"
    child = spec(
        tmp_path, before="signal.signal(signal.SIGTERM, lambda *_: os._exit(0))", after=after, started=said.append
    )
    async with asyncio.timeout(PATIENCE):
        orderly = await supervise([child], ready=lambda: os.kill(os.getpid(), signal.SIGTERM), drain_timeout=5)
    assert orderly
    assert said[0]["told"] == {"number": 7}


async def test_a_child_that_cannot_start_is_not_started_again(tmp_path: Path) -> None:
    child = spec(tmp_path, before=f"open({str(tmp_path / 'starts')!r}, 'a').write('x'); sys.exit(2)")
    with pytest.raises(ChildFailed) as caught:
        async with asyncio.timeout(PATIENCE):
            await supervise([child], ready=lambda: None, drain_timeout=5)
    assert caught.value.code == 2
    assert (tmp_path / "starts").read_text() == "x"


async def test_a_child_that_keeps_crashing_is_started_again_with_growing_pauses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    really = asyncio.sleep

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 7:
            os.kill(os.getpid(), signal.SIGTERM)
        await really(0)

    monkeypatch.setattr("greenroom.cli.supervisor.asyncio.sleep", sleep)
    async with asyncio.timeout(PATIENCE):
        await supervise([spec(tmp_path, after="sys.exit(1)")], ready=lambda: None, drain_timeout=5)
    assert pauses[:7] == [0.0, 0.1, 0.2, 0.4, 0.8, 1.0, 1.0]


async def test_a_child_that_will_not_end_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("greenroom.cli.supervisor.KILL_AFTER", 0.1)
    stubborn = spec(tmp_path, before="signal.signal(signal.SIGTERM, signal.SIG_IGN)")
    async with asyncio.timeout(PATIENCE):
        orderly = await supervise([stubborn], ready=lambda: os.kill(os.getpid(), signal.SIGTERM), drain_timeout=0.1)
    assert not orderly


async def test_a_patient_child_that_cannot_start_is_started_again_when_something_changes(tmp_path: Path) -> None:
    mended = tmp_path / "mended"

    class Mending:
        """Sees a change once the child has failed."""

        def changes(self) -> Changes | None:
            if mended.exists() or not (tmp_path / "starts").exists():
                return None
            mended.touch()
            return Changes((), (), (mended,))

    before = f"open({str(tmp_path / 'starts')!r}, 'a').write('x'); os.path.exists({str(mended)!r}) or sys.exit(2)"
    before += "\nsignal.signal(signal.SIGTERM, lambda *_: os._exit(0))"
    child = spec(tmp_path, before=before, patient=True)
    async with asyncio.timeout(PATIENCE):
        orderly = await supervise(
            [child], ready=lambda: os.kill(os.getpid(), signal.SIGTERM), drain_timeout=5, watch=Mending()
        )
    assert orderly
    assert (tmp_path / "starts").read_text() == "xx"


async def test_a_patient_child_that_waits_for_a_change_can_be_stopped(tmp_path: Path) -> None:
    class Stopping:
        def changes(self) -> Changes | None:
            if (tmp_path / "starts").exists():
                os.kill(os.getpid(), signal.SIGTERM)
            return None

    child = spec(tmp_path, before=f"open({str(tmp_path / 'starts')!r}, 'a').write('x'); sys.exit(2)", patient=True)
    async with asyncio.timeout(PATIENCE):
        assert await supervise([child], ready=lambda: None, drain_timeout=5, watch=Stopping())
