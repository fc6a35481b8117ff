"""An agent that is a command: what it is told, what it may say, and what is left of it."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from commands import commanding, is_there, runs, script
from core_running import PATIENCE, Running, request, until

from greenroom.agents.remote import CommandAgent
from greenroom.sdk import AgentError, ToolError, World, tool
from greenroom.sdk.testing import play
from greenroom.v1 import agent_pb2, turn_pb2, user_pb2


@pytest.fixture(scope="module")
def anyio_backend() -> tuple[str, dict[str, Any]]:
    """As served: its transports are not asyncio's own."""
    return "asyncio", {"use_uvloop": True}


@tool
async def take(world: World, item: str) -> int:
    """Takes one of an item."""
    if item not in world["stock"]:
        raise ToolError(f"no {item}", code="unknown_item")
    world["stock"][item] -= 1
    return int(world["stock"][item])


STOCK = {"stock": {"pen": 5}}

TELLS_ALL = "write(reply=sys.stdin.readline())"


async def test_a_script_that_writes_one_line_is_an_agent(tmp_path: Path) -> None:
    async with commanding(tmp_path, """echo '{"text": "hi"}'""") as core:
        assert (await core.say("hello")).text == "hi"


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_an_author_plays_it_without_a_server_on_the_plain_event_loop(tmp_path: Path) -> None:
    echoing = "turn = json.loads(sys.stdin.read())\nwrite(reply=turn['text'])"
    replies = await play(CommandAgent(script(tmp_path, echoing, python=True)), ["one", "two"])
    assert [reply.text for reply in replies] == ["one", "two"]


async def test_it_gets_the_whole_conversation_and_all_that_is_known_of_the_turn_with_the_text_first(
    tmp_path: Path,
) -> None:
    async with commanding(tmp_path, TELLS_ALL, python=True, tools=[take], world=STOCK) as core:
        await core.users.CreateUser(
            user_pb2.CreateUserRequest(user_id="u1", profile_json='{"tier":"gold"}', metadata_json='{"a":1}')
        )
        first = json.loads((await core.say("one", user_id="u1")).text)
        asked = request('say "zwölf"', user_id="u1", metadata_json='{"b":2}', options_json='{"seed":3}')
        asked.messages.insert(0, turn_pb2.Message(role="system", content="Be brief."))
        asked.request_id = "req_2"
        asked.traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        line = (await core.agents.RunTurn(asked, timeout=PATIENCE)).reply.text
    assert line.startswith('{"text":"say \\"zwölf\\"",')
    turn = json.loads(line)
    assert [(each["role"], each["content"]) for each in turn["messages"]][0::3] == [
        ("system", "Be brief."),
        ("user", 'say "zwölf"'),
    ]
    assert turn["tools"] == [take.openai()]
    assert 0 < turn.pop("time_left") <= PATIENCE + 1
    assert turn["id"] != first["id"]
    assert turn["key"] != first["key"]
    assert {name: turn[name] for name in sorted(turn.keys() - {"id", "key", "messages", "tools", "text"})} == {
        "chat_id": first["chat_id"],
        "metadata": {"a": 1, "b": 2},
        "now": "2024-01-21T10:31:00+00:00",
        "number": 2,
        "options": {"seed": 3},
        "request_id": "req_2",
        "session_id": "s1",
        "state": {},
        "system": ["Be brief."],
        "traceparent": asked.traceparent,
        "user": {"id": "u1", "profile": {"tier": "gold"}, "metadata": {"a": 1}},
    }


async def test_what_it_says_is_streamed_as_it_comes(tmp_path: Path) -> None:
    waiting = 'echo \'{"text": "one "}\'\nread -r _ < pipe\nprintf \'%s\' \'{"text": "two"}\''
    body = f"cd '{tmp_path}'\nmkfifo pipe\n{waiting}"
    async with commanding(tmp_path, body) as core:
        events = aiter(core.agents.StreamTurn(agent_pb2.StreamTurnRequest(turn=request("go")), timeout=PATIENCE))
        assert (await anext(events)).HasField("started")
        assert (await anext(events)).text_delta == "one "
        await asyncio.to_thread((tmp_path / "pipe").write_text, "go\n")
        rest = [event async for event in events]
    assert rest[-1].completed.text == "one two"


