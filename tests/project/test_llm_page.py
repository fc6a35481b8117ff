"""docs/llm-agent.md, from nothing to its answer, with a stub for the model."""

import re
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from stub_model import StubModel, calls, fails, says
from talk import talking
from walked_page import serving, walk

from greenroom.agents.llm.agent import AgentParts
from greenroom.agents.llm.options import Endpoint, LlmOptions
from greenroom.agents.llm.sampling import PASSED_ON
from greenroom.core.errors import AgentDown
from greenroom.sdk import Agent

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "llm-agent.md").read_text(encoding="utf-8")
SCRIPT = (calls("get_order", order_id="12345"), says("It has been shipped and arrives tomorrow."))


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The page's files, where an author would have them."""
    for name, text in re.findall(r"^```(?:python|yaml|toml) (\S+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL):
        (tmp_path / name).write_text(text, encoding="utf-8")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.delitem(sys.modules, "shop_tools", raising=False)
    return tmp_path


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Iterator[StubModel]:
    with StubModel(*SCRIPT) as model:
        monkeypatch.setenv("OPENAI_API_KEY", "sk-1")
        monkeypatch.setenv("OPENAI_BASE_URL", model.url)
        yield model


def module_of(folder: Path, name: str) -> types.ModuleType:
    module = types.ModuleType(name)
    module.__file__ = str(folder / f"{name}.py")
    exec((folder / f"{name}.py").read_text(encoding="utf-8"), vars(module))
    return module


def within(shown: Any, whole: Any) -> bool:
    """Whether all that is shown is there."""
    if isinstance(shown, dict):
        return all(key in whole and within(value, whole[key]) for key, value in shown.items())
    if isinstance(shown, list):
        return len(shown) == len(whole) and all(map(within, shown, whole))
    return bool(shown == whole)


async def test_the_page_leads_from_nothing_to_its_answer(
    tmp_path: Path, model: StubModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    await walk("llm-agent.md", tmp_path, monkeypatch, {"sk-…": "sk-1"}, section="From nothing")
    assert model.headers[0]["authorization"] == "Bearer sk-1"


async def test_a_model_that_refuses_the_key_is_not_quoted(
    folder: Path, model: StubModel, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(folder)
    model.play(fails(401))
    async with serving(folder, ["shop.toml"], monkeypatch) as sandbox:
        refused = await sandbox.post({"messages": [{"role": "user", "content": "Hi"}]})
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "agent_unavailable")
    for secret in ("SECRET", "sk-1"):
        assert secret not in refused.text + caplog.text


async def test_a_conversation_that_is_too_long_is_400_and_not_to_be_tried_again(
    folder: Path, model: StubModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    model.play(fails(400, '{"error": {"code": "context_length_exceeded", "message": "SECRET", "type": "x"}}'))
    async with serving(folder, ["shop.toml"], monkeypatch) as sandbox:
        refused = await sandbox.post({"messages": [{"role": "user", "content": "Hi"}]})
    error = {name: value for name, value in refused.json()["error"].items() if name != "request_id"}
    assert (refused.status_code, refused.headers["x-should-retry"]) == (400, "false")
    assert error == {
        "message": "The conversation is too long for the agent",
        "type": "invalid_request_error",
        "code": "context_length_exceeded",
        "param": "messages",
    }
    assert len(model.requests) == 1


async def test_the_same_in_python(folder: Path, model: StubModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "shop_tools", raising=False)
    agent: Agent = module_of(folder, "shop").agent
    async with talking(agent) as talk:
        turn = await talk.say("Where is my order #12345?")
    assert (turn.reply, turn.tool_calls[0].ok) == ("It has been shipped and arrives tomorrow.", True)
    assert model.requests[0]["max_completion_tokens"] == 500


async def test_the_loop_on_the_official_client_is_the_example_and_does_as_much(folder: Path, model: StubModel) -> None:
    assert (folder / "openai_loop.py").read_text() == (ROOT / "examples" / "openai_loop.py").read_text()
    loop = module_of(folder, "openai_loop")
    async with talking(loop.agent) as talk, loop.client:
        model.play(calls("get_order", order_id="7"), says("It is on its way."))
        turn = await talk.say("Where is 7?")
        assert (turn.reply, turn.tool_calls[0].result_json) == ("It is on its way.", '{"status":"on its way"}')
        model.play(calls("get_order", order_id="8"))
        assert (await talk.say("And 8?")).reply == "I could not find that out."
        model.play(fails(401))
        with pytest.raises(AgentDown):
            await talk.say("Hi?")


def test_the_settings_that_are_listed_are_those_that_there_are() -> None:
    table = PAGE.partition("## Settings")[2].partition("\n\nWhat the client")[0]
    named = {
        name
        for line in table.splitlines()
        for name in re.findall(r"`(\w+)`", line.split("|")[1:2][0] if "|" in line else "")
    }
    known = {*LlmOptions.model_fields, *Endpoint.model_fields, *AgentParts.__annotations__}
    assert named - {"name", "instructions_file", "knowledge"} == known - {"story_start"}


def test_the_options_that_are_passed_on_are_listed() -> None:
    listed = PAGE.partition("What the client asks for wins over these: ")[2].partition(" of a request")[0]
    assert set(re.findall(r"`(\w+)`", listed)) == PASSED_ON
