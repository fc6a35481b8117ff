"""Cassettes: what tools and models answer is recorded once, and comes out the same when it is replayed."""

import asyncio
import contextlib
import json
import re
from pathlib import Path
from typing import Any

import pytest

from greenroom.core.cassettes.cassette import Cassette
from greenroom.core.errors import AgentFailed, NotRecorded
from greenroom.sdk import Agent, Call, Reply, Tool, ToolError, ToolFailed, ToolSource, Turn, World, tool
from greenroom.sdk.testing import PlayedReply, play

SECRET = "a-value-that-is-secret"


class Outside:
    """What an agent's tools and its model ask: it never answers the same twice."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def answer(self, name: str) -> int:
        self.asked.append(name)
        return len(self.asked)


def agent_asking(outside: Outside) -> Agent:
    """It makes the calls that it is told as JSON, asks its model about them, and says what came of all of it."""

    @tool
    async def look_up(city: str, key: str = "") -> dict[str, Any]:
        """Asks a service."""
        number = outside.answer("look_up")
        if city == "Nowhere":
            raise ToolError(f"there is no such city (asked with {key})", code="not_found")
        return {"z": number, "city": city, "a": [number, None], "key": key}

    @tool
    def book(world: World, call: Call, city: str) -> str:
        """Books, and writes it down."""
        number = outside.answer("book")
        world["bookings"] = {**world.get("bookings", {}), city: {"number": number, "by": call.id}}
        world["orders"]["1"]["status"] = f"booked {number}"
        world["orders"].pop("2", None)
        return call.id

    @tool
    async def wait(turn: Turn) -> str:
        """Does more with the turn than it returns."""
        turn.state["waited"] = outside.answer("wait")
        return f"waited in {turn.session_id}"

    agent = Agent(
        "asking", tools=[look_up, book, wait], world={"orders": {"1": {"status": "new"}, "2": {"status": "new"}}}
    )

    @agent.reply
    async def reply(turn: Turn) -> Reply:
        results: list[Any] = []
        for name, arguments in json.loads(turn.text):
            if name == "fail":
                raise ValueError("the agent gives up")
            try:
                results.append(await turn.call(name, **arguments))
            except ToolFailed as failed:
                results.append([failed.type, failed.message])

        async def ask() -> dict[str, Any]:
            return {"answer": outside.answer("model"), "for": turn.session_id}

        thought = await turn.recorded("gpt", {"messages": turn.messages.openai(), "whose": turn.session_id}, ask)
        return Reply(json.dumps([results, thought]))

    return agent


def saying(*calls: tuple[str, dict[str, Any]]) -> str:
    return json.dumps(calls)


ROME = saying(("look_up", {"city": "Rome"}), ("book", {"city": "Rome"}))
NOWHERE = saying(("look_up", {"city": "Nowhere"}))


async def recorded(
    path: Path, *requests: str, session_id: str = "first-session", outside: Outside | None = None
) -> list[PlayedReply]:
    return await play(agent_asking(outside or Outside()), requests, session_id=session_id, record=path)


def essence(replies: list[PlayedReply]) -> list[Any]:
    return [
        (reply.text, reply.world, [(call.name, call.result_json, call.ok) for call in reply.tool_calls])
        for reply in replies
    ]


def requests_of(path: Path) -> list[tuple[str, Any]]:
    return [(one["name"], one["request"]) for one in map(json.loads, path.read_text().splitlines())]


async def test_a_replayed_session_comes_out_the_same_and_nothing_is_asked(tmp_path: Path) -> None:
    path = tmp_path / "trip.jsonl"
    first = await recorded(path, ROME, NOWHERE, ROME)
    outside = Outside()
    again = await play(agent_asking(outside), [ROME, NOWHERE, ROME], session_id="first-session", replay=path)
    assert essence(again) == essence(first)
    assert not outside.asked
    assert again[0].world["orders"] == {"1": {"status": "booked 2"}}
    assert again[1].metadata["cassette"] == {"replayed": 2, "recorded": 0}
    assert first[1].metadata["cassette"] == {"replayed": 0, "recorded": 2}
    assert [call.scripted_by for call in again[0].tool_calls] == ["cassette trip.jsonl:1", "cassette trip.jsonl:2"]
    assert [call.changes for call in again[0].tool_calls] == [call.changes for call in first[0].tool_calls]


async def test_another_session_is_answered_alike_with_its_own_ids(tmp_path: Path) -> None:
    path = tmp_path / "trip.jsonl"
    first = await recorded(path, ROME, NOWHERE, ROME)
    again = await play(agent_asking(Outside()), [ROME, NOWHERE, ROME], session_id="another-one", replay=path)
    ids_of = [
        {"first-session": "S", "another-one": "S"} | {call.id: "C" for reply in replies for call in reply.tool_calls}
        for replies in (first, again)
    ]
    assert ids_of[0].keys() & ids_of[1].keys() == {"first-session", "another-one"}
    without = [
        re.sub("|".join(ids), lambda found, ids=ids: ids[found[0]], json.dumps(essence(replies)))
        for ids, replies in zip(ids_of, (first, again), strict=True)
    ]
    assert without[0] == without[1]
    assert again[0].world["bookings"]["Rome"]["by"] == again[0].tool_calls[1].id
    assert not [id for ids in ids_of for id in ids if id in path.read_text()]


async def test_what_was_never_recorded_fails_the_turn_and_the_nearest_is_shown(tmp_path: Path) -> None:
    path = tmp_path / "trip.jsonl"
    await recorded(path, ROME)
    outside = Outside()
    paris = saying(("look_up", {"city": "Paris"}))  # the agent takes a failed call for an answer
    with pytest.raises(NotRecorded) as missing:
        await play(agent_asking(outside), [ROME, paris], replay=path)
    assert str(missing.value) == (
        "trip.jsonl has no recording of the tool look_up in turn 2 of scenario default; the nearest is line 1 (turn 1):"
        ' city is "Paris" here and "Rome" there'
    )
    assert not outside.asked
    with pytest.raises(NotRecorded, match=r"of the model gpt in turn 1 .* messages.0.content is \"\[\]\" here"):
        await play(agent_asking(outside), ["[]"], replay=path)
    await recorded(tmp_path / "other.jsonl", saying(("look_up", {"city": "Rome"})))
    with pytest.raises(NotRecorded, match=r"of the tool book .*there are recordings of look_up alone"):
        await play(agent_asking(outside), [saying(("book", {"city": "Rome"}))], replay=tmp_path / "other.jsonl")


async def test_the_same_asked_twice_in_a_turn_has_two_answers_and_no_third(tmp_path: Path) -> None:
    path = tmp_path / "trip.jsonl"
    twice = saying(("look_up", {"city": "Rome"}), ("look_up", {"city": "Rome"}))
    [first] = await recorded(path, twice)
    [again] = await play(agent_asking(Outside()), [twice], session_id="first-session", replay=path)
    assert again.text == first.text
    thrice = saying(*[("look_up", {"city": "Rome"})] * 3)
    with pytest.raises(
        NotRecorded,
        match=r"asked 3 times there; the nearest is line 1 \(turn 1\): it asks the same",
    ):
        await play(agent_asking(Outside()), [thrice], replay=path)


async def test_in_another_turn_the_last_answer_before_it_holds(tmp_path: Path) -> None:
    path = tmp_path / "trip.jsonl"
    look = saying(("look_up", {"city": "Rome"}))
    cassette_of = agent_asking(Outside())
    await play(cassette_of, [look, "[]", look, "[]", look], record=path)
    cassette = Cassette(path)
    one = next(recording for recording in cassette if recording.name == "look_up")
    found = {turn: cassette.find(one.key, turn, 1) for turn in (1, 2, 3, 4, 9)}
    assert {turn: recording and recording.turn for turn, recording in found.items()} == {1: 1, 2: 1, 3: 3, 4: 3, 9: 5}


async def test_what_is_there_is_replayed_and_what_is_not_is_recorded_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "trip.jsonl"
    await recorded(path, ROME)
    before = path.read_text()
    outside = Outside()
    both = await play(agent_asking(outside), [ROME, NOWHERE], session_id="first-session", replay=path, record=path)
    assert [reply.metadata["cassette"] for reply in both] == [
        {"replayed": 3, "recorded": 0},
        {"replayed": 0, "recorded": 2},
    ]
    assert outside.asked == ["look_up", "model"]
    assert path.read_text().startswith(before)
    again = await play(agent_asking(outside), [ROME, NOWHERE], session_id="first-session", replay=path)
    assert essence(again) == essence(both)


async def test_recording_again_changes_nothing_that_is_there(tmp_path: Path) -> None:
    path = tmp_path / "trip.jsonl"
    await recorded(path, ROME)
    before = path.read_text()
    outside = Outside()
    await recorded(path, ROME, outside=outside)
    assert outside.asked == ["look_up", "book", "model"]
    assert path.read_text() == before


async def test_each_conversation_has_its_own_answers_again(tmp_path: Path) -> None:
    path = tmp_path / "trip.jsonl"
    agent, outside = agent_asking(Outside()), Outside()
    texts = [saying(("look_up", {"city": "Rome"}), ("look_up", {"city": city})) for city in ("Oslo", "Bern", "Rome")]
    live = [await play(agent, [text, ROME], session_id="first-session", record=path) for text in texts]
    again = [await play(agent_asking(outside), [text, ROME], session_id="first-session", replay=path) for text in texts]
    assert [essence(replies) for replies in again] == [essence(replies) for replies in live]
    assert len({replies[0].text for replies in again}) == 3
    assert not outside.asked


async def test_until_a_turn_it_is_replayed_and_then_live(tmp_path: Path) -> None:
    path = tmp_path / "trip.jsonl"
    await recorded(path, *["[]"] * 3)
    lines = [json.loads(line) | {"scenario": "halfway"} for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    (tmp_path / "halfway.yaml").write_text("id: halfway\ncassette: {replay: trip.jsonl, until_turn: 2}\n")
    outside = Outside()
    replies = await play(agent_asking(outside), ["[]"] * 4, scenarios=tmp_path, metadata={"scenario_id": "halfway"})
    assert [reply.metadata.get("cassette") for reply in replies] == [{"replayed": 1, "recorded": 0}] * 2 + [None] * 2
    assert outside.asked == ["model", "model"]


async def test_a_scenarios_cassette_stands_in_the_place_of_the_settings(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text("id: own\ncassette: {record: own.jsonl}\n")
    (tmp_path / "its_child.yaml").write_text("id: its_child\nextends: own\n")
    for scenario in ("own", "its_child"):
        await play(
            agent_asking(Outside()),
            ["[]"],
            scenarios=tmp_path,
            metadata={"scenario_id": scenario},
            record=tmp_path / "settings.jsonl",
        )
    assert [recording.scenario for recording in Cassette(tmp_path / "own.jsonl")] == ["own", "its_child"]
    assert not (tmp_path / "settings.jsonl").exists()


async def test_a_scenarios_rules_decide_before_a_cassette_does(tmp_path: Path) -> None:
    path = tmp_path / "trip.jsonl"
    scripted: list[dict[str, Any]] = [{"id": "default", "tools": {"look_up": [{"return": {"scripted": True}}]}}]
    look = saying(("look_up", {"city": "Rome"}))
    [first] = await play(agent_asking(Outside()), [look], scenarios=scripted, record=path)
    assert [name for name, _ in requests_of(path)] == ["gpt"]
    assert json.loads(first.text)[0] == [{"scripted": True}]


async def test_a_tool_that_takes_the_turn_is_always_called(tmp_path: Path) -> None:
    path = tmp_path / "trip.jsonl"
    waiting = saying(("wait", {}))
    await recorded(path, waiting)
    assert [name for name, _ in requests_of(path)] == ["gpt"]
    outside = Outside()
    [again] = await play(agent_asking(outside), [waiting], session_id="first-session", replay=path)
    assert outside.asked == ["wait"]
    assert again.tool_calls[0].scripted_by == ""


async def test_of_a_turn_that_failed_nothing_is_recorded(tmp_path: Path) -> None:
    path = tmp_path / "trip.jsonl"
    with pytest.raises(AgentFailed):
        await recorded(path, saying(("look_up", {"city": "Rome"}), ("fail", {})))
    assert not path.exists()


async def test_calls_at_the_same_time_have_each_their_answer(tmp_path: Path) -> None:
    path = tmp_path / "trip.jsonl"
    outside = Outside()
    agent = agent_asking(outside)

    @agent.reply
    async def reply(turn: Turn) -> str:
        calls = (turn.call("look_up", city=city) for city in ("Rome", "Oslo", "Rome"))
        return json.dumps(await asyncio.gather(*calls))

    [first] = await play(agent, ["go"], record=path)
    [again] = await play(agent, ["go"], replay=path)
    assert again.text == first.text
    assert len(outside.asked) == 3


async def test_no_secret_reaches_a_cassette(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEATHER_API_KEY", SECRET)
    path = tmp_path / "trip.jsonl"
    texts = (
        saying(("look_up", {"city": "Rome", "key": SECRET}), ("look_up", {"city": "Nowhere", "key": SECRET})),
        saying(("look_up", {"city": f"https://host/?api_key=in-a-query&x={SECRET}"})),
        saying(("book", {"city": 'Rome {"password": "in-\\"json", "access_token": "in-json-too"}'})),
        saying(("look_up", {"city": "Bearer of-a-header", "key": "https://ann:pass-word@host/"})),
    )
    first = await recorded(path, *texts)
    kept = path.read_text()
    for secret in (SECRET, "in-a-query", 'in-\\\\\\"json', "json", "in-json-too", "of-a-header", "pass-word"):
        assert secret not in kept.replace("jsonl", ""), secret
    outside = Outside()
    again = await play(agent_asking(outside), texts, session_id="first-session", replay=path)
    assert not outside.asked
    assert [len(reply.tool_calls) for reply in again] == [len(reply.tool_calls) for reply in first]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('{"agent": "a"}\n', "line 1, is no recording: .*scenario"),
        ('\n{"agent": \n', "line 2, is no recording: "),
        ("\u00e9".encode("latin-1"), "line 1, is no recording: "),
    ],
)
async def test_a_file_that_is_no_cassette_is_refused_with_its_line(
    tmp_path: Path, text: str | bytes, complaint: str
) -> None:
    path = tmp_path / "odd.jsonl"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(ValueError, match=complaint):
        await play(agent_asking(Outside()), ["[]"], replay=path)


async def test_a_cassette_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"there is no cassette .*nowhere.jsonl; record one first"):
        await play(agent_asking(Outside()), ["[]"], replay=tmp_path / "nowhere.jsonl")
    with pytest.raises(ValueError, match="there is no folder for "):
        await play(agent_asking(Outside()), ["[]"], record=tmp_path / "no" / "trip.jsonl")


async def test_a_cassette_that_cannot_be_written_fails_no_turn_and_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "trip.jsonl"
    outside = Outside()
    agent = agent_asking(outside)

    @agent.reply
    async def reply(turn: Turn) -> str:
        await turn.call("look_up", city="Rome")
        path.mkdir(exist_ok=True)
        return "done"

    [played] = await play(agent, ["go"], record=path)
    assert played.text == "done"
    assert "the cassette trip.jsonl cannot be written: Is a directory: 1 recordings are lost" in caplog.text


class Elsewhere(ToolSource):
    """A source that counts how often it is started and called."""

    def __init__(self) -> None:
        self.started = self.called = 0

    @property
    def name(self) -> str:
        return "elsewhere"

    @property
    def tools(self) -> tuple[Tool[..., Any], ...]:
        return (self._tool,) if self.started else ()

    async def startup(self) -> None:
        self.started += 1
        schema = {"type": "object", "properties": {"city": {"type": "string"}}}
        self._tool = Tool.described("far", self._far, description="Far away.", parameters=schema)

    async def _far(self, arguments: dict[str, Any]) -> str:
        self.called += 1
        return f"{arguments['city']} {self.called}"


async def test_a_source_of_tools_need_not_be_there_when_all_is_replayed(tmp_path: Path) -> None:
    path = tmp_path / "trip.jsonl"
    source = Elsewhere()
    agent = Agent("traveller", tools=[source])

    @agent.reply
    async def reply(turn: Turn) -> str:
        [described] = turn.tools.openai()
        return json.dumps([described, await turn.call("far", city=turn.text)])

    [first] = await play(agent, ["Rome"], record=path)
    [again] = await play(agent, ["Rome"], replay=path)
    assert again.text == first.text
    assert (source.started, source.called) == (1, 1)
    [live] = await play(agent, ["Rome"])
    assert json.loads(live.text)[1] == "Rome 2"


async def test_a_scenarios_cassette_has_no_secret_where_the_test_names_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEATHER_API_KEY", SECRET)
    (tmp_path / "own.yaml").write_text("id: own\ncassette: {record: own.jsonl}\n")
    look = saying(("look_up", {"city": "Rome", "key": SECRET}))
    await play(agent_asking(Outside()), [look], scenario="own", scenarios=tmp_path)
    kept = (tmp_path / "own.jsonl").read_text()
    assert "Rome" in kept
    assert SECRET not in kept


async def test_a_call_that_the_turn_does_not_wait_for_comes_out_the_same(tmp_path: Path) -> None:
    path = tmp_path / "trip.jsonl"
    started = asyncio.Event()

    @tool
    async def never() -> str:
        """Takes longer than the turn."""
        started.set()
        await asyncio.Event().wait()
        return "done"

    agent = Agent("hasty", tools=[never])
    left: list[asyncio.Future[Any]] = []

    @agent.reply
    async def reply(turn: Turn) -> str:
        left.append(asyncio.ensure_future(turn.call(never)))
        await asyncio.wait(left[-1:], timeout=0.05)
        return "I did not wait."

    [first] = await play(agent, ["go"], record=path)
    started.clear()
    [again] = await play(agent, ["go"], replay=path)
    for one in left:
        one.cancel()
    await asyncio.gather(*left, return_exceptions=True)
    assert not started.is_set()
    assert essence([again]) == essence([first])
    assert [call.ok for call in again.tool_calls] == [False]


async def test_what_was_asked_again_after_a_failure_is_the_answer(tmp_path: Path) -> None:
    path = tmp_path / "again.jsonl"
    answers = iter(range(10))
    works = iter([True, False, True, False, True, True])
    agent = Agent("stubborn")

    async def ask() -> int:
        if not next(works):
            raise ConnectionError("try again")
        return next(answers)

    @agent.reply
    async def reply(turn: Turn) -> str:
        told: list[int] = []
        while len(told) < int(turn.text):
            with contextlib.suppress(ConnectionError):
                told.append(await turn.recorded("gpt", {"ask": 1}, ask))
        return str(told)

    live = await play(agent, ["1", "2", "1"], record=path)
    assert [reply.text for reply in live] == ["[0]", "[1, 2]", "[3]"]
    assert essence(await play(agent, ["1", "2", "1"], replay=path)) == essence(live)


async def test_what_tools_at_the_same_time_ask_alike_is_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "parallel.jsonl"
    outside = Outside()

    both = asyncio.Barrier(2)

    async def ask() -> int:
        if len(outside.asked) % 3 < 2:
            number = outside.answer("service")
            await both.wait()
            return number
        return outside.answer("service")

    async def plain(arguments: dict[str, Any], turn: Turn) -> int:
        return await turn.recorded("service", {"ask": 1}, ask)

    async def live(arguments: dict[str, Any], turn: Turn) -> int:
        turn.stays_live()
        return await plain(arguments, turn)

    parts: Any = {"parameters": {"type": "object", "properties": {}}, "replayable": True}
    agent = Agent("parallel", tools=[Tool.described("plain", plain, **parts), Tool.described("live", live, **parts)])

    @agent.reply
    async def reply(turn: Turn) -> str:
        return str([*await asyncio.gather(turn.call("plain"), turn.call("live")), await plain({}, turn)])

    first = await play(agent, ["go", "on"], record=path)
    asked = len(outside.asked)
    assert essence(await play(agent, ["go", "on"], replay=path)) == essence(first)
    assert len(outside.asked) == asked


async def test_what_a_recorded_call_was_answered_from_the_cassette_is_no_question_of_the_turn(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    outside = Outside()

    async def ask() -> int:
        return outside.answer("service")

    async def look(arguments: dict[str, Any], turn: Turn) -> int:
        return await turn.recorded("service", {"ask": 1}, ask)

    parameters = {"type": "object", "properties": {}}
    agent = Agent("asking", tools=[Tool.described("look", look, parameters=parameters, replayable=True)])

    @agent.reply
    async def reply(turn: Turn) -> str:
        looked = [await turn.call("look")] if turn.text == "look" else []
        return str([*looked, await look({}, turn)])

    await play(agent, ["ask"], record=path)
    first = await play(agent, ["look"], record=path, replay=path)
    assert essence(await play(agent, ["look"], replay=path)) == essence(first)
