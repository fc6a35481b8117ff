"""The chat contract end to end: HTTP in, stored turn, HTTP out; the published bodies from their files."""

import asyncio
import json
from pathlib import Path
from typing import Any

import openai
import pytest
from whole_sandbox import CHAT, Sandbox, body_of, published, sandbox, text_of, until

from greenroom.core.limits import Limits
from greenroom.v1 import agent_pb2, turn_pb2


async def test_the_published_exchanges_come_out_as_published(support: Sandbox) -> None:
    for name in ("chat-basic", "chat-tools"):
        request, answer = published(f"{name}.request"), published(f"{name}.response")
        request["session_id"] += name
        reply = (await support.post(request)).json()
        message, expected = reply["choices"][0]["message"], answer["choices"][0]["message"]
        assert message["role"] == "assistant"
        assert message["content"].startswith(expected["content"])
        assert reply["evaluation_metadata"].items() >= answer["evaluation_metadata"].items()
        for call in expected.get("tool_calls", ()):
            shown = next(one for one in message["tool_calls"] if one["function"]["name"] == call["function"]["name"])
            assert shown == {**call, "id": shown["id"]}
        published_metadata = answer.get("metadata", {})
        assert reply["metadata"]["tools_used"] == published_metadata.get("tools_used", ["get_order_status"])
        assert 0 <= reply["metadata"]["agent_confidence"] <= 1


@pytest.mark.parametrize("name", ["chat-minimal", "chat-curl", "chat-full", "chat-basic", "chat-tools"])
async def test_every_published_request_is_answered_in_the_published_shape(support: Sandbox, name: str) -> None:
    request = published(f"{name}.request")
    reply = (await support.post(request)).json()
    [choice] = reply["choices"]
    assert (choice["index"], choice["finish_reason"], choice["message"]["role"]) == (0, "stop", "assistant")
    assert (reply["object"], reply["model"], reply["id"][:9]) == ("chat.completion", "support", "chatcmpl-")
    assert isinstance(reply["created"], int)
    assert sorted(reply["usage"]) == ["completion_tokens", "prompt_tokens", "total_tokens"]
    assert all(isinstance(count, int) for count in reply["usage"].values())
    assert reply["session_id"] == request.get("session_id", reply["session_id"])
    assert isinstance(reply["metadata"]["response_time_ms"], int)
    assert (reply["metadata"]["turn"], reply["metadata"]["history"]) == (1, "new")


async def test_a_minted_session_id_continues_the_conversation_and_its_chat_id_stays(whole: Sandbox) -> None:
    first = await whole.chat("add")
    again = await whole.chat("add", session_id=first["session_id"])
    other = await whole.chat("add")
    assert [text_of(reply) for reply in (first, again, other)] == ["1", "2", "1"]
    assert again["chat_id"] == first["chat_id"] != other["chat_id"]
    assert again["session_id"] == first["session_id"] != other["session_id"]
    assert len({reply["id"] for reply in (first, again, other)}) == 3


async def test_null_and_empty_mean_absent_and_unknown_fields_are_no_matter(whole: Sandbox) -> None:
    reply = await whole.chat(
        "tell", user_id=None, session_id="", metadata=None, model="gpt-9", temperature=0.1, store=True, tools=[], n=1
    )
    assert json.loads(text_of(reply)) == ["", {}, {}, 1]
    assert (await whole.post(body_of("x", n=2))).status_code == 400


async def test_metadata_comes_back_unaltered_wherever_it_is_shown(whole: Sandbox) -> None:
    text = '{"z": 9007199254740993, "a": {"b": [1.10, 1e2, "ü\\u0000"]}, "n": null}'
    raw = (
        '{"messages": [{"role": "user", "content": "hi"}], "session_id": "s", "user_id": "u", "metadata": ' + text + "}"
    )
    headers = {"content-type": "application/json"}
    assert (await whole.http.post(CHAT, content=raw, headers=headers)).status_code == 200
    shown = (await whole.http.get("/v1/sessions/s/turns")).text
    squeezed = text.replace(" ", "").replace("\\u0000", "")
    assert squeezed in shown.replace(" ", "").replace("\\u0000", "")
    user = '{"user_id": "u", "metadata": ' + text + ', "profile": {}}'
    assert (await whole.http.post("/users", content=user, headers=headers)).status_code == 200
    assert squeezed in (await whole.http.get("/users/u")).text.replace(" ", "").replace("\\u0000", "")


