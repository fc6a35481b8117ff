"""Who has the tools of a tools file: all agents that are served with it, and the agent whose file names it."""

from pathlib import Path

import pytest
from tool_talk import table

from greenroom.agents.agent_file import read_agent_file
from greenroom.cli.agents import load_agents
from greenroom.cli.process import CannotStart
from greenroom.cli.settings import Settings
from greenroom.sdk import AgentError

PING = table("http.ping", {"url": "http://127.0.0.1:1/ping"})


def test_all_agents_that_are_served_have_them_from_one_source(tmp_path: Path) -> None:
    (tmp_path / "tools.toml").write_text(PING, encoding="utf-8")
    agents = load_agents(Settings.model_construct(agent=("a=support", "b=support"), tools_file=tmp_path / "tools.toml"))
    assert [agent.tools[-1].name for agent in agents.values()] == ["ping", "ping"]
    assert len({source for agent in agents.values() for source in agent.rack.sources}) == 1


def test_a_file_with_mistakes_keeps_the_sandbox_from_starting(tmp_path: Path) -> None:
    (tmp_path / "tools.toml").write_text("[http.ping]\n", encoding="utf-8")
    with pytest.raises(CannotStart, match=r"tools\.toml: http\.ping\.url is missing"):
        load_agents(Settings.model_construct(agent=("support",), tools_file=tmp_path / "tools.toml"))


def test_an_agent_file_names_a_tools_file_beside_it(tmp_path: Path) -> None:
    (tmp_path / "tools.toml").write_text(PING, encoding="utf-8")
    path = tmp_path / "far.toml"
    path.write_text('[grpc]\ntarget = "grpc://127.0.0.1:1"\ntools = ["tools.toml"]\n', encoding="utf-8")
    assert [tool.name for tool in read_agent_file(path).tools] == ["ping"]
    (tmp_path / "tools.toml").write_text("[http.ping]\n", encoding="utf-8")
    with pytest.raises(AgentError, match=r"far\.toml: grpc\.tools: .*tools\.toml: http\.ping\.url is missing"):
        read_agent_file(path)
