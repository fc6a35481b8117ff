"""langchain-openai as a client: its chat model alone, and an agent of langchain around it.

The chat model shows our tool calls as calls, without their results. An agent without tools takes the reply for its answer; one
that has tools answers the calls, and asks again. `X-Tool-Trace: metadata` is the one to set.
"""

import json
from pathlib import Path
from typing import Any

import pytest
from python_environment import Environment
from running_sandbox import Sandbox
from three_turns import check_three_turns

SCRIPT = Path(__file__).with_name("langchain_client.py")
Conversation = dict[str, Any]


@pytest.fixture(scope="module")
def conversations(talker: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> list[Conversation]:
    """Three turns each: either place of the trace, streamed or not, with a session id or not."""
    environment = Environment(tmp_path_factory.mktemp("client") / "venv", "langchain>=1", "langchain-openai>=1")
    told: list[Conversation] = json.loads(environment.run([str(SCRIPT), talker.http, "langchain"]))
    assert len(told) == 24
    return told


def test_three_turns_go_on_from_each_other_plain_or_streamed_with_a_session_id_or_without(
    conversations: list[Conversation], talker: Sandbox
) -> None:
    for conversation in conversations:
        check_three_turns(conversation, talker)
        for turn in conversation["turns"]:
            assert (turn["finish"], turn["invalid"], turn["tokens"] > 0) == ("stop", [], True)


def test_our_calls_are_shown_and_run_by_an_agent_that_has_such_a_tool_which_then_gets_the_text(
    conversations: list[Conversation],
) -> None:
    shown = [one for one in conversations if one["trace"] == "message"]
    assert len(shown) == 12
    for conversation in shown:
        has_tool = conversation["kind"] == "own tool"
        assert conversation["ran"] == (3 if has_tool else 0)
        for turn in conversation["turns"]:
            assert turn["calls"] == [["count", {"by": 1}]]
            assert len(turn["messages"]) == (3 if has_tool else 1)


def test_with_the_trace_in_the_metadata_it_asks_once_and_runs_no_tool_of_its_own(
    conversations: list[Conversation],
) -> None:
    traced = [one for one in conversations if one["trace"] == "metadata"]
    assert len(traced) == 12
    for conversation in traced:
        assert conversation["ran"] == 0
        assert [(turn["calls"], len(turn["messages"])) for turn in conversation["turns"]] == [([], 1)] * 3