async def test_the_complete_sequence_of_tool_calls_is_shown_failures_too(whole: Sandbox) -> None:
    reply = await whole.chat("add spoil add", session_id="s")
    message = reply["choices"][0]["message"]
    assert message["content"] == "1 RuntimeError 2"
    calls = message["tool_calls"]
    assert [(call["type"], call["function"]["name"], call["function"]["arguments"]) for call in calls] == [
        ("function", "add", "{}"),
        ("function", "spoil", "{}"),
        ("function", "add", "{}"),
    ]
    assert [call["function"]["result"] for call in calls] == [
        {"n": 1},
        {"error": {"type": "RuntimeError", "message": "out of paper"}},
        {"n": 2},
    ]
    assert len({call["id"] for call in calls}) == 3
    assert reply["metadata"]["tools_used"] == ["add", "spoil"]
    assert reply["evaluation_metadata"] == {"tool_called": "add", "tool_success": False, "resolution_step": 1}
    assert (await whole.read("/v1/sessions/s/world"))["world"] == {"counters": {"n": 2}}
    none = await whole.chat("hello", session_id="s")
    assert "tool_calls" not in none["choices"][0]["message"]
    assert none["metadata"]["tools_used"] == []
    assert none["evaluation_metadata"] == {"resolution_step": 2}
    assert "agent_confidence" not in none["metadata"]


async def test_system_messages_are_context(whole: Sandbox) -> None:
    body = {"messages": [{"role": "developer", "content": "doc"}, {"role": "user", "content": "context"}]}
    reply = (await whole.post({**body, "session_id": "s"})).json()
    assert json.loads(text_of(reply)) == [["doc"], ["context"]]
    assert json.loads(text_of(await whole.chat("context", session_id="s")))[0] == ["doc"]


async def test_a_transcript_goes_on_goes_back_and_starts_over_with_its_world(whole: Sandbox) -> None:
    one = await whole.chat("add", session_id="s")
    two = await whole.chat("add", text_of(one), "add", session_id="s")
    again = await whole.chat("add", text_of(one), "add", session_id="s")
    over = await whole.chat("add", session_id="s")
    unseen = await whole.chat("never", "here", "add", session_id="s")
    assert [(text_of(r), r["metadata"]["history"]) for r in (one, two, again, over, unseen)] == [
        ("1", "new"),
        ("2", "continued"),
        ("2", "went_back"),
        ("1", "started_over"),
        ("1", "adopted"),
    ]
    turns = (await whole.read("/v1/sessions/s/turns"))["turns"]
    assert [(turn["turn"], turn["parent"], turn["superseded"]) for turn in turns] == [
        (1, 0, True),
        (2, 1, True),
        (3, 1, True),
        (4, 0, True),
        (5, 0, False),
        (6, 5, False),
    ]


async def test_our_own_reply_sent_back_is_accepted_and_a_tool_loop_ends_by_itself(whole: Sandbox) -> None:
    first = await whole.chat("add", session_id="s")
    message = first["choices"][0]["message"]
    asked = {"role": "user", "content": "add"}
    reply = (await whole.post({"messages": [asked, message, asked], "session_id": "s"})).json()
    assert (text_of(reply), reply["metadata"]["history"]) == ("2", "continued")
    shown = reply["choices"][0]["message"]
    answers = [{"role": "tool", "tool_call_id": call["id"], "content": "{}"} for call in shown["tool_calls"]]
    loop = [asked, message, asked, shown, *answers]
    ended = (await whole.post({"messages": loop, "session_id": "s"})).json()
    assert text_of(ended) == "2"
    assert "tool_calls" not in ended["choices"][0]["message"]
    assert (await whole.read("/v1/sessions/s/world"))["world"] == {"counters": {"n": 2}}


async def test_tool_calls_stand_in_the_metadata_where_that_is_asked_for(whole: Sandbox) -> None:
    reply = (await whole.post(body_of("add"), x_tool_trace="metadata")).json()
    assert "tool_calls" not in reply["choices"][0]["message"]
    assert [call["function"]["result"] for call in reply["metadata"]["tool_trace"]] == [{"n": 1}]


async def test_a_failed_turn_says_nothing_of_why_and_leaves_the_session_as_it_was(whole: Sandbox) -> None:
    await whole.chat("add", session_id="s")
    before = [await whole.read("/v1/sessions/s/world"), (await whole.read("/v1/sessions/s/turns"))["turns"]]
    response = await whole.post(body_of("add fail", session_id="s"))
    assert response.status_code == 500
    error = response.json()["error"]
    assert {**error, "request_id": None} == {**published("error-500.response")["error"], "request_id": None}
    assert "sk-secret" not in response.text
    after = await whole.read("/v1/sessions/s/turns")
    assert [await whole.read("/v1/sessions/s/world"), after["turns"]] == before
    [failed] = after["failed"]
    assert failed["request_id"] == response.headers["x-request-id"]
    assert text_of(await whole.chat("add", session_id="s")) == "2"


