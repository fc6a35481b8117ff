"""What a command does wrong, what its caller is told, and that nothing of it is left."""

import asyncio
import logging
from pathlib import Path
from typing import Any

import grpc
import pytest
from commands import commanding, is_there, runs, script
from core_running import PATIENCE, Failure, database, request, running, until

from greenroom.agents.remote import CommandAgent
from greenroom.agents.remote.command.lines import LONGEST
from greenroom.core.limits import Limits
from greenroom.sdk import tool
from greenroom.tools.child import Command, start

UNAVAILABLE = (grpc.StatusCode.UNAVAILABLE, "AGENT_UNAVAILABLE", "The agent is not available, try again later")
FAILED = (grpc.StatusCode.INTERNAL, "AGENT_FAILED", "Internal server error")


@pytest.fixture(scope="module")
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "asyncio", {"use_uvloop": True}


def told(failure: Failure) -> tuple[grpc.StatusCode, str, str]:
    return failure.code, failure.reason, failure.message


GOOD_FIRST = """read -r turn
case "$turn" in '{"text":"first"'*) echo '{"text": "fine"}'; exit;; esac
"""
"""A first turn makes the session whose evidence is looked at."""

WRONG = {
    "no JSON": ("echo hello", "no event (JSON is malformed"),
    "no object": ("echo '[1]'", "no event (Expected `object`, got `array`"),
    "an unknown key": ("""echo '{"txt": "hi"}'""", "unknown field `txt`"),
    "no key": ("echo '{}'", "it has one of text, tool_call, outside, reply and error"),
    "two keys": ("""echo '{"text": "hi", "reply": "ho"}'""", "it has one of text"),
    "a value of another kind": ("""echo '{"reply": {"confidence": "high"}}'""", "`$.reply.confidence`"),
    "a confidence past 1": ("""echo '{"reply": {"text": "hi", "confidence": 2}}'""", "not between 0 and 1"),
    "another turn's id": ("""echo '{"text": "hi", "id": "before"}'""", "it told of turn before"),
    "no line end": ("head -c 9000000 /dev/zero | tr '\\0' x", "a line of more than 8388608 bytes"),
    "an exit code": ("""echo '{"text": "hi"}'; exit 3""", "it ended with exit code 3"),
    "a signal": ("""echo '{"text": "hi"}'; kill -9 $$""", "it ended with signal 9"),
    "nothing": ("exit 0", "it ended without a word"),
    "an error of its own": ("""echo '{"error": "the password is 1234"}'""", "RemoteFailed: the password is 1234"),
}


@pytest.mark.parametrize("wrong", WRONG)
async def test_what_goes_wrong_fails_the_turn_and_the_evidence_says_how(tmp_path: Path, wrong: str) -> None:
    body, said = WRONG[wrong]
    async with commanding(tmp_path, GOOD_FIRST + body) as core:
        await core.say("first")
        assert told(await core.refuses("now")) == FAILED
        [kept] = (await core.turns()).failed
        assert said in kept.detail
        assert (await core.say("first")).text == "fine"


async def test_it_may_say_that_what_it_asks_is_down(tmp_path: Path) -> None:
    body = """echo '{"error": {"message": "the model is asleep", "unavailable": true, "retry_after": 7.5}}'"""
    async with commanding(tmp_path, body) as core:
        failure = await core.refuses("hello")
    assert (told(failure), failure.retry_after) == (UNAVAILABLE, 7.5)


@pytest.mark.parametrize("workers", [0, 1])
async def test_past_its_deadline_it_ends_with_all_it_has_started(tmp_path: Path, workers: int) -> None:
    body = f"cd '{tmp_path}'\necho $$ >> own\nsleep 1000 & echo $! >> below\nread -r turn\nwait"
    async with commanding(tmp_path, body, limits=Limits(turn_timeout=0.3), workers=workers) as core:
        assert (await core.refuses("hello")).reason == "TURN_TIMEOUT"
        own, below = (int((tmp_path / name).read_text().split()[0]) for name in ("own", "below"))
        await until(lambda: not is_there(own) and not runs(below))


async def test_it_ends_when_its_caller_leaves(tmp_path: Path) -> None:
    body = f"cd '{tmp_path}'\necho $$ > own.new && mv own.new own\nwhile read -r turn; do :; done; sleep 1000"
    async with commanding(tmp_path, body) as core:
        asked = core.agents.RunTurn(request("hello"))
        await until((tmp_path / "own").exists)
        asked.cancel()
        await until(lambda: not is_there(int((tmp_path / "own").read_text())))


