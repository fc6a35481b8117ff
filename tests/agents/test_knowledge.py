"""What an agent finds in its knowledge, and what of that the evidence shows."""

import asyncio
import gc
import json
import logging
import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from greenroom.agents.knowledge import Knowledge, Passage, read_knowledge
from greenroom.agents.knowledge.index import Index, best
from greenroom.agents.knowledge.passage import Text
from greenroom.sdk import Agent, AgentError, Reply, ToolFailed, Turn
from greenroom.sdk.testing import PlayedReply, play

HANDBOOK = {
    "returns.md": "# Returns\n\nShoes may be returned within 30 days.\n\n## Refunds\n\nA refund takes five working days.\n",
    "shipping.md": "# Shipping\n\nWe ship to Norway and Sweden. Shipping is free over 50 euros.\n",
    "opening.txt": "The shop opens at nine and closes at six.\n\nIt is closed on Sundays.\n",
}


@pytest.fixture
def handbook(tmp_path: Path) -> Path:
    for name, text in HANDBOOK.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def asking(knowledge: Knowledge, heard: Callable[[list[Passage]], str] | None = None) -> Agent:
    """An agent that answers with what is found for what was said, each passage on a line."""
    agent = Agent("asking", tools=[knowledge.tool])

    @agent.reply
    async def reply(turn: Turn) -> str:
        passages = await knowledge.passages(turn)
        return heard(passages) if heard else "\n".join(passage.text for passage in passages)

    return agent


async def found(knowledge: Knowledge, query: str) -> list[Passage]:
    kept: list[Passage] = []
    await play(asking(knowledge, lambda passages: kept.extend(passages) or ""), [query])
    return kept


def with_documents(said: str, *texts: str) -> list[dict[str, str]]:
    return [*({"role": "system", "content": text} for text in texts), {"role": "user", "content": said}]


def evidence(reply: PlayedReply) -> list[dict[str, Any]]:
    [call] = reply.tool_calls
    passages: list[dict[str, Any]] = json.loads(call.result_json)["passages"]
    return passages


async def test_the_passage_that_answers_comes_first_with_where_it_stands(handbook: Path) -> None:
    [first, *_] = await found(Knowledge(handbook), "How long do refunds take?")
    assert (first.source, first.heading, first.text) == (
        "returns.md",
        "Returns > Refunds",
        "A refund takes five working days.",
    )
    assert first.where == "returns.md, Returns > Refunds"


async def test_the_evidence_has_the_question_the_passages_and_their_scores(handbook: Path) -> None:
    knowledge = Knowledge(handbook, top=2)
    [reply] = await play(asking(knowledge), ["How long does a refund of shoes take?"])
    [call] = reply.tool_calls
    assert (call.name, json.loads(call.arguments_json)) == (
        "search_knowledge",
        {"query": "How long does a refund of shoes take?"},
    )
    first, second = evidence(reply)
    assert set(first) == {"id", "source", "heading", "text", "score", "coverage"}
    assert first["score"] > second["score"] > 0
    assert 1 >= first["coverage"] > second["coverage"] > 0
    assert reply.text == f"{first['text']}\n{second['text']}"


async def test_a_passage_keeps_its_id_when_others_change(handbook: Path) -> None:
    [before] = await found(Knowledge(handbook, top=1), "refund")
    text = (handbook / "returns.md").read_text(encoding="utf-8")
    (handbook / "returns.md").write_text(text.replace("30 days.", "14 days.\n\n## Gifts\n\nToo."), encoding="utf-8")
    [after] = await found(Knowledge(handbook, top=1), "refund")
    assert before.id == after.id
    assert before.id.startswith("returns.md#")


async def test_coverage_tells_what_is_known_from_what_is_not(handbook: Path) -> None:
    knowledge = Knowledge(handbook)
    [known, *_] = await found(knowledge, "Do you ship to Norway?")
    assert known.coverage == 1
    assert await found(knowledge, "Who won the championship?") == []
    [half, *_] = await found(knowledge, "Do you ship elephants?")
    assert 0 < half.coverage < 0.5