async def test_a_reply_carries_confidence_evaluation_metadata_usage_and_state(tmp_path: Path) -> None:
    body = """
turn = json.loads(sys.stdin.readline())
asked = turn["state"].get("asked", 0) + 1
write(text="so ")
write(reply={"text": str(asked), "confidence": 0.5, "evaluation": {"found": True}, "metadata": {"model": "m"},
             "usage": {"prompt_tokens": 7, "completion_tokens": 2}, "state": {"asked": asked}})
"""
    async with commanding(tmp_path, body, python=True) as core:
        await core.say("first")
        reply = await core.say("second")
        assert (await core.say("first", "so 1", "other", transcript=True)).text == "so 2"
    assert (reply.text, reply.confidence, reply.usage.prompt_tokens) == ("so 2", 0.5, 7)
    assert json.loads(reply.evaluation_json)["found"] is True
    assert json.loads(reply.metadata_json) == {"model": "m"}


TAKES = """
turn = json.loads(sys.stdin.readline())
for number, item in enumerate(turn["text"].split()):
    write(tool_call={"id": number, "name": "take", "arguments": {"item": item}})
results = [json.loads(sys.stdin.readline())["tool_result"] for _ in turn["text"].split()]
write(reply=json.dumps(sorted(results, key=lambda result: result["id"])))
"""


async def test_its_calls_of_the_hosts_tools_are_part_of_the_turn(tmp_path: Path) -> None:
    async with commanding(tmp_path, TAKES, python=True, tools=[take], world=STOCK) as core:
        reply = await core.say("pen pen ink")
        first, second, third = json.loads(reply.text)
        assert [first, second] == [{"id": 0, "ok": True, "result": 4}, {"id": 1, "ok": True, "result": 3}]
        assert third == {"id": 2, "ok": False, "error": {"type": "unknown_item", "message": "no ink"}}
        assert [(call.name, call.ok, len(call.changes)) for call in reply.tool_calls] == [
            ("take", True, 1),
            ("take", True, 1),
            ("take", False, 0),
        ]
        assert await core.world() == {"stock": {"pen": 3}}


async def test_a_scenario_scripts_the_tools_it_calls(tmp_path: Path) -> None:
    scenario = {"id": "full", "tools": {"take": [{"return": 99}]}}
    async with commanding(tmp_path, TAKES, python=True, tools=[take], world=STOCK, sources=[[scenario]]) as core:
        reply = await core.say("pen", metadata_json='{"scenario_id":"full"}')
        assert json.loads(reply.text) == [{"id": 0, "ok": True, "result": 99}]
        assert await core.world() == {"stock": {"pen": 5}}


async def test_a_call_whose_result_it_does_not_wait_for_is_made_all_the_same(tmp_path: Path) -> None:
    body = """echo '{"tool_call": {"name": "take", "arguments": {"item": "pen"}}}'; echo '{"text": "taken"}'"""
    async with commanding(tmp_path, body, tools=[take], world=STOCK) as core:
        reply = await core.say("go")
    assert (reply.text, reply.tool_calls[0].result_json) == ("taken", "4")


async def test_calls_it_made_itself_are_recorded(tmp_path: Path) -> None:
    body = """
write(outside={"name": "look", "arguments": {"n": 1}, "result": [2]})
write(outside={"name": "pay", "error": {"type": "declined", "message": "no money"}})
write(reply="done")
"""
    async with commanding(tmp_path, body, python=True) as core:
        reply = await core.say("go")
    assert [(call.name, call.arguments_json, call.result_json, call.ok) for call in reply.tool_calls] == [
        ("look", '{"n": 1}', "[2]", True),
        ("pay", "{}", '{"error":{"type":"declined","message":"no money"}}', False),
    ]


async def test_half_a_character_is_a_question_mark_and_a_whole_one_is_not(tmp_path: Path) -> None:
    body = r"""
write(text="\ud83c, ")
write(reply={"text": "\N{PARTY POPPER}\ud83c\\ud800", "state": {"cut": "\ud800"}})
"""
    async with commanding(tmp_path, body, python=True) as core:
        assert (await core.say("go")).text == "?, \N{PARTY POPPER}?\\ud800"


async def test_it_has_the_environment_of_its_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP", "pens")
    async with commanding(tmp_path, """printf '{"text": "%s"}' "$SHOP\"""") as core:
        assert (await core.say("hello")).text == "pens"


