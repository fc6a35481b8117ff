"""The support agent in each of the scenarios that come with it."""

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conversations import CONVERSATIONS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scenario_talks import TALKS, Call, Talk

from greenroom.agents.support import agent
from greenroom.agents.support.effects import EFFECT_WORDS
from greenroom.agents.support.intents import Intent
from greenroom.agents.support.states import label_of
from greenroom.agents.support.talk import HANDED_OVER
from greenroom.core.scenario_files.load import load_scenarios
from greenroom.sdk.testing import PlayedReply, play

PAGE = Path(__file__).parents[2] / "docs" / "support-agent.md"
USER = "sim_user_abc123"
LOADED = load_scenarios(agent, [])
IDS = sorted(scenario.id for scenario in LOADED.scenarios if scenario.id != "default")

DOES = {
    Intent.CANCEL: ("cancel_order", {"status": "cancelled"}),
    Intent.ADDRESS: ("change_delivery_address", {"address": "{address}"}),
    Intent.REFUND: ("request_refund", {"status": "refund_requested"}),
}
"""By effect: its tool, and what the order is in the world once it has happened."""

EFFECT_TOOLS = {tool for tool, _ in DOES.values()}
SAID = [
    *["yes", "yes", "no", "try again", "did it work?", "a human please"],
    *["refund 12345", "cancel 12345", "cancel 12346", "refund it", "cancel it"],
    "change the address of 12345 to 5 Park Street, Kolkata 700016",
    *sorted({step.text for talk in TALKS for step in talk.steps}),
    *sorted({step.text for conversation in CONVERSATIONS for step in conversation.steps}),
]
SAYS_STATE = re.compile(
    rf"\bOrder #(\w+) is ({'|'.join(map(label_of, ('cancelled', 'refunded', 'refund_requested')))})\b"
)
SAYS_DONE = re.compile(
    r"\b(?:Done|cancelled|refund|refunded|changed|requested|sent|filed|take over|handed over|goes to)\b"
)
NO_CLAIM = re.compile(r"\?$|\b(?:can|cannot|could|not|shall|would|nothing|will|if|already)\b", re.IGNORECASE)
"""Questions, refusals and offers."""


def changes(before: Any, after: Any) -> Any:
    """As a JSON Merge Patch."""
    if not isinstance(before, dict) or not isinstance(after, dict):
        return after
    changed = {key: changes(before.get(key), value) for key, value in after.items() if before.get(key) != value}
    return {**changed, **{key: None for key in before if key not in after}}


def start_of(scenario: str) -> dict[str, Any]:
    found = LOADED.scenarios.find(scenario)
    assert found is not None
    return found.seed.data


async def played(scenario: str, texts: list[str], **options: Any) -> list[PlayedReply]:
    return await play(agent, texts, metadata={"scenario_id": scenario}, **{"user_id": USER, **options})


def test_every_scenario_can_be_used_and_is_named_by_its_file() -> None:
    assert [str(mistake) for mistake in LOADED.mistakes] == []
    assert len(IDS) >= 12
    for id in IDS:
        assert Path(LOADED.origins[id].file).name == f"{id}.yaml"
        found = LOADED.scenarios.find(id)
        assert found is not None
        assert found.title


def test_the_page_names_every_scenario() -> None:
    section = PAGE.read_text(encoding="utf-8").partition("## Scenarios")[2].partition("\n## ")[0]
    told = re.findall(r"^\| `(\w+)` \| (.+) \|$", section, re.MULTILINE)
    titles = [(scenario.id, scenario.title) for scenario in LOADED.scenarios if scenario.id != "default"]
    assert sorted(told) == sorted(titles)


def test_every_scenario_is_played() -> None:
    assert sorted(talk.scenario for talk in TALKS) == IDS


@pytest.mark.parametrize("talk", TALKS, ids=lambda talk: talk.scenario)
async def test_the_agent_copes_with(talk: Talk) -> None:
    start = start_of(talk.scenario)
    replies = await played(talk.scenario, [step.text for step in talk.steps])
    for step, reply in zip(talk.steps, replies, strict=True):
        calls = [Call(call.name, call.ok, bool(call.scripted_by)) for call in reply.tool_calls]
        assert calls == step.calls, (step.text, reply.text)
        for call in reply.tool_calls:
            assert call.scripted_by.startswith(f"{talk.scenario}: tools.{call.name}[" if call.scripted_by else "")
        for words in step.words:
            assert words in reply.text, step.text
        assert "scenario" not in reply.text
    assert changes(start, replies[-1].world) == talk.changed


