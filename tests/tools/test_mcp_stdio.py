"""An MCP server that is a program: its tools in turns, and all that it can do wrong."""

import asyncio
import json
import logging
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
from core_running import until
from tool_talk import Talk, talking

from greenroom.core.records import Message
from greenroom.core.request import TurnRequest
from greenroom.sdk import Agent, AgentError, ToolFailed, Turn
from greenroom.sdk.testing import play
from greenroom.tools.mcp import McpServer

STUB = Path(__file__).parent / "stub_mcp.py"
SECRET = "s3cr3t-token"
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def stub(*words: str, **given: Any) -> McpServer:
    return McpServer("stub", command=[sys.executable, "-S", "-I", str(STUB), *words], **given)


def failure(kind: str, message: str) -> list[str]:
    return [kind, message]


async def process_of(talk: Talk) -> psutil.Process:
    return psutil.Process(json.loads(await talk.call("surroundings"))["pid"])


def is_over(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


async def test_its_tools_are_the_agents_with_what_it_says_of_them() -> None:
    async with talking(stub()) as talk:
        assert talk.problem() == ""
        [echo] = [tool for tool in talk.agent.tools if tool.name == "echo"]
        assert echo.openai()["function"] == {
            "name": "echo",
            "description": "Says it again.",
            "parameters": {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]},
        }
        assert echo.timeout == 30
        assert await talk.call("echo", text="hello") == "hello"  # a text stays one
        assert await talk.call("add", a=1, b=2) == {"sum": 3}
        assert await talk.call("surroundings") != await talk.call("meta")
        assert await talk.call("a_b_c") == "called a.b/c"  # names that models do not take


async def test_allow_and_prefix_say_which_tools_and_under_which_names() -> None:
    async with talking(stub(allow=["e*", "add", "a.*", "remove"], prefix="shop_")) as talk:
        assert talk.names == ["shop_echo", "shop_add", "shop_a_b_c"]
        assert await talk.call("shop_echo", text="hello") == "hello"
        assert talk.problem() == "tools of mcp.stub: allow: there is no remove"


async def test_a_call_brings_along_what_it_may_be_known_by() -> None:
    async with talking(stub()) as talk:
        said = (Message("user", '["meta", {}]'),)
        request = TurnRequest(messages=said, session_id="s", traceparent=TRACE)
        meta = json.loads(json.loads((await talk.core.turns.run(request)).turn.reply))
    assert meta.pop("greenroom/idempotency-key").startswith("key0_")
    assert meta == {"greenroom/session-id": "s", "traceparent": TRACE}


async def test_what_a_scenario_scripts_the_server_does_not_see() -> None:
    agent = Agent("scripted", tools=[stub()])

    @agent.reply
    async def reply(turn: Turn) -> str:
        return f"{await turn.call('add', a=1, b=2)} {await turn.call('echo', text='hello')}"

    scenario = {"id": "odd", "tools": {"add": [{"return": {"sum": 7}}]}}
    [played] = await play(agent, ["go"], scenarios=[scenario], metadata={"scenario_id": "odd"})
    assert played.text == "{'sum': 7} hello"
    assert [call.scripted_by != "" for call in played.tool_calls] == [True, False]


async def test_its_program_gets_few_variables_and_runs_where_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STUB_TOKEN", SECRET)
    monkeypatch.setenv("OTHER_SECRET", "not for it")
    async with talking(stub(env={"COLOUR": "green"}, env_from=["STUB_TOKEN"], folder=tmp_path)) as talk:
        around = json.loads(await talk.call("surroundings"))
    assert around["folder"] == str(tmp_path)
    assert (around["env"]["COLOUR"], around["env"]["STUB_TOKEN"]) == ("green", SECRET)
    assert {"PATH", "HOME"} <= set(around["env"])
    assert "OTHER_SECRET" not in around["env"]


async def test_what_it_holds_that_is_no_text_is_told_of() -> None:
    async with talking(stub()) as talk:
        text, picture, page, link = (await talk.call("parts"))["content"]
    assert text == {"type": "text", "text": "see"}
    assert picture == {"type": "image", "mime_type": "image/png", "bytes": 4}
    assert (page["uri"], page["letters"], len(page["text"])) == ("file:///page", 20_000, 16 * 1024)
    assert link == {"type": "resource_link", "uri": "file:///other", "name": "other"}


