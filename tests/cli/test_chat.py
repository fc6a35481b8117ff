"""`greenroom chat`: an agent in the terminal, or at the end of a pipe."""

import io
import os
import pty
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from running_sandbox import PATIENCE, command, environment, run_here

AGENT = '''
import asyncio
from greenroom.sdk import Agent, AgentUnavailable, ToolError, ToolFailed, Turn, World, tool

@tool
async def cancel(world: World, order_id: str) -> dict:
    """Cancels an order."""
    if order_id not in world["orders"]:
        raise ToolError("No such order.", code="not_found")
    world["orders"][order_id]["status"] = "cancelled"
    return {"order_id": order_id}

@tool
async def linger() -> None:
    """Never ends."""
    await asyncio.Event().wait()

agent = Agent("shop", tools=[cancel, linger], world={"orders": {"7": {"status": "sent"}}})
started = []

@agent.on_startup
def start():
    started.append("yes")

@agent.reply
async def reply(turn: Turn):
    match turn.text.split():
        case ["cancel", order_id]:
            yield "One moment. "
            try:
                await turn.call(cancel, order_id=order_id)
            except ToolFailed as failed:
                yield failed.message
                return
            yield "Done."
        case ["linger"]:
            await turn.call(linger)
        case ["fail"]:
            raise KeyError("lost")
        case ["down"]:
            raise AgentUnavailable("the model is asleep")
        case _:
            users = [message["content"] for message in turn.messages.openai() if message["role"] == "user"]
            yield f"{turn.user.id or 'nobody'} said {users}; {started} \\x1b[31m"
'''


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "shop.py").write_text(AGENT, encoding="utf-8")
    (tmp_path / "scenarios").mkdir()
    (tmp_path / "scenarios" / "late.yaml").write_text(
        "id: late\ntools:\n  cancel:\n    - error: {code: unavailable, message: Try later.}\n", encoding="utf-8"
    )
    return tmp_path


def chat(
    folder: Path, monkeypatch: pytest.MonkeyPatch, lines: str, *arguments: str
) -> "subprocess.CompletedProcess[str]":
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(lines.encode()), encoding="utf-8"))
    return run_here(folder, "chat", "shop:agent", *arguments)


def said(done: "subprocess.CompletedProcess[str]") -> list[str]:
    """The lines, without what each call took."""
    assert (done.returncode, done.stderr) == (0, "")
    return [line.rpartition("  (")[0] if line.endswith(" ms)") else line for line in done.stdout.splitlines()]