def test_the_best_are_the_same_as_if_every_passage_was_looked_at() -> None:
    chance = random.Random(5)
    common, rare = [f"common{n}" for n in range(6)], [f"rare{n}" for n in range(300)]

    def text(length: int) -> str:
        return " ".join(chance.choices(common, k=length) + chance.choices(rare, k=2))

    folder = Index([Text("a.md", text(1), text(chance.randint(3, 12))) for _ in range(400)])
    own = Index([Text("context/1", "", text(8)) for _ in range(20)])
    for _ in range(100):
        words = [*chance.sample(common, 4), *chance.sample(rare, 2)]
        whole: dict[tuple[int, int], float] = {}
        for word in words:
            found = [folder.postings(word), own.postings(word)]
            n = sum(len(postings.rows) for postings in found)
            weight = math.log(1 + (420 - n + 0.5) / (n + 0.5))
            for at, postings in enumerate(found):
                for row, part in zip(postings.rows, postings.parts, strict=True):
                    whole[at, row] = whole.get((at, row), 0.0) + weight * part
        hits = best([folder, own], words, 5)
        assert [hit.score for hit in hits] == pytest.approx(sorted(whole.values(), reverse=True)[:5])
        assert [whole[hit.place] for hit in hits] == pytest.approx([hit.score for hit in hits])


@pytest.mark.parametrize("small", [1, 2, 3])
async def test_a_word_that_most_passages_have_still_counts(tmp_path: Path, small: int) -> None:
    for number in range(small):
        (tmp_path / f"{number}.md").write_text("refund " * (number + 1), encoding="utf-8")
    passages = await found(Knowledge(tmp_path), "refund")
    assert [passage.source for passage in passages] == [f"{number}.md" for number in reversed(range(small))]
    assert passages[-1].score > 0.01


async def test_other_forms_of_a_word_and_other_marks_on_it_are_found(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("Die Rückgabe ist möglich. Returned parcels travel slowly.", encoding="utf-8")
    knowledge = Knowledge(tmp_path)
    for query in ("RUCKGABE", "Rückgabe", "Ru\u0308ckgabe", "returning", "parcel", "ｔｒａｖｅｌ"):
        assert await found(knowledge, query), query


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("返品は三十日以内に可能です。", "返品"),
        ("退货政策：三十天内可以退货。", "怎么退货"),
        ("สินค้าสามารถคืนได้ภายในสามสิบวัน", "คืนได้"),
        ("배송은 무료입니다", "배송"),
        ("हिन्दी में सहायता", "हिन्दी"),
        ("يمكن الإرجاع خلال ثلاثين يوما", "الإرجاع"),
    ],
)
async def test_scripts_without_spaces_or_with_signs_on_their_letters_are_searched(
    tmp_path: Path, text: str, query: str
) -> None:
    (tmp_path / "a.md").write_text(text, encoding="utf-8")
    (tmp_path / "b.md").write_text("another text", encoding="utf-8")
    assert [passage.source for passage in await found(Knowledge(tmp_path), query)] == ["a.md"]


HOSTILE = [
    '"',
    '""',
    'refund" OR "1',
    "refund AND NOT refund",
    "NEAR(refund days, 2)",
    "heading : refund",
    "{heading text} : refund",
    "- text:refund",
    "refund*",
    "^refund",
    "refund + days",
    "(refund",
    "refund'); DROP TABLE passages; --",
    "re\x00fund",
    "refund \ud800",
    "refund 🙂",
    "refund\u202e\u200b",
    "\\refund\n\t",
    "refund" * 2000,
    "refund " * 150_000,
    "e\u0301" * 100_000 + " refund",
    "refund " + " ".join(f"word{n}" for n in range(20_000)),
]


@pytest.mark.parametrize("query", HOSTILE, ids=range(len(HOSTILE)))
async def test_no_question_is_query_syntax(handbook: Path, query: str) -> None:
    knowledge = Knowledge(handbook)
    [reply] = await play(tooled(knowledge, query), ["?"])
    [call] = reply.tool_calls
    assert call.ok, call.result_json


