"""docs/scenarios.md and docs/scenario.schema.json say what the code does."""

import json
import re
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from scenario_schema import PAGE as SCHEMA
from scenario_schema import text

from greenroom.agents.support import agent
from greenroom.core.scenario_files.load import load_scenarios
from greenroom.core.scenario_files.sources import Folder
from greenroom.core.scenario_files.written import WrittenScenario
from greenroom.core.scenario_files.yaml_reader import read_yaml
from greenroom.sdk.testing import play

PAGE = Path(__file__).parents[2] / "docs" / "scenarios.md"
WORDS = PAGE.read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", WORDS, re.MULTILINE | re.DOTALL)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The files that the page shows."""
    for block in blocks("yaml"):
        name = re.match(r"# scenarios/(\w+\.yaml)\n", block)
        assert name is not None
        (tmp_path / name[1]).write_text(block, encoding="utf-8")
    return tmp_path


def test_the_schema_is_that_of_the_models() -> None:
    assert SCHEMA.read_text(encoding="utf-8") == text(), "run: python tests/project/scenario_schema.py"


def test_the_examples_are_loaded_without_a_mistake(folder: Path) -> None:
    loaded = load_scenarios(agent, [Folder(folder)])
    assert loaded.mistakes == ()
    assert {"payment_service_down", "evening"} <= {scenario.id for scenario in loaded.scenarios}


VALIDATOR = jsonschema_rs.Draft202012Validator(json.loads(text()))


@pytest.mark.parametrize("block", blocks("yaml"))
def test_the_examples_are_right_by_the_schema(block: str) -> None:
    VALIDATOR.validate(read_yaml(block).data)


@pytest.mark.parametrize(
    ("data", "right"),
    [
        ({"id": "s"}, True),
        ({}, False),
        ({"id": "s", "titel": "x"}, False),
        ({"id": "s", "title": None}, False),
        ({"id": "s", "world": {"file": "a.json"}}, True),
        ({"id": "s", "world": {"file": 3}}, False),
        ({"id": "s", "world": {"orders": {}, "file": {}}}, True),
        ({"id": "s", "clock": "real"}, True),
        ({"id": "s", "clock": "reel"}, False),
        ({"id": "s", "clock": {"per_turn": "5"}}, False),
        ({"id": "s", "clock": {"per_turn": "1.5m"}}, True),
        ({"id": "s", "tools": {"search_policies": []}}, True),
        ({"id": "s", "tools": {"search_policies": [{}]}}, False),
        ({"id": "s", "tools": {"search_policies": [{"return": None}]}}, True),
        ({"id": "s", "tools": {"search_policies": [{"return": 1, "timeout": True}]}}, False),
        ({"id": "s", "tools": {"search_policies": [{"timeout": False}]}}, False),
        ({"id": "s", "tools": {"search_policies": [{"delay": "1s", "when": {"call": 0}}]}}, False),
        (
            {"id": "s", "tools": {"search_policies": [{"delay": "1s", "when": {"args": {"query": {"regex": "x"}}}}]}},
            True,
        ),
        ({"id": "s", "tools": {"search_policies": [{"delay": "1s", "when": {"args": {"query": {"in": []}}}}]}}, False),
        (
            {"id": "s", "tools": {"search_policies": [{"delay": "1s", "when": {"args": {"query": {"regex": 1}}}}]}},
            False,
        ),
    ],
)
def test_schema_and_loader_agree(data: dict[str, Any], right: bool, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{}")
    assert VALIDATOR.is_valid(data) == right
    if data.get("world") != {"file": "a.json"}:
        assert (load_scenarios(agent, [[data]]).mistakes == ()) == right


def test_the_page_explains_every_key_and_no_other() -> None:
    table = WORDS.partition("| key | what it says |")[2].partition("\n\n")[0]
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == list(WrittenScenario.model_fields)


async def test_the_conversation_on_the_page_goes_as_it_says(folder: Path) -> None:
    lines = blocks("text")[0].splitlines()
    replies = await play(agent, lines, scenarios=folder, metadata={"scenario_id": "payment_service_down"})
    scripted = [[call.scripted_by for call in reply.tool_calls] for reply in replies]
    assert scripted[1] == ["payment_service_down: tools.request_refund[0]"]
    assert scripted[2] == ["payment_service_down: tools.request_refund[1]"]
    assert scripted[3] == ["payment_service_down: tools.get_order_status[0]"]
    assert replies[1].world["refunds"] == {}
    assert len(replies[2].world["refunds"]) == 1
    assert "lost" in replies[3].text


async def test_a_tool_whose_list_is_emptied_is_the_real_one_again(folder: Path) -> None:
    lines = ["refund order 12345", "yes", "where is 99999?"]
    replies = await play(agent, lines, scenarios=folder, metadata={"scenario_id": "evening"})
    assert [call.scripted_by for call in replies[1].tool_calls] == [""]
    assert replies[2].tool_calls[0].scripted_by == "payment_service_down: tools.get_order_status[0]"
    loaded = load_scenarios(agent, [Folder(folder)])
    evening = loaded.scenarios.find("evening")
    assert evening is not None
    assert evening.profile == {"name": "Rajesh Kumar", "tier": "gold"}


def test_mistakes_look_as_the_page_shows_them(folder: Path) -> None:
    for file in folder.iterdir():
        file.unlink()
    (folder / "late.yaml").write_text(
        "id: late\ntools:\n  request_refund:\n    - when: {cal: 1}\n      timeout: true\n\n  get_order_staus: []\n"
    )
    shown = [line for line in blocks("console")[0].splitlines() if line.startswith("scenarios/")]
    told = [
        str(mistake).replace(f"{folder}/", "scenarios/") for mistake in load_scenarios(agent, [Folder(folder)]).mistakes
    ]
    assert told == shown


def test_every_file_that_is_linked_exists() -> None:
    for name in re.findall(r"\]\(([^):#]+)\)", WORDS):
        assert (PAGE.parent / name).exists(), name
