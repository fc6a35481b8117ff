"""What stands for an agent: an object of a module, and what a factory makes."""

import sys
from pathlib import Path
from typing import Any

import pytest

from greenroom.agents.named import agent_named, agent_of
from greenroom.core.errors import AgentFailed
from greenroom.sdk import Agent, AgentError, Turn, World, tool
from greenroom.sdk.testing import play


def made() -> Agent:
    """An agent that keeps what it is told in itself, as it should not."""
    said: list[str] = []

    @tool
    def note(world: World, text: str) -> int:
        """Notes."""
        said.append(text)
        world["notes"]["n"] = len(said)
        return len(said)

    agent = Agent("leaky", tools=[note], world={"notes": {"n": 0}}, instructions="Be short.")

    @agent.reply
    async def reply(turn: Turn) -> str:
        """Counts what it was told."""
        turn.state["turns"] = turn.state.get("turns", 0) + 1
        return f"{await turn.call('note', text=turn.text)} {turn.state['turns']} {turn.messages.openai()[0]['content']}"

    return agent


async def test_a_factory_makes_an_agent_for_each_turn() -> None:
    shared = await play(made(), ["a", "b"])
    assert [reply.text for reply in shared] == ["1 1 Be short.", "2 2 Be short."]
    apart = agent_of(made, "it", factory=True)
    assert (apart.name, apart.description) == ("leaky", "Counts what it was told.")
    replies = await play(apart, ["a", "b"])
    assert [reply.text for reply in replies] == ["1 1 Be short.", "1 2 Be short."]
    assert [reply.world for reply in replies] == [{"notes": {"n": 1}}] * 2


@pytest.mark.parametrize(
    ("target", "said"),
    [
        (5, "a factory is a callable"),
        (lambda: 5, "is a int"),
        (lambda: Agent("no reply"), "no reply function"),
        (lambda turn: "", "it made no agent when it was called: TypeError: "),
        (sys.exit, "it made no agent when it was called: SystemExit"),
    ],
)
def test_a_factory_that_is_none_is_explained(target: Any, said: str) -> None:
    with pytest.raises(AgentError) as problem:
        agent_of(target, "it", factory=True)
    assert said in str(problem.value)


def test_a_name_is_looked_for_in_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "named_in_folder.py").write_text("async def reply(turn):\n    'Says hi.'\n    return 'hi'\n")
    monkeypatch.setattr("sys.path", ["/nowhere"])
    assert agent_named("named_in_folder:reply", tmp_path).description == "Says hi."
    with pytest.raises(AgentError, match=r"no module named_in_foldr in .*; did you mean named_in_folder"):
        agent_named("named_in_foldr:reply", tmp_path)


def test_an_address_or_a_program_is_an_agent_elsewhere(tmp_path: Path) -> None:
    program = tmp_path / "agent"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    assert agent_named("grpc://localhost:1", tmp_path).name == "grpc://localhost:1"
    assert agent_named("./agent", tmp_path).description == "agent"
    assert agent_named(str(program), Path("/")).description == "agent"
    for wrong in ("grpc://localhost", "./nothing", "./agent.py"):
        with pytest.raises(AgentError):
            agent_named(wrong, tmp_path)


async def test_what_a_factory_makes_starts_and_stops_around_its_turn() -> None:
    told: list[str] = []

    def make() -> Agent:
        agent = made()
        agent.on_startup(lambda: told.append("start"))
        agent.on_shutdown(lambda: told.append("stop"))
        return agent

    await play(agent_of(make, "it", factory=True), ["a"])
    assert told == ["start", "start", "stop", "stop"]  # the first one is what the others are known by


async def test_a_factory_that_makes_one_agent_again_and_again_is_explained(caplog: pytest.LogCaptureFixture) -> None:
    one = made()
    with pytest.raises(AgentFailed):
        await play(agent_of(lambda: one, "it", factory=True), ["a"])
    assert "it makes the same agent again and again; name that agent, without --factory" in caplog.text


def test_two_modules_of_one_name_in_two_folders_are_not_taken_for_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.path", list(sys.path))
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "bots_of_two_folders.py").write_text("def bot(turn):\n    return __file__\n")
    agent_named("bots_of_two_folders:bot", tmp_path / "a")
    agent_named("bots_of_two_folders:bot", tmp_path / "a")
    with pytest.raises(AgentError, match="is not read: there is another module bots_of_two_folders"):
        agent_named("bots_of_two_folders:bot", tmp_path / "b")
