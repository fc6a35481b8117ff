"""The `[llm]` table of an agent file, and what an LLM agent needs to be made and to start."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from stub_model import StubModel, calls, says
from talk import talking

from greenroom.agents.llm import Endpoint, LlmAgent, LlmOptions, read_llm
from greenroom.sdk import AgentError

TOOLS = '''
from greenroom.sdk import World, tool

@tool
def get_order(world: World, order_id: str) -> dict:
    """Look up an order."""
    return world["orders"][order_id]

@tool
def nothing() -> None:
    """Do nothing."""
'''

MODEL = {"model": "openai:stub"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "llm_table_tools.py").write_text(TOOLS)
    (tmp_path / "world.yaml").write_text("orders:\n  '7': {status: sent}\n")
    (tmp_path / "prompt.md").write_text("You work for a shop.\n")
    (tmp_path / "scenes").mkdir()
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "llm_table_tools", raising=False)
    return tmp_path


async def test_a_table_makes_an_agent_with_its_files_beside_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_KEY", "k-123")
    with StubModel(calls("get_order", order_id="7"), says("It is sent.")) as model:
        table = {
            "name": "shop",
            "model": "openai:stub",
            "base_url": model.url,
            "api_key_env": "SHOP_KEY",
            "instructions_file": "prompt.md",
            "tools": ["llm_table_tools"],
            "world": "world.yaml",
            "scenarios": "scenes",
            "temperature": 0,
            "timeout": 5,
        }
        agent = read_llm(table, folder)
        assert (agent.name, agent.description, len(agent.tools)) == ("shop", "You work for a shop.", 2)
        assert agent.scenario_folder() == folder / "scenes"
        async with talking(agent) as talk:
            turn = await talk.say("Where is 7?")
    assert (turn.reply, turn.tool_calls[0].ok) == ("It is sent.", True)
    assert model.headers[0]["authorization"] == "Bearer k-123"
    assert model.requests[0]["temperature"] == 0
    assert model.requests[0]["messages"][0]["content"] == "You work for a shop."


async def test_the_model_may_search_a_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "texts").mkdir()
    (folder / "texts" / "a.md").write_text("Lunch is at noon.", encoding="utf-8")
    monkeypatch.setenv("LLM_TABLE_KEY", "k-123")
    with StubModel(calls("search_knowledge", query="lunch"), says("At noon.")) as model:
        table = {"model": "openai:stub", "base_url": model.url, "api_key_env": "LLM_TABLE_KEY", "knowledge": "texts"}
        async with talking(read_llm(table, folder)) as talk:
            turn = await talk.say("When is lunch?")
    assert (turn.reply, turn.tool_calls[0].name) == ("At noon.", "search_knowledge")
    assert "Lunch is at noon." in turn.tool_calls[0].result_json
    with pytest.raises(AgentError, match="there is no folder"):
        read_llm({**MODEL, "knowledge": "nowhere"}, folder)


def test_one_tool_may_be_named(folder: Path) -> None:
    agent = read_llm({**MODEL, "tools": ["llm_table_tools:nothing"]}, folder)
    assert [tool.name for tool in agent.tools] == ["nothing"]


MISTAKES: list[tuple[dict[str, Any], str]] = [
    ({}, "llm.model is missing; for instance model = 'openai:gpt-5-mini'"),
    ({**MODEL, "temprature": 1}, "llm.temprature: there is no such setting; did you mean temperature?"),
    ({**MODEL, "api_key": "sk-1"}, "llm.api_key: there is no such setting; did you mean api_key_env?"),
    ({**MODEL, "timeout": 0}, "llm.timeout: Input should be greater than 0, not 0"),
    (
        {**MODEL, "tools": ["llm_table_nowhere"]},
        "llm.tools: llm_table_nowhere: no module llm_table_nowhere in {folder}; did you mean llm_table_tools?",
    ),
    (
        {**MODEL, "tools": ["llm_table_tools:get_ordr"]},
        "llm.tools: llm_table_tools:get_ordr: llm_table_tools has no tool get_ordr; it has get_order, nothing",
    ),
    ({**MODEL, "tools": ["json"]}, "llm.tools: json: json has no tools; put @tool on its functions"),
    (
        {**MODEL, "instructions_file": "none.md"},
        "llm.instructions_file: cannot read none.md: No such file or directory",
    ),
    (
        {**MODEL, "instructions": "Be brief.", "instructions_file": "prompt.md"},
        "llm.instructions_file: there are instructions already; keep one of the two",
    ),
    (
        {"model": "gpt-5"},
        'llm.model: a model is "openai:NAME", "anthropic:NAME" or "google:NAME", not \'gpt-5\'',
    ),
    (
        {**MODEL, "base_url": "localhost:1"},
        "llm.base_url: an address begins with http:// or https://, not 'localhost:1'",
    ),
    (
        {**MODEL, "fallback": ["gpt-5"]},
        'llm.fallback.0.model: a model is "openai:NAME", "anthropic:NAME" or "google:NAME", not \'gpt-5\'',
    ),
]


@pytest.mark.parametrize(("table", "message"), MISTAKES)
def test_a_mistake_is_told_with_its_field(folder: Path, table: dict[str, Any], message: str) -> None:
    with pytest.raises(AgentError) as raised:
        read_llm(table, folder)
    assert str(raised.value) == message.replace("{folder}", str(folder))


def test_all_mistakes_are_told_at_once(folder: Path) -> None:
    with pytest.raises(AgentError) as raised:
        read_llm({"retries": -1, "max_steps": 0}, folder)
    assert len(str(raised.value).splitlines()) == 3


def test_an_agent_of_no_such_model_is_not_made() -> None:
    with pytest.raises(AgentError, match='agent llm: a model is "openai:NAME", "anthropic:NAME" or "google:NAME"'):
        LlmAgent(model="gpt-5")


def test_without_the_extra_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(AgentError, match=r"pip install 'greenroom\[llm\]'"):
        LlmAgent(model="openai:stub")


@pytest.mark.parametrize(
    ("model", "variable"),
    [
        ("openai:gpt-5", "OPENAI_API_KEY"),
        ("anthropic:claude", "ANTHROPIC_API_KEY"),
        ("google:gemini", "GOOGLE_API_KEY"),
    ],
)
async def test_a_key_that_is_missing_is_named_at_the_start(
    model: str, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(variable, raising=False)
    monkeypatch.delenv("GEMINI_API_KEY", raising=False)
    with pytest.raises(AgentError, match=f"model {model}: the environment variable {variable} is not set"):
        await LlmAgent(model=model).startup()


@pytest.mark.parametrize("model", ["openai:gpt-5", "anthropic:claude-haiku-5-5", "google:gemini-2.5-flash"])
async def test_every_provider_opens_and_closes(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_KEY", "k")
    agent = LlmAgent(
        model=model,
        api_key_env="SOME_KEY",
        options=LlmOptions(fallback=(Endpoint(model=model, base_url="http://127.0.0.1:9"),)),
    )
    await agent.startup()
    assert agent.problem() == ""
    await agent.shutdown()


async def test_a_provider_that_there_is_not_is_told() -> None:
    with pytest.raises(AgentError, match="model nobody:x: Unknown model"):
        await LlmAgent(model="nobody:x").startup()


async def test_an_openai_key_does_not_go_to_an_address_for_which_it_was_not_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    with StubModel(says("Hello.")) as model:
        async with talking(LlmAgent(model="openai:stub", base_url=model.url)) as talk:
            await talk.say("Hi")
    assert model.headers[0]["authorization"] == "Bearer no-key"


def test_importing_the_agent_imports_no_model_library() -> None:
    script = (
        "import sys\n"
        "import greenroom.agents.llm, greenroom.agents.support\n"
        "greenroom.agents.llm.LlmAgent(model='openai:x')\n"
        "wrong = {'pydantic_ai', 'openai', 'anthropic', 'google.genai', 'httpx2'} & set(sys.modules)\n"
        "assert not wrong, wrong\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
