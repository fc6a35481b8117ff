"""Cassettes as files: broken off, edited by hand, named in two ways, written by several."""

import asyncio
import json
import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest

from greenroom.core.cassettes.appending import append
from greenroom.core.cassettes.cassette import Cassette, CassetteError
from greenroom.core.cassettes.deck import Deck
from greenroom.core.cassettes.recording import Recording
from greenroom.core.cassettes.rule import CassetteRule
from greenroom.core.errors import NotRecorded
from greenroom.sdk import Agent, Turn
from greenroom.sdk.testing import play

ANSWERS = [0]


def recording_of(number: int, response: str = "1") -> Recording:
    return Recording(
        agent="a",
        scenario="s",
        turn=1,
        kind="tool",
        name="t",
        request=msgspec.Raw(json.dumps({"n": number}).encode()),
        response=msgspec.Raw(response.encode()),
    )


def line_of(number: int, response: str = "1") -> bytes:
    return msgspec.json.encode(recording_of(number, response))


def answers_of(path: Path) -> dict[int, str]:
    return {json.loads(bytes(one.request))["n"]: bytes(one.response).decode() for one in Cassette(path)}


def test_a_line_that_breaks_off_is_left_out_and_taken_away_by_the_next(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "c.jsonl"
    long = line_of(2, json.dumps("é" * 100_000))
    for half in (long[: len(long) // 2], long[:-1], b"{", long[:120_000]):
        path.write_bytes(line_of(1) + b"\n" + half)
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            cassette = Cassette(path)
        assert len(cassette) == 1
        assert "c.jsonl, line 2, breaks off" in caplog.text
        cassette.add([recording_of(3)])
        assert path.read_bytes() == line_of(1) + b"\n" + line_of(3) + b"\n"
    path.write_bytes(long[:-1])
    Cassette(path).add([recording_of(3)])
    assert path.read_bytes() == line_of(3) + b"\n"


def test_a_last_line_without_its_end_is_ended(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    for last in (line_of(2), line_of(2) + b"  ", b"\xef\xbb\xbf" + line_of(2)):
        path.write_bytes(last)
        Cassette(path).add([recording_of(3)])
        assert sorted(answers_of(path)) == [2, 3]


def test_a_broken_line_that_was_ended_is_somebodys_mistake(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    path.write_bytes(line_of(1)[:-1] + b"\n" + line_of(2) + b"\n")
    with pytest.raises(CassetteError, match="line 1, is no recording"):
        Cassette(path)


@pytest.mark.parametrize("text", ["my notes", '{"agent": "a"}', "[1, 2"])
def test_a_file_that_never_was_a_cassette_is_left_as_it_is(tmp_path: Path, text: str) -> None:
    path = tmp_path / "notes.txt"
    path.write_text(text)
    with pytest.raises(CassetteError, match="line 1, is no recording"):
        Cassette(path)
    assert path.read_text() == text


def test_a_cassette_may_be_edited_by_hand(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    spaced = line_of(1, '"first"').replace(b'{"n": 1}', b'{ "n" : 1.0e0 }').replace(b"1.0e0", b"1")
    lines = [b"\xef\xbb\xbf" + spaced, b"", line_of(1, '"second"'), line_of(2)]
    path.write_bytes(b"\r\n".join(lines))
    assert answers_of(path) == {1: '"first"', 2: "1"}


def test_several_writers_mix_no_lines(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    text = json.dumps("x" * 50_000)
    with ThreadPoolExecutor(8) as writers:
        list(writers.map(lambda number: append(path, line_of(number, text) + b"\n"), range(100)))
    assert answers_of(path) == dict.fromkeys(range(100), text)


async def asked(turn: Turn) -> str:
    async def ask() -> int:
        ANSWERS[0] += 1
        return ANSWERS[0]

    return str(await turn.recorded("model", turn.text, ask))


async def test_a_cassette_named_in_two_ways_is_one(tmp_path: Path) -> None:
    (tmp_path / "scenarios").mkdir()
    (tmp_path / "scenarios" / "own.yaml").write_text("id: own\ncassette: {record: ../c.jsonl}\n")
    agent = Agent("a")
    agent.reply(asked)
    deck = Deck(CassetteRule(record=str(tmp_path / "c.jsonl")))
    two = await asyncio.gather(
        deck._opened(str(tmp_path / "c.jsonl")), deck._opened(str(tmp_path / "scenarios" / ".." / "c.jsonl"))
    )
    assert two[0] is two[1]


async def test_what_was_recorded_in_this_run_has_no_line(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    for name, what in (("recording", "record"), ("replaying", "replay")):
        (tmp_path / f"{name}.yaml").write_text(f"id: {name}\ncassette: {{{what}: c.jsonl}}\n")
    path.touch()
    cassette = Cassette(path)
    cassette.add([recording_of(1)])
    agent = Agent("a")
    agent.reply(asked)
    await play(agent, ["one"], scenarios=tmp_path, metadata={"scenario_id": "recording"})
    with pytest.raises(NotRecorded, match=r"the nearest is line 2 \(turn 1 of scenario recording\)"):
        await play(agent, ["two"], scenarios=tmp_path, metadata={"scenario_id": "replaying"})
    assert [one.line for one in cassette] == [0]
