"""Several agents of one core start, stop and read their scenarios again together."""

from pathlib import Path

import pytest

from greenroom.core.agents import Agents
from greenroom.core.limits import Limits
from greenroom.core.memory import MemoryStore
from greenroom.core.scenario_files.sources import Folder
from greenroom.core.served import Served
from greenroom.sdk import Agent, AgentError


def noting(name: str, did: list[str], *, fails: str = "", world: str | None = None) -> Agent:
    """Notes when it starts and stops; one of the two may fail."""
    agent = Agent(name, world=world)
    agent.reply(lambda turn: turn.text)

    def does(what: str) -> None:
        did.append(f"{name} {what}")
        if what == fails:
            raise RuntimeError(name)

    agent.on_startup(lambda: does("up"))
    agent.on_shutdown(lambda: does("down"))
    return agent


def served(*agents: Agent, folder: Path | None = None) -> Agents:
    sources = [Folder(folder)] if folder else []
    return Agents([Served(agent, agent.name, Limits(), sources) for agent in agents])


async def test_they_stop_in_the_opposite_order_and_one_that_fails_keeps_no_other_from_it() -> None:
    did: list[str] = []
    agents = served(noting("a", did), noting("b", did, fails="down"), noting("c", did))
    await agents.start(MemoryStore())
    with pytest.raises(RuntimeError, match="b"):
        await agents.stop()
    assert did == ["a up", "b up", "c up", "c down", "b down", "a down"]
    await agents.stop()
    assert len(did) == 6


async def test_where_one_cannot_start_those_that_have_are_stopped() -> None:
    did: list[str] = []
    agents = served(noting("a", did), noting("b", did, fails="up"), noting("c", did))
    with pytest.raises(RuntimeError, match="b"):
        await agents.start(MemoryStore())
    assert did == ["a up", "b up", "a down"]


async def test_where_one_cannot_be_read_again_all_stay_as_they_were(tmp_path: Path) -> None:
    """And what the log then says of them is true."""
    (tmp_path / "world.json").write_text("{}")
    folder = tmp_path / "scenarios"
    folder.mkdir()
    agents, store = (
        served(noting("a", []), noting("b", [], world=str(tmp_path / "world.json")), folder=folder),
        MemoryStore(),
    )
    await agents.start(store)
    (folder / "new.yaml").write_text("id: new\n")
    (tmp_path / "world.json").write_text("{")
    with pytest.raises(AgentError):
        await agents.reload(store)
    assert [one.scenarios.find("new") for one in agents] == [None, None]
    (tmp_path / "world.json").write_text("{}")
    await agents.reload(store)
    assert [one.scenarios.find("new") is not None for one in agents] == [True, True]
    await agents.stop()