async def test_failures_name_the_server_and_hide_its_secrets(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "greenroom")
    monkeypatch.setenv("STUB_TOKEN", SECRET)
    async with talking(stub(env_from=["STUB_TOKEN"])) as talk:
        assert await talk.call("fail") == failure("failed", "mcp.stub: no such order, says [redacted]")
        assert await talk.call("refuse") == failure("invalid_arguments", "mcp.stub: not like that, [redacted]")
        kind, message = await talk.call("promise")
        assert kind == "bad_answer"
        assert message.startswith("mcp.stub gave an answer that is not right: Invalid structured content")
        none = "mcp.stub gave an answer that is none: content: Field required"
        assert await talk.call("no_answer") == failure("bad_answer", none)
        unsaid = 'mcp.stub: Failed to parse its answer: {"jsonrpc": "2.0", "id": '
        kind, said = await talk.call("unsaid")
        assert (kind, said[: len(unsaid)]) == ("bad_answer", unsaid)
        assert await talk.call("chatter") == "said"  # what its code prints between the messages breaks nothing
        await until(lambda: any(one.startswith("mcp.stub: xxx") for one in caplog.messages))
    assert "mcp.stub: complaint with [redacted]" in caplog.messages
    assert "mcp.stub: it wrote to its standard output what is no message: Debug: token [redacted]" in caplog.messages
    assert max(map(len, caplog.messages)) < 600
    assert SECRET not in caplog.text


async def test_a_call_past_its_time_fails_and_is_cancelled_at_the_server() -> None:
    async with talking(stub(timeout=0.2)) as talk:
        assert await talk.call("wait", seconds=5) == failure("timeout", "mcp.stub did not answer within 0.2 s")
        assert await talk.call("cancelled") == "True"
        assert talk.problem() == ""


async def test_calls_of_many_turns_run_at_once_over_one_connection() -> None:
    async with talking(stub()) as talk:
        async with asyncio.timeout(5):
            assert await asyncio.gather(*(talk.call("wait", seconds=0.3) for _ in range(40))) == ["waited"] * 40


async def test_several_connections_share_the_calls() -> None:
    async with talking(stub(connections=3)) as talk:
        told = await asyncio.gather(*(talk.call("surroundings") for _ in range(9)))
        around = list({json.loads(one)["pid"] for one in told})
        assert len(around) == 3
        os.kill(around[0], signal.SIGKILL)
        await until(lambda: talk.problem().startswith("tools of mcp.stub: 1 of 3 connections are down: it ended"))
        assert await talk.call("echo", text="hello") == "hello"
        await until(lambda: talk.problem() == "")


async def test_one_that_dies_in_a_call_fails_it_and_is_started_anew() -> None:
    async with talking(stub()) as talk:
        before = talk.agent.tools
        gone = "mcp.stub went away before it had answered: it ended with exit code 3"
        assert await talk.call("die") == failure("unavailable", gone)
        assert talk.problem() == "tools of mcp.stub: it ended with exit code 3"
        assert talk.agent.tools is before  # they are known still
        assert await talk.call("echo", text="hello") == "hello"  # which waits until it is there again
        assert talk.problem() == ""
        assert talk.agent.tools is before


async def test_one_that_shuts_its_mouth_is_started_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("greenroom.tools.mcp.stdio._ENDING", 0.1)
    async with talking(stub()) as talk:
        process = await process_of(talk)
        gone = "mcp.stub went away before it had answered: it closed its standard output"
        assert await talk.call("close") == failure("unavailable", gone)
        assert await talk.call("echo", text="hello") == "hello"
        assert is_over(process)


