"""pydantic-ai as a client: an agent of it whose model is the sandbox.

Of a reply with text and tool calls it takes the text for its answer only when it streams; else it answers the calls, and asks
again. `X-Tool-Trace: metadata` is the one to set.
"""

import json
from pathlib import Path
from typing import Any

import pytest
from python_environment import Environment
from running_sandbox import Sandbox
from three_turns import check_three_turns

SCRIPT = Path(__file__).with_name("pydantic_ai_client.py")
Conversation = dict[str, Any]


@pytest.fixture(scope="module")
def conversations(talker: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> list[Conversation]:
    """Three turns each: either place of the trace, streamed or not, with a tool of its own or not, with a session id or not."""
    environment = Environment(tmp_path_factory.mktemp("client") / "venv", "pydantic-ai-slim[openai]>=2")
    told: list[Conversation] = json.loads(environment.run([str(SCRIPT), talker.http, "pydantic"]))
    assert len(told) == 16
    return told


def test_three_turns_go_on_from_each_other_plain_or_streamed_with_a_session_id_or_without(
    conversations: list[Conversation], talker: Sandbox
) -> None:
    for conversation in conversations:
        check_three_turns(conversation, talker)


def test_our_calls_are_answered_by_itself_and_it_gets_the_text_for_it(
    conversations: list[Conversation],
) -> None:
    shown = [one for one in conversations if one["trace"] == "message"]
    assert len(shown) == 8
    for conversation in shown:
        parts = (
            ["text", "tool-call", "text", "tool-return"]
            if conversation["stream"]
            else ["text", "tool-call", "tool-return", "text"]
        )
        for turn in conversation["turns"]:
            assert turn["parts"] == ["user-prompt", *parts]
            assert turn["requests"] == (1 if conversation["stream"] else 2)
        assert conversation["ran"] == (3 if conversation["own"] else 0)


def test_with_the_trace_in_the_metadata_it_asks_once_and_runs_no_tool_of_its_own(
    conversations: list[Conversation],
) -> None:
    traced = [one for one in conversations if one["trace"] == "metadata"]
    assert len(traced) == 8
    for conversation in traced:
        turns = [(turn["requests"], turn["parts"]) for turn in conversation["turns"]]
        assert (conversation["ran"], turns) == (0, [(1, ["user-prompt", "text"])] * 3)
