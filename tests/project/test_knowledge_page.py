"""docs/knowledge.md says what the code does."""

import ast
import inspect
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from walked_page import walk

from greenroom.agents.knowledge import Knowledge, Passage
from greenroom.agents.knowledge.settings import KnowledgeSettings
from greenroom.sdk import Agent, Turn
from greenroom.sdk.testing import play

ROOT = Path(__file__).parents[2]
WORDS = (ROOT / "docs" / "knowledge.md").read_text(encoding="utf-8")


def file(language: str, name: str) -> str:
    [text] = re.findall(rf"^```{language} {name}\n(.*?)^```$", WORDS, re.MULTILINE | re.DOTALL)
    return str(text)


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", WORDS, re.MULTILINE | re.DOTALL)


async def test_from_nothing_to_the_answer_that_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await walk("knowledge.md", tmp_path, monkeypatch)


async def test_the_agent_that_is_shown_is_the_example() -> None:
    example = ROOT / "examples" / "rag_agent.py"
    assert example.read_text(encoding="utf-8") == file("python", "rag_agent.py")
    named: dict[str, Any] = {"__file__": str(example)}
    exec(compile(example.read_text(encoding="utf-8"), str(example), "exec"), named)
    refund, lost, unknown = await play(
        named["agent"], ["How long does a refund take?", "My parcel was lost", "Do you sell bicycles?"]
    )
    assert refund.text.endswith("(returns.md, Returns > Refunds)")
    assert lost.text.startswith("A parcel that has not moved for ten days counts as lost.")
    assert (unknown.text, unknown.confidence) == ("The handbook says nothing about that.", 0.2)


async def test_the_prompt_and_the_notes_that_are_shown_work(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("Lunch is at noon.", encoding="utf-8")
    named: dict[str, Any] = {"Knowledge": Knowledge, "Turn": Turn, "knowledge": Knowledge(tmp_path)}
    for block in blocks("python")[:2]:
        exec(block, named)
    notes = named["Notes"]()
    agent = Agent("shown", tools=[named["knowledge"].tool])

    @agent.reply
    async def reply(turn: Turn) -> str:
        messages = await named["prompt"](turn)
        return messages[0]["content"] + messages[-1]["content"] + await notes.context(turn)

    [answer] = await play(agent, ["When is lunch?"], metadata={"notes": ["No lunch today."]})
    assert answer.text == (
        "Answer from these passages:\n\n[1] a.md\nLunch is at noon.When is lunch?[1] context/1\nNo lunch today."
    )


async def test_the_embedding_that_is_shown_works(tmp_path: Path) -> None:
    (tmp_path / "handbook").mkdir()
    (tmp_path / "handbook" / "a.md").write_text("Lunch is at noon.", encoding="utf-8")

    async def create(model: str, input: list[str]) -> Any:
        return SimpleNamespace(data=[SimpleNamespace(embedding=[1.0, 0.5]) for _ in input])

    client = SimpleNamespace(embeddings=SimpleNamespace(create=create))
    named: dict[str, Any] = {"Knowledge": Knowledge, "client": client, "__file__": str(tmp_path / "agent.py")}
    exec(blocks("python")[2], named)
    await named["knowledge"].load()


def test_the_page_names_every_parameter_with_its_default() -> None:
    shown = re.search(r"^`Knowledge\((.*)\)`$", WORDS, re.MULTILINE)
    assert shown
    parameters = inspect.signature(Knowledge).parameters
    calls = ast.parse(f"f({shown[1].replace('…', '...')})", mode="eval").body
    assert isinstance(calls, ast.Call)
    assert ["folder", *(keyword.arg for keyword in calls.keywords)] == list(parameters)
    for keyword in calls.keywords:
        default = ast.literal_eval(keyword.value)
        assert default in (..., parameters[str(keyword.arg)].default)
    for name in parameters:
        assert f"`{name}`" in WORDS.partition("## What it takes")[2].partition("`read_knowledge(")[0]


def test_the_page_names_the_keys_of_a_table_and_what_a_passage_has() -> None:
    keys = WORDS.partition("or of a table with ")[2].partition(". It raises")[0]
    assert re.findall(r"`(\w+)`", keys) == list(KnowledgeSettings.model_fields)
    shown = WORDS.partition("gives `Passage` objects: ")[2].partition(". Without")[0]
    assert set(re.findall(r"`(\w+)`", shown)) == {*Passage.__dataclass_fields__, "where"}
