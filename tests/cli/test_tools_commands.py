"""`greenroom tools …`: an agent's tools listed, and called by hand."""

import json
from pathlib import Path

import pytest
from running_sandbox import run_here

AGENT = '''
from typing import Literal
from greenroom.sdk import Agent, Call, ToolError, Turn, User, World, tool

@tool
def cancel(world: World, order_id: str, reason: str = "none", times: int = 1) -> dict:
    """Cancels an order.

    More of it.
    """
    if order_id not in world["orders"]:
        raise ToolError("No such order.", code="not_found")
    world["orders"][order_id]["status"] = f"cancelled {times} times"
    return {"order_id": order_id}

@tool
def rate(stars: list[int], kind: Literal["a", "b"], note: str | None = None) -> list:
    """Rates."""
    return [stars, kind, note]

@tool(timeout=0.01)
async def linger(user: User) -> str:
    """Lingers."""
    import asyncio
    if user.id:
        return user.id
    await asyncio.Event().wait()

agent = Agent("shop", tools=[cancel, rate, linger], world={"orders": {"7": {"status": "sent"}}})

@agent.reply
def reply(turn: Turn) -> str:
    return "hello"
'''


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "shop.py").write_text(AGENT, encoding="utf-8")
    (tmp_path / "scenarios").mkdir()
    (tmp_path / "scenarios" / "other.yaml").write_text('id: other\nworld: {orders: {"8": {}}}\n', encoding="utf-8")
    return tmp_path


def test_tools_are_listed_whole_off_a_terminal(folder: Path) -> None:
    done = run_here(folder, "tools", "list", "shop:agent")
    assert (done.returncode, done.stderr) == (0, "")
    assert [line.split("\t") for line in done.stdout.splitlines()] == [
        ["tool", "parameters", "source", "description"],
        ["cancel", 'order_id: string, reason: string = "none", times: integer = 1', "shop", "Cancels an order."],
        ["rate", 'stars: array of integer, kind: "a" | "b", note: string | null = null', "shop", "Rates."],
        ["linger", "", "shop", "Lingers."],
    ]


def test_tools_are_listed_with_their_schema_as_json(folder: Path) -> None:
    done = run_here(folder, "tools", "list", "--json", GREENROOM_AGENT="shop:agent")
    first, *_ = map(json.loads, done.stdout.splitlines())
    assert (first["name"], first["source"]) == ("cancel", "shop")
    assert first["description"] == "Cancels an order.\n\nMore of it."
    assert first["parameters"]["required"] == ["order_id"]


def test_a_call_prints_its_result_and_what_it_changed(folder: Path) -> None:
    done = run_here(folder, "tools", "call", "shop:agent", "cancel", "order_id=7", "times=2")
    assert (done.returncode, json.loads(done.stdout)) == (0, {"order_id": "7"})
    assert done.stderr == 'changed orders/7: status "sent" -> "cancelled 2 times"\n'
    again = run_here(folder, "tools", "call", "name=shop:agent", "cancel", "--json", '{"order_id": "7"}')
    assert again.stderr == 'changed orders/7: status "sent" -> "cancelled 1 times"\n'


def test_arguments_are_read_as_the_schema_has_them(folder: Path) -> None:
    done = run_here(folder, "tools", "call", "shop:agent", "rate", "stars=[1, 2]", "kind=b", "note=3")
    assert json.loads(done.stdout) == [[1, 2], "b", "3"]


def test_a_scenario_gives_the_world_and_a_user_is_whom_it_is_for(folder: Path) -> None:
    done = run_here(folder, "tools", "call", "shop:agent", "cancel", "order_id=8", "--scenario", "other")
    assert done.stderr == 'changed orders/8: status added "cancelled 1 times"\n'
    done = run_here(folder, "tools", "call", "shop:agent", "linger", "--user", "ann")
    assert json.loads(done.stdout) == "ann"


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (("cancel", "order_id=9"), {"type": "not_found", "message": "No such order."}),
        (("linger",), {"type": "timeout", "message": "linger did not answer within 0.01 s"}),
        (("cancel", "--json", "{}"), {"type": "invalid_arguments", "message": "order_id: Field required"}),
    ],
)
def test_a_call_that_fails_says_how_and_ends_with_1(folder: Path, words: tuple[str, ...], error: object) -> None:
    done = run_here(folder, "tools", "call", "shop:agent", *words)
    assert (done.returncode, json.loads(done.stdout), done.stderr) == (1, {"error": error}, "")


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("cancl",), "the agent has no tool cancl; did you mean cancel?"),
        (("zzz",), "the agent has no tool zzz; it has cancel, rate, linger"),
        (("cancel", "--json", "[1]"), "--json: a JSON object is needed"),
        (("cancel", "--json", "{}", "order_id=7"), "give the arguments as KEY=VALUE or with --json, not both"),
        (("cancel", "7"), "'7' is no argument; one is written KEY=VALUE"),
        (("cancel", "--scenario", "zzz"), "there is no scenario zzz; there are default, other"),
    ],
)
def test_a_call_that_cannot_be_made_ends_with_2(folder: Path, words: tuple[str, ...], complaint: str) -> None:
    done = run_here(folder, "tools", "call", "shop:agent", *words)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"greenroom: {complaint}\n")


def test_a_tool_is_not_taken_for_an_agent(folder: Path) -> None:
    done = run_here(folder, "tools", "call", "cancel", "7", GREENROOM_AGENT="shop:agent")
    said = "cancel names no agent, and '7' is no argument; one is written KEY=VALUE"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"greenroom: {said}\n")


SOURCE = """
from greenroom.sdk import Agent, Tool, ToolSource, Turn

async def look(arguments: dict) -> list:
    return ["on", arguments["shelf"]]

class Shelf(ToolSource):
    name = "http.shelf"
    tools = ()

    async def startup(self):
        schema = {"type": "object", "properties": {"shelf": {"type": "string"}, "most": {"type": "integer"}}}
        self.tools = (Tool.described("look", look, description="Looks.", parameters=schema),)

    def problem(self):
        return "" if self.tools else "it is down"

class Down(Shelf):
    name = "http.down"

    async def startup(self):
        pass

agent = Agent("shop", tools=[Shelf(), Down()])

@agent.reply
def reply(turn: Turn) -> str:
    return "hello"
"""


def test_tools_of_sources_are_had_once_those_are_started_and_what_is_wrong_is_told(folder: Path) -> None:
    (folder / "shop.py").write_text(SOURCE, encoding="utf-8")
    done = run_here(folder, "tools", "list", "shop:agent")
    assert done.stdout.splitlines()[1:] == ["look\tshelf?: string, most?: integer\thttp.shelf\tLooks."]
    assert done.stderr == "greenroom: tools of http.down: it is down\n"
    done = run_here(folder, "tools", "call", "shop:agent", "look", "shelf=7")
    assert (done.returncode, json.loads(done.stdout)) == (0, ["on", "7"])
    done = run_here(folder, "tools", "call", "shop:agent", "find")
    assert done.stderr == "greenroom: the agent has no tool find; it has look (tools of http.down: it is down)\n"


def test_a_source_that_is_down_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "away.toml").write_text('[mcp.away]\ncommand = ["/nonexistent"]\n', encoding="utf-8")
    listed = run_here(tmp_path, "tools", "list", "--tools-file", "away.toml")
    assert listed.returncode == 0
    assert listed.stderr == "greenroom: tools of mcp.away: there is no program /nonexistent\n"
    assert [record.name for record in caplog.records if record.levelname == "WARNING"] == []