async def test_one_that_is_not_there_is_told_of_and_heals_without_a_restart(tmp_path: Path) -> None:
    program = tmp_path / "server"
    async with talking(McpServer("late", command=["./server", "word"], folder=tmp_path)) as talk:
        assert talk.names == []
        assert talk.problem() == "tools of mcp.late: there is no program ./server"
        program.write_text(f'#!/bin/sh\nexec {sys.executable} -S -I {STUB} "$@"')
        program.chmod(0o755)
        await until(lambda: talk.problem() == "")
        assert await talk.call("echo", text="hello") == "hello"
        program.unlink()
        (await process_of(talk)).kill()
        await until(lambda: talk.problem() == "tools of mcp.late: there is no program ./server")
        gone = "mcp.late is not available: there is no program ./server"
        assert await talk.call("echo", text="hello") == failure("unavailable", gone)


async def test_a_missing_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    async with talking(stub(env_from=["STUB_TOKEN"])) as talk:
        assert talk.problem() == "tools of mcp.stub: the environment has no STUB_TOKEN"


async def test_a_command_in_one_piece_is_told_how_it_is_written() -> None:
    async with talking(McpServer("stub", command="python shop.py")) as talk:
        hint = 'with its arguments it is ["python", "shop.py"]'
        assert talk.problem() == f"tools of mcp.stub: there is no program python shop.py; {hint}"


async def test_one_that_ends_is_told_of_with_what_it_said_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STUB_TOKEN", SECRET)
    code = "import os, sys; print('begun', file=sys.stderr); sys.exit('no database for ' + os.environ['STUB_TOKEN'])"
    ending = McpServer("stub", command=[sys.executable, "-S", "-I", "-c", code], env_from=["STUB_TOKEN"])
    async with talking(ending) as talk:
        words = "its last words: no database for [redacted]"
        assert talk.problem() == f"tools of mcp.stub: it ended with exit code 1; {words}"


async def test_one_that_never_answers_is_told_of_and_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("greenroom.tools.mcp.pool._PATIENCE", 0.3)
    async with talking(stub("silent")) as talk:
        assert talk.problem() == "tools of mcp.stub: it does not answer within 0.3 s"


async def test_one_without_tools_is_told_of() -> None:
    async with talking(stub("nameless")) as talk:
        assert talk.problem() == "tools of mcp.stub: it offers no tools"


async def test_the_start_does_not_wait_for_a_slow_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("greenroom.tools.mcp.server._STARTING", 0.05)
    async with talking(stub("silent")) as talk:
        assert talk.problem() == "tools of mcp.stub: it is not connected yet"


async def test_an_answer_past_the_bound_fails_its_call_alone() -> None:
    async with talking(stub(), tool_result_bytes=10_000) as talk:
        large = "mcp.stub answered with 10002 bytes; 10000 are taken"
        assert await talk.call("big", bytes=10_000) == failure("too_large", large)
        assert talk.problem() == ""
        endless = "mcp.stub went away before it had answered: it wrote a line of more than 16777216 bytes"
        assert await talk.call("big", bytes=17_000_000) == failure("unavailable", endless)
        assert await talk.call("echo", text="hello") == "hello"


async def test_a_list_that_changes_is_read_anew() -> None:
    async with talking(stub()) as talk:
        assert "extra" not in talk.names
        before = {tool.name: tool for tool in talk.agent.tools}
        await talk.call("grow")
        await until(lambda: "extra" in talk.names)
        assert await talk.call("extra") == "called extra"
        assert {tool.name: tool for tool in talk.agent.tools if tool.name != "extra"} == before


async def test_what_is_no_tool_is_left_out_by_name() -> None:
    async with talking(stub("crooked", allow=["echo", "*odd*", "no*", "the*"])) as talk:
        assert talk.names == ["echo", "no_answer"]
        assert await talk.call("echo", text="hello") == "hello"
        said = talk.problem()
    assert "no_schema is left out: inputSchema: Input should be" in said
    assert "odd_schema is left out: its inputSchema is no JSON schema: properties.a.type: 'strange' is not" in said
    assert "odd_output is left out: " in said
    assert "tool is left out: " in said


