"""The Vercel AI SDK with its two providers for chat completions, in its fifth and its newest line.

Its parsers leave out a tool call's `result`, as they do with whatever they do not know, and take `finish_reason: stop` beside
tool calls for no end: they look for a tool of that name, and answer the call with an error where they have none. A program
that stops after one step (the SDK's default) never notices; one that goes on asks once more. `X-Tool-Trace: metadata` spares
it that, and it is the one to set.
"""

import json
from pathlib import Path
from typing import Any

import pytest
from node_project import Node
from running_sandbox import Sandbox
from three_turns import check_three_turns

SCRIPT = Path(__file__).with_name("ai_sdk.mjs")
FIFTH = ("ai@5", "@ai-sdk/openai-compatible@1", "@ai-sdk/openai@2", "zod")
NEWEST = ("ai", "@ai-sdk/openai-compatible", "@ai-sdk/openai", "zod")

Conversation = dict[str, Any]


@pytest.fixture(scope="module", params=[pytest.param(FIFTH, id="ai@5"), pytest.param(NEWEST, id="ai")])
def conversations(
    request: pytest.FixtureRequest, node: Node, talker: Sandbox, tmp_path_factory: pytest.TempPathFactory
) -> list[Conversation]:
    """Three turns each, with every provider, place of the trace, number of steps, …"""
    project = node.project(tmp_path_factory.mktemp("sdk"), *request.param)
    told: list[Conversation] = json.loads(project.run(SCRIPT, talker.http, request.param[0].replace("@", "-")))
    assert len(told) == 64
    return told


def test_three_turns_go_on_from_each_other_generated_or_streamed_with_a_session_id_or_without(
    conversations: list[Conversation], talker: Sandbox
) -> None:
    for conversation in conversations:
        check_three_turns(conversation, talker)
        assert [turn["finish"] for turn in conversation["turns"]] == ["stop"] * 3


def test_our_metadata_is_there_for_a_program_that_extracts_it(conversations: list[Conversation]) -> None:
    shown = [
        (turn["metadata"]["turn"], turn["metadata"]["history"])
        for conversation in conversations
        if conversation["provider"] == "compatible" and conversation["steps"] == 1
        for turn in conversation["turns"]
    ]
    assert shown == [(1, "new"), (2, "continued"), (3, "continued")] * 16


def test_a_call_is_shown_without_its_result_and_answered_by_the_sdk_itself(conversations: list[Conversation]) -> None:
    for conversation in conversations:
        if conversation["trace"] == "message":
            own = conversation["own"]
            for turn in conversation["turns"]:
                assert turn["calls"] == [["count", {"by": 1}, not own]]
                assert sorted(turn["told"]) == sorted(["text", "tool-call", "tool-result" if own else "tool-error"])
            assert conversation["ran"] == (3 if own else 0)


def test_stop_beside_calls_is_no_end_for_a_program_of_several_steps_and_it_gets_the_same_text_and_usage_once_more(
    conversations: list[Conversation],
) -> None:
    for conversation in conversations:
        if conversation["trace"] == "message":
            steps, tokens = zip(*((turn["steps"], turn["tokens"]) for turn in conversation["turns"]), strict=True)
            if conversation["steps"] == 1:
                assert (steps, tokens[0]) == ((1, 1, 1), 8)
            else:
                assert (steps, tokens[0]) == ((2, 2, 2), 16)


def test_with_the_trace_in_the_metadata_there_is_one_step_and_none_of_its_own_tools_runs(
    conversations: list[Conversation],
) -> None:
    traced = [conversation for conversation in conversations if conversation["trace"] == "metadata"]
    assert len(traced) == 32
    for conversation in traced:
        assert (conversation["ran"], [turn["steps"] for turn in conversation["turns"]]) == (0, [1, 1, 1])
        assert [(turn["calls"], turn["told"]) for turn in conversation["turns"]] == [([], ["text"])] * 3
        assert conversation["turns"][0]["tokens"] == 8
        if conversation["provider"] == "compatible":
            [call] = conversation["turns"][-1]["metadata"]["tool_trace"]
            assert call["function"] == {"name": "count", "arguments": '{"by": 1}', "result": {"n": 3}}
