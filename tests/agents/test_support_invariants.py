"""What holds of the support agent whatever is said to it."""

import asyncio
import string
import time
from typing import Any

from conversations import CONVERSATIONS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from greenroom.agents.support import agent
from greenroom.agents.support.memory import Memory
from greenroom.agents.support.recall import expects_order
from greenroom.agents.support.understanding import understand
from greenroom.sdk.testing import PlayedReply, play

EFFECTS = {"cancel_order", "change_delivery_address", "request_refund"}
SAID = sorted({step.text for conversation in CONVERSATIONS for step in conversation.steps})
OTHERS = ["rain jacket", "DL20011345", "HSR Layout", "rajesh", "office chair", "Harbor Street"]

lines = (
    st.sampled_from(SAID)
    | st.text(max_size=80)
    | st.text(string.ascii_lowercase + string.digits + " ?#'.,", max_size=60)
)
talks = st.lists(lines.filter(lambda text: text.strip()), min_size=1, max_size=6)
some_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
metadata = st.dictionaries(
    st.sampled_from(["stress_level", "persona", "time_of_day", "scenario_id", "name", "tier", "location"]), some_json
)
slow = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def played(texts: list[str], **given: Any) -> list[PlayedReply]:
    return asyncio.run(play(agent, texts, **given))


@given(talks, metadata)
@slow
def test_whatever_is_said_is_answered(texts: list[str], given: dict[str, Any]) -> None:
    for reply in played(texts, metadata=given):
        assert reply.text.strip()
        assert reply.confidence is not None


@given(talks)
@slow
def test_no_effect_happens_on_the_turn_that_asks_for_it(texts: list[str]) -> None:
    replies = played(texts, user_id="priya.sharma")
    for before, reply in zip([None, *replies], replies, strict=False):
        if EFFECTS & {call.name for call in reply.tool_calls}:
            assert before is not None
            assert "Shall I" in before.text


@given(talks)
@slow
def test_nothing_of_another_customer_is_told(texts: list[str]) -> None:
    for reply in played(texts, user_id="stranger"):
        told = reply.text + "".join(call.result_json for call in reply.tool_calls)
        assert not any(secret in told for secret in OTHERS)


@given(talks, metadata)
@slow
def test_words_depend_on_what_was_said_alone(texts: list[str], given: dict[str, Any]) -> None:
    here = played(texts, session_id="one", metadata=given)
    there = played(texts, session_id="another", metadata=given)
    assert [(a.text, a.evaluation, a.confidence) for a in here] == [(b.text, b.evaluation, b.confidence) for b in there]


@given(st.text(max_size=300))
@slow
def test_understanding_survives_any_text(text: str) -> None:
    understand(text)
    understand(text, expecting_order=expects_order(Memory()))


def test_understanding_takes_no_longer_the_more_is_written() -> None:
    for text in (
        "a" * 1_000_000,
        "order " * 100_000,
        "1 " * 100_000,
        "when " * 100_000,
        "not " * 100_000,
        "#" * 100_000,
    ):
        started = time.process_time()
        understand(text)
        assert time.process_time() - started < 1.0


def test_an_ordinary_turn_is_quick() -> None:
    """Loose, for a busy machine: the whole turn, the sandbox around the agent included."""
    texts = ["I need help with my order #12345", "when will it arrive?", "cancel it", "yes"] * 25
    played(texts[:4])
    started = time.process_time()
    played(texts)
    assert (time.process_time() - started) / len(texts) < 0.005