@pytest.mark.parametrize("talk", TALKS, ids=lambda talk: talk.scenario)
async def test_whatever_is_claimed_has_happened_in(talk: Talk) -> None:
    check_claims(start_of(talk.scenario), await played(talk.scenario, [step.text for step in talk.steps]))


async def test_a_yes_after_goodbye_looks_again_at_what_could_not_be_looked_at() -> None:
    replies = await played("order_service_down", ["where is my order 12345?", "goodbye", "yes"])
    assert [call.ok for call in replies[2].tool_calls] == [False]
    assert "12345" in replies[2].text


@given(st.sampled_from(IDS), st.lists(st.sampled_from(SAID), min_size=2, max_size=8))
@settings(max_examples=30, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_whatever_is_said_in_a_scenario_only_what_happened_is_claimed(scenario: str, texts: list[str]) -> None:
    check_claims(start_of(scenario), asyncio.run(played(scenario, texts)))


@pytest.mark.parametrize("scenario", IDS)
async def test_somebody_elses_orders_stay_closed_in(scenario: str) -> None:
    orders = start_of(scenario)["orders"]
    others = {key: order for key, order in orders.items() if order["customer"] not in ("anyone", USER)}
    asked = ["where is {}?", "what is in {}?", "cancel {}", "refund {}", "who placed {}?", "list my orders"]
    for key in ("12346", "20011", "20021"):
        if key not in others:
            continue
        for reply in await played(scenario, [text.format(key) for text in asked]):
            told = reply.text + "".join(call.result_json for call in reply.tool_calls)
            for secret in [*(item["name"] for item in others[key]["items"]), others[key]["tracking_number"]]:
                assert secret not in told
            assert reply.world["orders"][key] == others[key]


def check_claims(start: dict[str, Any], replies: list[PlayedReply]) -> None:
    """In any turn, an effect is claimed only where a call of that turn succeeded, and the world shows it or the scenario
    answered the call in the tool's place. What could not be claimed has not been done either; a refund happens once."""
    before = start
    refunded: list[str] = []
    for reply in replies:
        done = {call.name: json.loads(call.arguments_json) for call in reply.tool_calls if call.ok}
        scripted = {call.name for call in reply.tool_calls if call.scripted_by}
        claimed = dict(claims_in(reply.text))
        for tool, claim in claimed.items():
            assert tool in done, reply.text
            order = reply.world["orders"].get(claim["order_id"], {}) if tool in EFFECT_TOOLS else {}
            assert done[tool].get("order_id", "") == claim.get("order_id", done[tool].get("order_id", "")), reply.text
            for key, value in expected_of(tool, claim).items():
                assert tool in scripted or (order[key] == value and order != before["orders"][claim["order_id"]])
        if not claimed:
            assert changes(before, reply.world) == {}, reply.text
        refunded += [done["request_refund"]["order_id"]] if "request_refund" in done else []
        check_other_words(reply)
        before = reply.world
    assert len(refunded) == len(set(refunded)), [reply.text for reply in replies]


def claims_in(text: str) -> Iterator[tuple[str, dict[str, str]]]:
    """The effects that a reply claims in the agent's own words, each by its tool."""
    for intent, (tool, _) in DOES.items():
        claim = re.escape(EFFECT_WORDS[intent].claim)
        pattern = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>.*?)", claim)
        for match in re.finditer(pattern, text):
            yield tool, match.groupdict()
    if HANDED_OVER in text:
        yield "escalate_to_human", {}


def expected_of(tool: str, claim: dict[str, str]) -> dict[str, str]:
    values = next((values for name, values in DOES.values() if name == tool), {})
    return {key: value.format(**claim) for key, value in values.items()}


def check_other_words(reply: PlayedReply) -> None:
    """What an order is said to be is what a call of the turn has told, and no other sentence sounds as if something had
    been done in a turn whose calls all failed."""
    results = [json.loads(call.result_json) for call in reply.tool_calls if call.ok]
    for order_id, label in SAYS_STATE.findall(reply.text):
        assert any(told_of(result, order_id) == label for result in results), reply.text
    for sentence in re.split(r"(?<=[.!?])\s+", reply.text):
        assert results or not SAYS_DONE.search(sentence) or NO_CLAIM.search(sentence), reply.text


def told_of(result: Any, order_id: str) -> str:
    return label_of(result["status"]) if isinstance(result, dict) and result.get("order_id") == order_id else ""