def test_lines_of_a_pipe_are_answered_to_its_end_with_calls_and_changes(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert said(chat(folder, monkeypatch, "cancel 7\n\ncancel 8\nhello", "--user", "ann")) == [
        "user: cancel 7",
        "assistant: One moment. ",
        '  cancel(order_id="7") -> {"order_id": "7"}',
        "assistant: Done.",
        '  changed orders/7: status "sent" -> "cancelled"',
        "user: ",
        "user: cancel 8",
        "assistant: One moment. ",
        '  cancel(order_id="8") failed: not_found: No such order.',
        "assistant: No such order.",
        "user: hello",
        "assistant: ann said ['cancel 7', 'cancel 8', 'hello']; ['yes'] \N{REPLACEMENT CHARACTER}[31m",
    ]


def test_an_agents_error_is_shown_with_its_place_and_the_chat_goes_on(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = said(chat(folder, monkeypatch, "fail\ndown\nhello\n"))
    assert lines[1:3] == ["error: the agent raised KeyError: 'lost'", '  shop.py:39 in reply: raise KeyError("lost")']
    assert lines[4] == "error: the agent is not available: the model is asleep"
    assert lines[-1].startswith("assistant: nobody said ['hello']")


def test_the_last_turn_is_taken_back_with_what_it_did_to_the_world(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = "/back\nfirst\ncancel 7\n/world\n/back\n/world\nagain\n/back\n/back\nanew\n/world orders/7\n"
    lines = said(chat(folder, monkeypatch, told))
    answers = [line for line in lines if not line.startswith(("user: ", "  "))]
    assert answers == [
        "there is no turn to take back",
        "assistant: nobody said ['first']; ['yes'] \N{REPLACEMENT CHARACTER}[31m",
        "assistant: One moment. ",
        "assistant: Done.",
        'changed orders/7: status "sent" -> "cancelled"',
        "took back: cancel 7",
        "nothing has changed",
        "assistant: nobody said ['first', 'again']; ['yes'] \N{REPLACEMENT CHARACTER}[31m",
        "took back: again",
        "took back: first",
        "assistant: nobody said ['anew']; ['yes'] \N{REPLACEMENT CHARACTER}[31m",
        "{",
        "}",
    ]
    assert '  "status": "sent"' in lines


def test_after_a_turn_was_taken_back_the_conversation_goes_on_from_there(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = "first\nsecond\n/back\nthird\nfourth\n/back\nfourth\n/back\n/back\n/back\nnew\nnewer\n/new\nnewest\n"
    lines = said(chat(folder, monkeypatch, told))
    said_so_far = [line.partition("said ")[2].partition(";")[0] for line in lines if line.startswith("assistant: ")]
    assert said_so_far == [
        "['first']",
        "['first', 'second']",
        "['first', 'third']",
        "['first', 'third', 'fourth']",
        "['first', 'third', 'fourth']",
        "['new']",
        "['new', 'newer']",
        "['newest']",
    ]


def test_a_scenario_is_chosen_at_the_start_or_for_a_new_session(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = said(chat(folder, monkeypatch, "cancel 7\n/new default\ncancel 7\n/new lat\n", "--scenario", "late"))
    failed, *rest = [line for line in lines if not line.startswith(("user: ", "assistant: "))]
    assert failed.startswith('  cancel(order_id="7") failed: unavailable: Try later.')
    assert "scripted by late: tools.cancel[0]" in failed
    assert rest[0] == "a new session, scenario default"
    assert rest[1:3] == [
        '  cancel(order_id="7") -> {"order_id": "7"}',
        '  changed orders/7: status "sent" -> "cancelled"',
    ]
    assert rest[3] == "error: there is no scenario lat; did you mean late?"


def test_where_a_tool_raised_what_it_did_not_mean_to_is_shown(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = AGENT.replace('["status"] = "cancelled"', '["state"]["is"] = "cancelled"')
    (folder / "shop.py").write_text(broken, encoding="utf-8")
    line = broken.splitlines().index('    world["orders"][order_id]["state"]["is"] = "cancelled"') + 1
    place = f'  shop.py:{line} in cancel: world["orders"][order_id]["state"]["is"] = "cancelled"'
    shown = ["  cancel(order_id=\"7\") failed: KeyError: 'state'", f"  {place}"]
    assert said(chat(folder, monkeypatch, "cancel 7\n"))[2:4] == shown
    call = run_here(folder, "tools", "call", "shop:agent", "cancel", "order_id=7")
    assert (call.returncode, call.stderr) == (1, f"{place}\n")


def test_commands_help_and_end_it_and_others_are_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = said(chat(folder, monkeypatch, "/help\n/tools\n/world nothing\n/bakc\n /back\n/quit\nhello\n"))
    assert lines[1].startswith("/back ")
    assert "cancel: Cancels an order." in lines
    assert "error: there is no nothing; there is orders" in lines
    assert "error: there is no command /bakc; /help tells those there are" in lines
    assert lines[-2].startswith("assistant: nobody said [' /back']")
    assert lines[-1] == "user: /quit"


def test_what_cannot_begin_says_why(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = chat(folder, monkeypatch, "hello\n", "--scenario", "lat")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "greenroom: there is no scenario lat; did you mean late?\n"
    (folder / "shop.py").write_text(AGENT.replace('started.append("yes")', "1 / 0"), encoding="utf-8")
    done = chat(folder, monkeypatch, "hello\n")
    assert (done.returncode, done.stderr) == (
        1,
        "greenroom: the agent cannot start: ZeroDivisionError: division by zero\n  shop.py:23 in start: 1 / 0\n",
    )


class Terminal:
    """A process on a terminal of its own: written to, and read until a text comes."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self._side, other = pty.openpty()
        self.process = subprocess.Popen(
            command(*arguments),
            cwd=folder,
            env=environment(TERM="xterm"),
            stdin=other,
            stdout=other,
            stderr=other,
            start_new_session=True,
        )
        os.close(other)
        self.shown = ""

    def __enter__(self) -> "Terminal":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait(PATIENCE)
        os.close(self._side)

    def write(self, text: str) -> None:
        os.write(self._side, text.encode())

    def until(self, text: str) -> str:
        """What was shown up to and with the text, since the last call."""
        end = time.monotonic() + PATIENCE
        while text not in self.shown:
            assert select.select([self._side], [], [], max(0, end - time.monotonic()))[0], (
                f"no {text!r}: {self.shown!r}"
            )
            self.shown += os.read(self._side, 65536).decode()
        before, found, self.shown = self.shown.partition(text)
        return before + found


def test_on_a_terminal_a_turn_can_be_stopped_and_the_end_of_input_ends_it(folder: Path) -> None:
    with Terminal(folder, "chat", "shop:agent") as terminal:
        assert "You talk to shop:agent, scenario default." in terminal.until("\x1b[1muser:\x1b[0m ")
        terminal.write("linger\r")
        terminal.until("linger …")
        os.kill(terminal.process.pid, signal.SIGINT)
        terminal.until("error: stopped; the turn is not in the session")
        terminal.until("user:")
        terminal.write("hello\r")
        terminal.until("nobody said ['hello']")
        terminal.until("user:")
        terminal.write("\x04")
        assert terminal.process.wait(PATIENCE) == 0