async def test_an_idle_server_that_hangs_is_started_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("greenroom.tools.mcp.connection._CHECK", 0.1)
    monkeypatch.setattr("greenroom.tools.mcp.pool._PATIENCE", 1.0)
    monkeypatch.setattr("greenroom.tools.mcp.stdio._LEAVING", 0.1)
    async with talking(stub()) as talk:
        process = await process_of(talk)
        process.suspend()
        await until(lambda: talk.problem() == "tools of mcp.stub: it does not answer within 1 s")
        await until(lambda: talk.problem() == "")
        assert is_over(process)


async def test_it_ends_with_the_agent_even_where_it_does_not_want_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("greenroom.tools.mcp.stdio._LEAVING", 0.1)
    async with talking(stub("deaf")) as talk:
        process = await process_of(talk)
        [watchman] = [child for child in psutil.Process().children() if str(process.pid) in child.cmdline()]
    assert is_over(process)
    assert is_over(watchman)


HOST = """
import asyncio, json, sys
from greenroom.sdk import Agent
from greenroom.tools.child import Command, start

async def main():
    child = await start(Command([sys.executable, "-S", "-c", "import time; time.sleep(1000)"], "stub", 1000, watched=True))
    print(child._process.pid, flush=True)
    await asyncio.sleep(1000)

asyncio.run(main())
"""


def test_nothing_is_left_of_it_when_its_host_is_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", HOST], stdout=subprocess.PIPE, text=True) as host:
        assert host.stdout is not None
        process = psutil.Process(int(host.stdout.readline()))
        host.kill()
    psutil.wait_procs([process], timeout=10)
    assert is_over(process)


async def test_two_agents_may_share_one_and_it_may_be_started_again() -> None:
    server = stub()
    async with talking(server) as first, talking(server) as second:
        assert await process_of(first) == await process_of(second)
    async with talking(server) as third:
        assert await third.call("echo", text="hello") == "hello"


WRONG = {
    "nothing": ({}, 'mcp.shop: it has a command or a url, for instance command = ["python", "shop.py"]'),
    "both": ({"command": "a", "url": "http://b"}, "mcp.shop: it has a command or a url, for instance"),
    "headers of a program": ({"command": "a", "bearer_env": "B"}, "mcp.shop: headers, header_env and bearer_env are"),
    "variables of a URL": ({"url": "http://b", "env_from": ["B"]}, "mcp.shop: env and env_from are for a command"),
    "no URL": ({"url": "b:80"}, "mcp.shop: url: it begins with http:// or https:// and a host"),
    "no time": ({"command": "a", "timeout": 0}, "mcp.shop.timeout: Input should be greater than 0, not 0"),
    "a slip": ({"command": "a", "tiemout": 1}, "mcp.shop.tiemout: there is no such setting; did you mean timeout?"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_cannot_be_a_server_is_refused(wrong: str) -> None:
    given, said = WRONG[wrong]
    with pytest.raises(AgentError) as refused:
        McpServer("shop", **given)
    assert str(refused.value).startswith(said)


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(AgentError, match=r"mcp.shop: mcp is not installed; pip install 'greenroom\[mcp\]'"):
        McpServer("shop", command="a")


def test_describing_one_imports_nothing_of_it() -> None:
    code = "import sys\nfrom greenroom.tools.mcp import McpServer\nMcpServer('a', command='b')\nprint('mcp' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
    assert Agent("with", tools=[stub()]).tools == ()


async def test_what_it_answers_is_replayed_when_it_is_not_there(tmp_path: Path) -> None:
    def asking(server: McpServer) -> Agent:
        agent = Agent("asking", tools=[server])

        @agent.reply
        async def reply(turn: Turn) -> str:
            process = json.loads(await turn.call("surroundings"))["pid"]
            with pytest.raises(ToolFailed) as failed:
                await turn.call("fail")
            return f"{process} {failed.value.type} {failed.value.message} {len(turn.tools.openai())}"

        return agent

    [live] = await play(asking(stub()), ["hello"], record=tmp_path / "c.jsonl")
    away = McpServer("stub", command=["/nowhere/at/all"])
    [again] = await play(asking(away), ["hello"], replay=tmp_path / "c.jsonl")
    assert again.text == live.text
    assert [call.scripted_by for call in again.tool_calls] == ["cassette c.jsonl:2", "cassette c.jsonl:3"]
