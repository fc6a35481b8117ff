"""The official Node client, in its oldest line that people still run and in its newest."""

import json
from pathlib import Path
from typing import Any

import httpx2
import pytest
from node_project import Node
from running_sandbox import PATIENCE, Sandbox

SCRIPT = Path(__file__).with_name("node_client.mjs")


@pytest.fixture(scope="module", params=["openai@4", "openai"])
def said(
    request: pytest.FixtureRequest, node: Node, talker: Sandbox, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """What the script saw."""
    project = node.project(tmp_path_factory.mktemp("client"), request.param)
    told: dict[str, Any] = json.loads(project.run(SCRIPT, talker.http, request.param.replace("@", "-")))
    return told


def shown_calls(first: int) -> list[dict[str, Any]]:
    """The message's tool calls but for their ids."""
    return [
        {"type": "function", "function": {"name": "count", "arguments": '{"by": 1}', "result": {"n": number}}}
        for number in (first, first + 1)
    ]


def without_ids(calls: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in call.items() if name != "id"} for call in calls]


def test_a_reply_is_read_whole_with_what_is_ours(said: dict[str, Any]) -> None:
    whole = said["whole"]
    [choice] = whole["choices"]
    assert (choice["message"]["content"], choice["finish_reason"]) == ("one 1 two 2 ", "stop")
    assert without_ids(choice["message"]["tool_calls"]) == shown_calls(1)
    assert whole["session_id"].endswith("-whole")
    assert whole["metadata"]["tools_used"] == ["count"]
    assert whole["evaluation_metadata"]["tool_success"] is True


def test_every_chunk_names_its_session_and_the_last_has_the_metadata(said: dict[str, Any]) -> None:
    *chunks, usage = said["chunks"]
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert [delta["content"] for delta in deltas if delta.get("content")] == ["one ", "1 ", "two ", "2 "]
    calls = [call for delta in deltas for call in delta.get("tool_calls", ())]
    assert [call.pop("index") for call in calls] == [0, 1]
    assert without_ids(calls) == shown_calls(1)
    [session] = {chunk["session_id"] for chunk in said["chunks"]}
    assert session.endswith("-parts")
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == [None] * (len(chunks) - 1) + ["stop"]
    assert ["metadata" in chunk for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    assert chunks[-1]["metadata"]["tools_used"] == ["count"]
    assert chunks[-1]["evaluation_metadata"] == said["whole"]["evaluation_metadata"]
    assert (usage["choices"], usage["usage"]) == ([], said["whole"]["usage"])


def test_its_streaming_helper_folds_all_but_the_results_of_the_calls(said: dict[str, Any]) -> None:
    """The helper copies of a function what it knows of, its name and its arguments: the results are read from the chunks."""
    folded, whole = said["folded"], said["whole"]
    message, expected = folded["choices"][0]["message"], whole["choices"][0]["message"]
    assert message["content"] == expected["content"] == said["told"]["content"]
    functions = [call["function"] for call in expected["tool_calls"]]
    assert [(call["id"][:5], call["type"], call["function"]["name"]) for call in message["tool_calls"]] == [
        ("call_", "function", "count")
    ] * 2
    assert [call["function"]["arguments"] for call in message["tool_calls"]] == [one["arguments"] for one in functions]
    assert [call["arguments"] for call in said["told"]["calls"]] == [one["arguments"] for one in functions]
    assert (folded["session_id"][-7:], folded["evaluation_metadata"]) == ("-helped", whole["evaluation_metadata"])
    assert folded["metadata"]["tools_used"] == ["count"]


def test_its_tool_runner_ends_by_itself_and_runs_nothing_when_the_trace_stands_in_the_metadata(
    said: dict[str, Any], talker: Sandbox
) -> None:
    prefix = said["whole"]["session_id"].removesuffix("-whole")
    assert [(run["trace"], run["content"], run["ran"]) for run in said["ran"]] == [
        ("message", "one 1 ", 1),
        ("metadata", "one 1 ", 0),
    ] * 2
    for run in said["ran"]:
        world = httpx2.get(f"{talker.http}/v1/sessions/{prefix}-{run['session']}/world", timeout=PATIENCE).json()
        assert (world["turn"], world["world"]) == (1, {"counters": {"n": 1}})


def test_a_conversation_without_session_id_goes_on_when_its_replies_come_back_as_they_were(
    said: dict[str, Any],
) -> None:
    sessions, texts, histories = zip(*said["conversation"], strict=True)
    assert len(set(sessions)) == 1
    assert texts == ("1 ", "2 ", "3 ")
    assert histories == ("new", "continued", "continued")


def test_what_goes_wrong_is_its_own_kind_of_error_with_our_code(said: dict[str, Any]) -> None:
    refused, early, late = said["errors"]
    assert refused == [True, 400, "bad_request", ""]
    assert early == [True, 500, "server_error", ""]
    assert (late[0], late[2], late[3]) == (True, "server_error", "one two ")