async def test_operators_are_words(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("This is near the harbour.", encoding="utf-8")
    (tmp_path / "b.md").write_text("The NOT gate inverts.", encoding="utf-8")
    knowledge = Knowledge(tmp_path)
    assert [passage.source for passage in await found(knowledge, "NEAR")] == ["a.md"]
    assert [passage.source for passage in await found(knowledge, "NOT")] == ["b.md"]
    assert [passage.source for passage in await found(knowledge, "gate* NOT harbour")] == ["b.md", "a.md"]


@pytest.mark.parametrize("query", ["", "   ", "\n", "🙂🙂", "?!…", '"*"', "\ud800"])
async def test_what_has_no_word_finds_nothing(handbook: Path, query: str) -> None:
    knowledge = Knowledge(handbook)
    [reply] = await play(tooled(knowledge, query), ["?"])
    assert evidence(reply) == []


async def test_an_opening_without_a_question_looks_nothing_up(handbook: Path) -> None:
    [reply] = await play(asking(Knowledge(handbook)), [[{"role": "user", "content": ""}]])
    assert reply.tool_calls == ()


async def test_a_long_question_is_searched_by_its_beginning_and_its_end(handbook: Path) -> None:
    [reply] = await play(asking(Knowledge(handbook)), ["Norway? " + "blah " * 200_000 + " refund!"])
    [call] = reply.tool_calls
    assert len(call.arguments_json) < 2_100
    assert {passage["source"] for passage in evidence(reply)} == {"shipping.md", "returns.md"}


def tooled(knowledge: Knowledge, query: str) -> Agent:
    """An agent that calls the tool as a model would."""
    agent = Agent("tooled", tools=[knowledge.tool])

    @agent.reply
    async def reply(turn: Turn) -> str:
        call = {"id": "c", "function": {"name": "search_knowledge", "arguments": json.dumps({"query": query})}}
        [answer] = await turn.tools.run([call])
        return str(answer["content"])[:1000]

    return agent


async def test_a_model_is_told_of_the_tool_and_its_question_alone(handbook: Path) -> None:
    knowledge = Knowledge(handbook, name="handbook", description="Search the handbook.")
    assert knowledge.tool.openai() == {
        "type": "function",
        "function": {
            "name": "handbook",
            "description": "Search the handbook.",
            "parameters": {
                "type": "object",
                "properties": {
                    "query": {
                        "type": "string",
                        "description": "What to look for: a question, or the words that matter.",
                    }
                },
                "required": ["query"],
                "additionalProperties": False,
            },
        },
    }
    [reply] = await play(tooled(Knowledge(handbook), "refund"), ["?"])
    assert json.loads(reply.text)["passages"] == evidence(reply)


async def test_context_is_a_text_for_a_prompt(handbook: Path) -> None:
    knowledge = Knowledge(handbook, top=1)
    agent = Agent("prompting", tools=[knowledge.tool])

    @agent.reply
    async def reply(turn: Turn) -> str:
        return await knowledge.context(turn)

    known, unknown = await play(agent, ["Refunds?", "Elephants?"])
    assert known.text == "[1] returns.md, Returns > Refunds\nA refund takes five working days."
    assert (unknown.text, evidence(unknown)) == ("", [])


async def test_a_scenario_scripts_the_search_like_any_tool(handbook: Path) -> None:
    knowledge = Knowledge(handbook)
    agent = Agent("scripted", tools=[knowledge.tool])

    @agent.reply
    async def reply(turn: Turn) -> str:
        try:
            return await knowledge.context(turn)
        except ToolFailed as failed:
            return failed.type

    scenarios: list[dict[str, Any]] = [
        {"id": "fixed", "tools": {"search_knowledge": [{"return": {"passages": [{"text": "No."}]}}]}},
        {"id": "down", "tools": {"search_knowledge": [{"error": {"code": "unavailable", "message": "Down."}}]}},
    ]
    [fixed] = await play(agent, ["Refunds?"], scenarios=scenarios, metadata={"scenario_id": "fixed"})
    [down] = await play(agent, ["Refunds?"], scenarios=scenarios, metadata={"scenario_id": "down"})
    assert (fixed.text, down.text) == ("[1] \nNo.", "unavailable")


async def test_the_folder_and_the_turns_documents_are_ranked_as_one(handbook: Path) -> None:
    document = "# Norway\n\nShipping to Norway costs 9 euros this winter."
    [reply] = await play(asking(Knowledge(handbook)), [with_documents("What does shipping to Norway cost?", document)])
    first, second, *_ = evidence(reply)
    assert (first["source"], first["heading"]) == ("context/1", "Norway")
    assert second["source"] == "shipping.md"
    assert first["score"] > second["score"]


async def test_a_document_that_is_in_the_folder_too_takes_one_place(handbook: Path) -> None:
    document = "A refund takes five working days.\n\n[2] A refund of shoes takes ten."
    [reply] = await play(asking(Knowledge(handbook, top=2)), [with_documents("refund takes", document)])
    assert [passage["text"] for passage in evidence(reply)] == [
        "A refund takes five working days.",
        "[2] A refund of shoes takes ten.",
    ]


async def test_without_a_folder_there_are_the_turns_documents_alone() -> None:
    knowledge = Knowledge()
    texts = ["You are a helpful assistant. Answer using the context.\n\nThe lift is out of order.", "Lunch is at noon."]
    lift, lunch, nothing = await play(
        asking(knowledge),
        [with_documents("Is the lift in order?", *texts), with_documents("When is lunch?", *texts), "When is lunch?"],
        session_id="s",
    )
    assert [passage["text"] for passage in evidence(lift)] == ["The lift is out of order."]
    assert [passage["source"] for passage in evidence(lunch)] == ["context/2"]
    # the client that sends last messages alone keeps its documents (CHAT-11)
    assert [passage["source"] for passage in evidence(nothing)] == ["context/2"]


async def test_code_in_a_document_keeps_its_indent() -> None:
    [reply] = await play(asking(Knowledge()), [with_documents("refund", "Use:\n\n    if refund:\n        pay()")])
    assert [passage["text"] for passage in evidence(reply)] == ["Use:\n\n    if refund:\n        pay()"]


async def test_what_tells_the_agent_how_to_behave_is_no_document() -> None:
    knowledge = Knowledge()
    text = "You are a refund agent. Be polite. Refunds take five days.\n\nAnswer in French. Use the following context:"
    [reply] = await play(asking(knowledge), [with_documents("refund agent, answer in French context", text)])
    assert [passage["text"] for passage in evidence(reply)] == ["Refunds take five days."]


async def test_a_subclass_says_which_texts_of_a_turn_are_documents() -> None:
    class FromMetadata(Knowledge):
        def documents(self, turn: Turn) -> list[str]:
            return [str(turn.metadata["page"])]

    [reply] = await play(
        asking(FromMetadata()),
        [with_documents("lunch", "Lunch is at noon.")],
        metadata={"page": "Lunch is over."},
    )
    assert [passage["text"] for passage in evidence(reply)] == ["Lunch is over."]


async def test_nothing_of_one_turns_documents_reaches_another_session(handbook: Path) -> None:
    knowledge = Knowledge(handbook, top=20)
    secrets = [f"The refund code of customer {n} is zebra{n}." for n in range(8)]

    async def customer(number: int) -> PlayedReply:
        question = "Which refund code has a customer? " + " ".join(f"zebra{n}" for n in range(8))
        turns = [with_documents(question, secrets[number])] * 3
        return (await play(asking(knowledge), turns, session_id=f"s{number}"))[-1]

    replies = await asyncio.gather(*map(customer, range(8)))
    for number, reply in enumerate(replies):
        assert secrets[number] in reply.text
        assert [n for n in range(8) if f"zebra{n}" in reply.text] == [number]
    [stranger] = await play(asking(knowledge), ["refund code zebra1"], session_id="stranger")
    assert "zebra" not in stranger.text
    del replies
    gc.collect()
    kept = [one for one in gc.get_objects() if type(one) in (Text, Passage) and "code of customer" in one.text]
    assert kept == []


async def test_many_turns_at_once_load_the_folder_once(
    handbook: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO, "greenroom.agents.knowledge")
    knowledge = Knowledge(handbook)
    replies = await asyncio.gather(*(play(asking(knowledge), ["refund"], session_id=f"s{n}") for n in range(20)))
    assert {reply.text.splitlines()[0] for [reply] in replies} == {"A refund takes five working days."}
    assert [record.message.partition(" in ")[0] for record in caplog.records] == ["knowledge: 4 passages of 3 files"]


async def test_whoever_asks_first_and_goes_away_leaves_the_loading_to_the_others(
    handbook: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "greenroom.agents.knowledge")
    knowledge = Knowledge(handbook)
    first = asyncio.create_task(knowledge.load())
    await asyncio.sleep(0)
    first.cancel()
    assert await found(knowledge, "refund")
    assert first.cancelled()
    assert len(caplog.records) == 1


async def test_a_folder_is_not_read_again_when_nobody_waited_for_the_end_of_it(
    handbook: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "greenroom.agents.knowledge")
    knowledge = Knowledge(handbook)
    before = asyncio.all_tasks()
    first = asyncio.create_task(knowledge.load())
    await asyncio.sleep(0)
    [filling] = asyncio.all_tasks() - before - {first}
    first.cancel()
    await asyncio.wait([filling])
    await knowledge.load()
    assert len(caplog.records) == 1


def test_another_loop_finds_the_same(handbook: Path) -> None:
    knowledge = Knowledge(handbook, top=1)
    first, second = (asyncio.run(found(knowledge, "refund")) for _ in range(2))
    assert first == second != []


async def test_a_folder_that_is_not_there_is_told_at_the_start_and_never_to_the_user(tmp_path: Path) -> None:
    knowledge = Knowledge(tmp_path / "nowhere")
    agent = asking(knowledge)
    agent.on_startup(knowledge.load)
    with pytest.raises(AgentError, match=r"knowledge: there is no folder .*nowhere"):
        await play(agent, ["refund"])

    [late] = await play(tooled(knowledge, "refund"), ["?"])
    [call] = late.tool_calls
    assert json.loads(call.result_json) == {"error": {"type": "unavailable", "message": "nothing can be looked up now"}}
    (tmp_path / "nowhere").mkdir()
    (tmp_path / "nowhere" / "a.md").write_text("refund", encoding="utf-8")
    [mended] = await play(tooled(knowledge, "refund"), ["?"])
    assert evidence(mended)


async def test_a_folder_is_looked_for_beside_the_module_that_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    knowledge = Knowledge("../../docs", top=1)
    [passage] = await found(knowledge, "agents strict model names none")
    assert passage.source == "agents.md"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"name": "search knowledge"}, "name 'search knowledge' is no tool's name"),
        ({"top": 0}, "top is 1 to 20 passages, not 0"),
        ({"folder": ""}, "folder is empty"),
        ({"size": 10}, "size is 100 to 8000 characters, not 10"),
    ],
)
def test_what_cannot_be_is_refused_at_once(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(AgentError, match=message):
        Knowledge(**settings)


async def test_an_agent_file_names_a_folder_or_gives_a_table(handbook: Path) -> None:
    short = read_knowledge(handbook.name, handbook.parent)
    table = read_knowledge({"folder": handbook.name, "name": "handbook", "top": 1, "size": 200}, handbook.parent)
    assert (await found(short, "refund"))[0] == (await found(table, "refund"))[0]
    assert (table.tool.name, table.top, table.size) == ("handbook", 1, 200)
    assert read_knowledge({}, handbook).tool.name == "search_knowledge"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("nowhere", r"knowledge\.folder: there is no folder .*nowhere"),
        (
            {"folders": "x", "top": 99},
            r"knowledge\.top: .*equal to 20, not 99\nknowledge\.folders: there is no such setting; there are folder, ",
        ),
        (7, r"knowledge: it is a folder's name or a table, not 7"),
        ("", r"knowledge\.folder: .*at least 1 character, not ''"),
        ({"name": "a b"}, r"knowledge\.name: String should match"),
    ],
)
def test_an_agent_file_is_told_which_key_is_wrong(tmp_path: Path, settings: Any, message: str) -> None:
    with pytest.raises(AgentError, match=message):
        read_knowledge(settings, tmp_path)


async def test_a_result_of_another_shape_is_named(handbook: Path) -> None:
    knowledge = Knowledge(handbook)
    scenarios = [{"id": "odd", "tools": {"search_knowledge": [{"return": ["refund"]}]}}]
    seen: list[str] = []
    agent = Agent("odd", tools=[knowledge.tool])

    @agent.reply
    async def reply(turn: Turn) -> Reply:
        with pytest.raises(AgentError) as caught:
            await knowledge.passages(turn)
        seen.append(str(caught.value))
        return Reply("")

    await play(agent, ["Refunds?"], scenarios=scenarios, metadata={"scenario_id": "odd"})
    assert seen[0].startswith("search_knowledge returned no passages")
