"""Knowledge that is searched by meaning, too: the author's function makes the vectors."""

import asyncio
import json
import random
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from greenroom.agents.knowledge import Knowledge
from greenroom.agents.knowledge.vectors import Embedding, Vectors
from greenroom.sdk import Agent, AgentError, ToolFailed, Turn
from greenroom.sdk.testing import PlayedReply, play

MEANINGS = [{"cat", "feline", "kitten"}, {"food", "eat", "meal"}, {"car", "automobile"}, {"price", "cost", "expensive"}]


def meaning(text: str) -> list[float]:
    words = set(text.lower().replace(".", " ").replace("?", " ").split())
    return [float(len(words & meanings)) for meanings in MEANINGS]


def plain(texts: list[str]) -> list[list[float]]:
    return [meaning(text) for text in texts]


async def waiting(texts: list[str]) -> list[list[float]]:
    await asyncio.sleep(0)
    return plain(texts)


def later(texts: list[str]) -> Any:
    return waiting(texts)


@pytest.fixture
def garage(tmp_path: Path) -> Path:
    (tmp_path / "cat.md").write_text("A kitten wants a meal.", encoding="utf-8")
    (tmp_path / "car.md").write_text("Our automobile is expensive.", encoding="utf-8")
    (tmp_path / "sun.md").write_text("The sun shines on the roof.", encoding="utf-8")
    return tmp_path


def asking(knowledge: Knowledge) -> Agent:
    agent = Agent("asking", tools=[knowledge.tool])

    @agent.reply
    async def reply(turn: Turn) -> str:
        try:
            return "\n".join(passage.text for passage in await knowledge.passages(turn))
        except ToolFailed as failed:
            return f"{failed.type}: {failed.message}"

    return agent


def evidence(reply: PlayedReply) -> list[dict[str, Any]]:
    [call] = reply.tool_calls
    passages: list[dict[str, Any]] = json.loads(call.result_json)["passages"]
    return passages


@pytest.mark.parametrize("embed", [plain, waiting, later])
async def test_what_means_the_same_is_found_without_a_word_in_common(garage: Path, embed: Any) -> None:
    [reply] = await play(asking(Knowledge(garage, embed=embed, top=2)), ["What does a car cost?"])
    first, second = evidence(reply)
    assert (first["source"], first["coverage"], first["similarity"]) == ("car.md", 0, 1)
    assert second["similarity"] == 0


async def test_the_score_is_the_sum_of_both_rankings_reciprocals(garage: Path) -> None:
    [reply] = await play(asking(Knowledge(garage, embed=plain)), ["Which automobile shines?"])
    scores = {passage["source"]: passage["score"] for passage in evidence(reply)}
    assert scores == {
        "car.md": round(1 / 61 + 1 / 61, 4),
        "sun.md": round(1 / 62 + 1 / 63, 4),
        "cat.md": round(1 / 62, 4),
    }


async def test_a_folders_vectors_are_made_once_in_batches(garage: Path) -> None:
    for number in range(100):
        (garage / f"{number}.md").write_text(f"text {number}", encoding="utf-8")
    asked: list[int] = []

    def counting(texts: list[str]) -> list[list[float]]:
        asked.append(len(texts))
        return plain(texts)

    knowledge = Knowledge(garage, embed=counting)
    agent = asking(knowledge)
    agent.on_startup(knowledge.load)
    await asyncio.gather(*(play(agent, ["cat?"], session_id=f"s{n}") for n in range(5)))
    assert asked == [64, 39, 1, 1, 1, 1, 1]


async def test_a_turns_documents_are_compared_with_the_folders(garage: Path) -> None:
    said = [{"role": "system", "content": "The feline eats at noon."}, {"role": "user", "content": "kitten food"}]
    [reply] = await play(asking(Knowledge(garage, embed=plain)), [said])
    by_source = {passage["source"]: passage for passage in evidence(reply)}
    assert by_source["context/1"]["similarity"] == pytest.approx(0.7071)
    assert by_source["cat.md"]["similarity"] == 1
    [alone] = await play(asking(Knowledge(embed=plain)), [said])
    assert [passage["source"] for passage in evidence(alone)] == ["context/1"]


WRONG: list[tuple[Callable[[list[str]], Any], str]] = [
    (lambda texts: [[1.0]], "embed returned 1 vectors for 3 texts"),
    (lambda texts: None, "embed returns a list of lists of numbers"),
    (lambda texts: "vec", "embed returns a list of lists of numbers"),
    (lambda texts: [["1"]] * 3, "embed returns a list of lists of numbers"),
    (lambda texts: [[]] * 3, "a vector that is empty"),
    (lambda texts: [[float("nan")]] * 3, "a number that is not finite"),
    (lambda texts: [[1e300]] * 3, "not finite|numbers"),
    (lambda texts: [[1.0]] * 2 + [[1.0, 2.0]], "vectors of different lengths"),
    (lambda texts: 1 / 0, "embed failed: ZeroDivisionError: "),
]


@pytest.mark.parametrize(("embed", "message"), WRONG, ids=range(len(WRONG)))
async def test_what_is_no_vector_is_told_at_the_start(garage: Path, embed: Any, message: str) -> None:
    with pytest.raises(AgentError, match=message):
        await Knowledge(garage, embed=embed).load()


async def test_an_embedding_that_fails_in_a_turn_is_a_failed_call_that_says_nothing_of_it(garage: Path) -> None:
    working = True

    async def embed(texts: list[str]) -> list[list[float]]:
        if not working:
            raise ConnectionError("Incorrect API key provided: sk-123")
        return plain(texts)

    knowledge = Knowledge(garage, embed=embed)
    await knowledge.load()
    working = False
    [reply] = await play(asking(knowledge), ["cat?"])
    assert reply.text == "unavailable: nothing can be looked up now"
    [call] = reply.tool_calls
    assert not call.ok
    assert "sk-123" not in call.result_json


async def test_a_query_whose_vector_has_another_length_fails_the_call(garage: Path) -> None:
    knowledge = Knowledge(garage, embed=lambda texts: plain(texts) if len(texts) > 1 else [[1.0]])
    [reply] = await play(asking(knowledge), ["cat?"])
    assert reply.text == "unavailable: nothing can be looked up now"


async def test_a_plain_embedding_runs_off_the_loop(garage: Path) -> None:
    loop = asyncio.get_running_loop()

    def embed(texts: list[str]) -> list[list[float]]:
        # answers when the loop goes on meanwhile, and never when it is held
        return asyncio.run_coroutine_threadsafe(waiting(texts), loop).result(timeout=30)

    [reply] = await play(asking(Knowledge(garage, embed=embed)), ["automobile"])
    assert evidence(reply)[0]["source"] == "car.md"


async def test_among_many_vectors_the_nearest_are_found_though_not_all_are_looked_at() -> None:
    chance = random.Random(7)
    topics = [[chance.gauss(0, 1) for _ in range(64)] for _ in range(40)]
    raw = [[5 + value + chance.gauss(0, 0.6) for value in topics[n % 40]] for n in range(1200)]
    stored = await Embedding(lambda texts: [raw[int(text)] for text in texts]).of([str(n) for n in range(1200)])
    vectors = Vectors(stored)
    hits = 0
    for n in range(0, 1200, 60):
        near = [row for _, row in vectors.nearest(stored[n], 10)]
        exact = sorted(range(1200), key=lambda row: -dot(stored[n], stored[row]))[:10]
        assert near[0] == n
        hits += len(set(near) & set(exact))
    assert hits >= 0.9 * 200


def dot(a: "array[float]", b: "array[float]") -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))