async def test_a_turn_past_its_deadline_is_504_and_not_to_be_retried(tmp_path: Path) -> None:
    async with sandbox(tmp_path, limits=Limits(turn_timeout=0.05)) as whole:
        response = await whole.post(body_of("add wait", session_id="s"))
        assert response.status_code == 504
        assert response.json()["error"]["type"] == "timeout_error"
        assert response.headers["x-should-retry"] == "false"
        assert (await whole.http.get("/v1/sessions/s")).status_code == 404


async def test_a_session_belongs_to_the_first_user_named_in_it(whole: Sandbox) -> None:
    await whole.chat("hi", session_id="s", user_id="ann")
    assert json.loads(text_of(await whole.chat("tell", session_id="s")))[0] == "ann"
    response = await whole.post(body_of("hi", session_id="s", user_id="bob"))
    assert (response.status_code, response.headers["x-should-retry"]) == (409, "false")
    assert response.json()["error"]["type"] == "conflict_error"
    assert (await whole.read("/users/ann"))["user_id"] == "ann"


async def test_turns_of_one_session_wait_for_each_other_and_then_it_is_busy(tmp_path: Path) -> None:
    async with sandbox(tmp_path, limits=Limits(session_waiting=2)) as whole:
        tasks = [asyncio.ensure_future(whole.chat(f"wait add {n}", session_id="s")) for n in "abc"]
        await until(lambda: whole.server._runner._running == 3)  # type: ignore[union-attr]
        other = asyncio.ensure_future(whole.chat("wait add", session_id="other"))
        await until(lambda: whole.puppet.inside == 2)
        response = await whole.post(body_of("add", session_id="s"))
        assert (response.status_code, response.json()["error"]["code"]) == (429, "session_busy")
        assert 1 <= int(response.headers["retry-after"]) <= 60
        whole.puppet.gate.set()
        replies = [await task for task in tasks]
        assert [text_of(reply) for reply in replies] == ["wait 1 a", "wait 2 b", "wait 3 c"]
        assert text_of(await other) == "wait 1"


async def test_the_same_turn_over_http_and_grpc_is_the_same_turn(whole: Sandbox) -> None:
    said: dict[str, Any] = {"user_id": "u", "metadata": {"scenario_id": "late", "n": 1}}
    over_http = await whole.chat("add spoil", session_id="h", **said)
    over_grpc = (
        await whole.agents.RunTurn(
            agent_pb2.RunTurnRequest(
                messages=[turn_pb2.Message(role="user", content="add spoil")],
                session_id="g",
                user_id="u",
                metadata_json=json.dumps(said["metadata"]),
            )
        )
    ).reply
    assert over_grpc.text == text_of(over_http)
    assert json.loads(over_grpc.evaluation_json) == over_http["evaluation_metadata"]
    shown = over_http["choices"][0]["message"]["tool_calls"]
    assert [(call.name, call.arguments_json, json.loads(call.result_json)) for call in over_grpc.tool_calls] == [
        (call["function"]["name"], call["function"]["arguments"], call["function"]["result"]) for call in shown
    ]
    assert over_http["metadata"]["scenario"] == {"id": "default", "requested": "late", "found": False}
    assert (over_grpc.scenario.id, over_grpc.scenario.requested, over_grpc.scenario.found) == ("default", "late", False)
    worlds = [await whole.read(f"/v1/sessions/{sid}/world") for sid in "hg"]
    for world in worlds:
        del world["session_id"]
    assert worlds[0] == worlds[1]
    # a session goes on over either door
    assert text_of(await whole.chat("add", session_id="g")) == "2"


async def test_the_official_client_talks_to_the_support_agent(support: Sandbox) -> None:
    request = published("chat-tools.request")
    extra = {key: request[key] for key in ("user_id", "session_id")}
    async with openai.AsyncOpenAI(base_url=f"{support.url}/v1", api_key="none", max_retries=0) as sdk:
        whole = await sdk.chat.completions.create(model="support", messages=request["messages"], extra_body=extra)
        content = whole.choices[0].message.content
        assert content == published("chat-tools.response")["choices"][0]["message"]["content"]
        extra["session_id"] += "-streamed"
        stream = await sdk.chat.completions.create(
            model="support",
            messages=request["messages"],
            stream=True,
            stream_options={"include_usage": True},
            extra_body=extra,
        )
        chunks = [chunk async for chunk in stream]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == content
    usage, expected = chunks[-1].usage, whole.usage
    assert usage is not None
    assert expected is not None
    assert usage.model_dump() == expected.model_dump()