async def test_one_that_goes_on_after_its_reply_is_ended(tmp_path: Path) -> None:
    body = f"""echo $$ > '{tmp_path}/own'\necho '{{"reply": "done"}}'\nsleep 1000"""
    async with commanding(tmp_path, body) as core:
        assert (await core.say("hello")).text == "done"
        own = int((tmp_path / "own").read_text())
        assert is_there(own)  # the reply did not wait for it
    assert not is_there(own)


async def test_its_errors_go_to_the_log_within_bounds(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "greenroom.tools.child")
    body = """
echo 'first complaint' >&2
head -c 100000 /dev/zero | tr '\\0' x >&2
i=0; while [ $i -lt 200 ]; do echo "complaint $i" >&2; i=$((i+1)); done
echo '{"text": "hi"}'"""
    async with commanding(tmp_path, body) as core:
        assert (await core.say("hello")).text == "hi"
        await until(lambda: "agent: it says more, which is dropped" in caplog.messages)
    said = [message for message in caplog.messages if message.startswith("agent: ")]
    assert said[0] == "agent: first complaint"
    assert len(said) == 101
    assert max(map(len, said)) <= 510


async def test_a_reply_is_not_lost_with_its_exit_code_which_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with commanding(tmp_path, """echo '{"reply": "done"}'; exit 4""") as core:
        assert (await core.say("hello")).text == "done"
        await until(lambda: "agent: it ended with exit code 4 after its reply" in caplog.messages)


@tool
def look() -> str:
    """Looks."""
    return "here"


async def test_bounds_of_the_turn_hold_for_it(tmp_path: Path) -> None:
    body = """
if [ -n "$LONG" ]; then while :; do echo '{"text": "and on and on"}'; done; fi
while :; do echo '{"tool_call": {"name": "look"}}'; done"""
    async with commanding(tmp_path, body, tools=[look]) as core:
        assert (await core.refuses("hello")).reason == "LIMIT_EXCEEDED"
    limits = Limits(reply_bytes=10_000)
    (tmp_path / "long").mkdir()
    agent = CommandAgent(script(tmp_path, f"LONG=1{body}"))
    async with running(agent, database(tmp_path / "long"), limits=limits) as core:
        assert (await core.refuses("hello")).reason == "LIMIT_EXCEEDED"


async def test_a_script_without_an_interpreter_is_told_of_it(tmp_path: Path) -> None:
    path = tmp_path / "bare"
    path.write_text("echo hello\n")
    path.chmod(0o755)
    async with running(CommandAgent(str(path)), database(tmp_path)) as core:
        assert told(await core.refuses("hello")) == FAILED


async def test_one_whose_output_is_not_taken_has_to_wait(tmp_path: Path) -> None:
    """What it has written that nobody took is bounded."""
    done = tmp_path / "done"
    child = await start(
        Command([script(tmp_path, f"yes {'x' * 1000} | head -n 4000; touch '{done}'")], "long", longest=LONGEST)
    )
    assert await child.line() == b"x" * 1000
    for _ in range(100):
        await asyncio.sleep(0.002)
        assert not done.exists()
    for _ in range(3999):
        assert await child.line() == b"x" * 1000
    assert await child.line() is None
    assert await child.exit_code() == 0
    await child.over()
    assert done.exists()


async def test_many_turns_at_once_leave_nothing_behind(tmp_path: Path) -> None:
    body = f"""echo $$ >> '{tmp_path}/processes'
read -r turn
case "$turn" in *crash*) exit 1;; esac
echo '{{"text": "hi"}}'"""
    async with commanding(tmp_path, body) as core:
        asked = [request("crash" if number % 3 else "go", sid=f"s{number}") for number in range(24)]
        outcomes = await asyncio.gather(
            *(core.agents.RunTurn(turn, timeout=PATIENCE) for turn in asked), return_exceptions=True
        )
    assert sum(isinstance(outcome, BaseException) for outcome in outcomes) == 16
    processes = [int(line) for line in (tmp_path / "processes").read_text().split()]
    assert len(processes) == 24
    assert [process for process in processes if is_there(process)] == []