WORKER = """
with open(sys.argv[0] + ".started", "a") as started:
    started.write("x")
seen = []
for line in sys.stdin:
    turn = json.loads(line)
    seen.append(turn["session_id"])
    if turn["text"] == "die":
        os._exit(7)
    if turn["text"] == "hang":
        time.sleep(1000)
    write(id=turn["id"], reply=f"{os.getpid()} {len(seen)}")
    if turn["text"] == "chatter":
        write(text="and another thing")
"""


@pytest.fixture
async def worker(tmp_path: Path) -> AsyncIterator[Running]:
    async with commanding(tmp_path, WORKER, python=True, workers=1) as core:
        yield core


async def test_a_worker_stays_for_the_turns_of_all_sessions_one_at_a_time(worker: Running) -> None:
    replies = await asyncio.gather(*(worker.say("go", sid=f"s{number}") for number in range(8)))
    processes, counts = zip(*(reply.text.split() for reply in replies), strict=True)
    assert len(set(processes)) == 1
    assert sorted(map(int, counts)) == list(range(1, 9))


async def test_workers_have_turns_at_the_same_time(tmp_path: Path) -> None:
    """Each turn waits for the other one to have begun."""
    body = f"""
for line in sys.stdin:
    os.chdir({str(tmp_path)!r})
    turn = json.loads(line)
    open(turn["session_id"], "w").close()
    while not (os.path.exists("a") and os.path.exists("b")):
        time.sleep(0.002)
    write(reply="both")
"""
    async with commanding(tmp_path, body, python=True, workers=2) as core:
        replies = await asyncio.gather(core.say("go", sid="a"), core.say("go", sid="b"))
    assert [reply.text for reply in replies] == ["both", "both"]


async def test_a_worker_that_dies_loses_its_own_turn_and_another_takes_its_place(
    worker: Running, tmp_path: Path
) -> None:
    first = (await worker.say("go")).text.split()[0]
    assert (await worker.refuses("die")).reason == "AGENT_FAILED"
    assert "ended with exit code 7 before it had replied" in (await worker.turns()).failed[0].detail
    await until(lambda: (tmp_path / "agent.started").read_text() == "xx")  # before another turn needs it
    process, count = (await worker.say("go")).text.split()
    assert (process != first, count) == (True, "1")


async def test_a_worker_that_hangs_is_ended_with_its_turn(worker: Running) -> None:
    first = int((await worker.say("go")).text.split()[0])
    asked = request("hang")
    asked.timeout_ms = 300
    with pytest.raises(Exception, match="DEADLINE_EXCEEDED"):
        await worker.agents.RunTurn(asked, timeout=0.3)
    await until(lambda: not is_there(first))
    assert (await worker.say("go")).text.endswith(" 1")


async def test_what_a_worker_says_between_two_turns_is_nobodys(
    worker: Running, caplog: pytest.LogCaptureFixture
) -> None:
    first = int((await worker.say("chatter")).text.split()[0])
    await until(lambda: not is_there(first) or _has_spoken(worker))
    reply = (await worker.say("go", sid="other")).text
    assert "another thing" not in reply


def _has_spoken(core: Running) -> bool:
    agent = next(iter(core.core.agents)).agent
    assert isinstance(agent, CommandAgent)
    processes = agent._processes
    return processes is not None and any(child._lines for child in processes._idle)


async def test_nothing_of_it_is_left_when_its_host_stops(tmp_path: Path) -> None:
    body = "sleep 1000 &\necho $! > below\necho $$ > own\ncat > /dev/null"
    async with commanding(tmp_path, f"cd '{tmp_path}'\n{body}", workers=1):
        await until(lambda: (tmp_path / "own").exists() and (tmp_path / "own").read_text() != "")
    assert not is_there(int((tmp_path / "own").read_text()))
    await until(lambda: not runs(int((tmp_path / "below").read_text())))


def test_a_program_that_cannot_be_run_is_refused_with_what_to_do(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.write_text("#!/bin/sh\n")
    for command, said in [
        (str(plain), f"chmod \\+x {plain}"),
        (str(tmp_path / "nowhere"), "there is no program"),
        ("no-such-program-anywhere", "there is no program"),
        ([], "a program to run"),
    ]:
        with pytest.raises(AgentError, match=said):
            CommandAgent(command)


async def test_its_health_says_when_it_is_gone(tmp_path: Path) -> None:
    agent = CommandAgent(script(tmp_path, "true"))
    assert agent.problem() == ""
    (tmp_path / "agent").unlink()
    assert "cannot be run any more" in agent.problem()
