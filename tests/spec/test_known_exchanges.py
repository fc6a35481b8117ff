"""What evaluators and chat front ends really send, where it breaks other hosts (docs/evaluators.md says what each sends)."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from whole_sandbox import CHAT, Sandbox, add, body_of, sandbox, text_of, until

from greenroom.core.limits import Limits
from greenroom.edge import HttpOptions
from greenroom.sdk import Agent, Turn

CHAT_HEADER = "X-OpenWebUI-Chat-Id"
SYSTEM = {"role": "system", "content": "You are a helpful customer service agent."}
TITLE = "### Task:\nGenerate a concise title.\n### Chat History:\nUSER: add\nASSISTANT: 1"
"""A title request of a front end: what was said is in its one message, words that the agent would act upon too."""


def said(*texts: str) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = body_of(*texts)["messages"]
    return messages


async def count(whole: Sandbox, session: str) -> int:
    return int((await whole.read(f"/v1/sessions/{session}/world"))["world"]["counters"]["n"])


async def ask(whole: Sandbox, messages: list[Any], chat: str = "", **fields: Any) -> Any:
    headers = {CHAT_HEADER: chat} if chat else {}
    response = await whole.http.post(CHAT, json={"messages": messages, **fields}, headers=headers)
    assert response.status_code == 200, response.text
    return response.json()


@pytest.fixture
async def front(tmp_path: Path) -> AsyncIterator[Sandbox]:
    """Served for a chat front end that names its chats in a header of its own."""
    async with sandbox(tmp_path, http=HttpOptions(rate_limit=None, transcript_headers=(CHAT_HEADER,))) as running:
        yield running


# promptfoo


def promptfoos_output(message: Any) -> str:
    """What promptfoo takes for the reply: a message with calls next to its text becomes a string, whole."""
    return json.dumps(message, separators=(",", ":")) if message.get("tool_calls") else str(message["content"])


async def test_promptfoo_reads_plain_text_where_the_calls_stand_in_the_metadata(whole: Sandbox) -> None:
    reply = (await whole.post({"messages": [SYSTEM, *said("add")]}, x_tool_trace="metadata")).json()
    assert promptfoos_output(reply["choices"][0]["message"]) == "1"
    [call] = reply["metadata"]["tool_trace"]
    assert (call["function"]["name"], call["function"]["result"]) == ("add", {"n": 1})


@pytest.mark.parametrize("made", [promptfoos_output, lambda message: "[object Object]"])
async def test_a_reply_that_promptfoo_made_a_string_of_is_still_the_turn_it_was(whole: Sandbox, made: Any) -> None:
    messages = [SYSTEM]
    for turn in (1, 2, 3):
        messages.append({"role": "user", "content": "add"})
        reply = await ask(whole, messages, session_id="s")
        assert (text_of(reply), reply["metadata"]["turn"]) == (str(turn), turn)
        assert reply["metadata"]["history"] == ("new" if turn == 1 else "continued")
        messages.append({"role": "assistant", "content": made(reply["choices"][0]["message"])})
    assert await count(whole, "s") == 3


async def test_promptfoo_with_stateful_true_sends_its_last_message_and_the_system_prompt_once(whole: Sandbox) -> None:
    first = await ask(whole, [SYSTEM, *said("add")])
    session = first["session_id"]
    second = await ask(whole, said("add"), session_id=session)
    third = await ask(whole, said("context"), session_id=session)
    assert [reply["metadata"]["history"] for reply in (first, second, third)] == ["new", "next", "next"]
    assert json.loads(text_of(third)) == [
        [SYSTEM["content"]],
        ["add", None, '{"n":1}', "1", "add", None, '{"n":2}', "2", "context"],
    ]
    assert await count(whole, session) == 2


async def test_promptfoo_with_stateful_false_sends_everything_and_no_id(whole: Sandbox) -> None:
    messages = [SYSTEM]
    replies = []
    for _ in range(3):
        messages.append({"role": "user", "content": "add"})
        reply = (await whole.post({"messages": messages}, x_tool_trace="metadata")).json()
        messages.append({"role": "assistant", "content": promptfoos_output(reply["choices"][0]["message"])})
        replies.append(reply)
    assert [text_of(reply) for reply in replies] == ["1", "2", "3"]
    assert [reply["metadata"]["history"] for reply in replies] == ["new", "continued", "continued"]
    [session] = {reply["session_id"] for reply in replies}
    assert await count(whole, session) == 3


# Coval


async def test_coval_opens_a_session_and_names_it_from_then_on(whole: Sandbox) -> None:
    opened = await whole.http.post("/v1/sessions", json={"persona": "hasty", "simulation_output_id": "sim1"})
    assert opened.status_code == 201, opened.text
    session = opened.json()["sessionId"]
    messages: list[Any] = []
    for turn in (1, 2):
        messages.append({"role": "user", "content": "add", "timestamp": "2026-11-22T08:00:00Z"})
        reply = await ask(whole, messages, sessionId=session, simulation_output_id="sim1")
        assert (text_of(reply), reply["session_id"]) == (str(turn), session)
        messages.append({**reply["choices"][0]["message"], "timestamp": "2026-11-22T08:00:01Z"})
    assert reply["metadata"]["history"] == "continued"
    assert await count(whole, session) == 2


# Galtea


async def answer_of(whole: Sandbox, body: Any, *refusals: int) -> Any:
    """The answer to a body that is sent again, as it was, after each of these."""
    for status in refusals:
        assert (await whole.post(body)).status_code == status
    response = await whole.post(body)
    assert response.status_code == 200, response.text
    return response.json()


async def test_galtea_retries_after_a_500_and_its_turn_counts_once(tmp_path: Path) -> None:
    agent = Agent("flaky", tools=[add], world={"counters": {"n": 0}})
    failures = iter([True, True])

    @agent.reply
    async def reply(turn: Turn) -> str:
        number = (await turn.call(add))["n"]
        if next(failures, False):
            raise ValueError("out of memory")
        return str(number)

    async with sandbox(tmp_path, agent) as whole:
        answer = await answer_of(whole, body_of("cancel it", session_id="s"), 500, 500)
        assert (text_of(answer), answer["metadata"]["turn"], await count(whole, "s")) == ("1", 1, 1)


async def test_galtea_retries_after_a_504_though_it_should_not_and_its_turn_counts_once(tmp_path: Path) -> None:
    async with sandbox(tmp_path, limits=Limits(turn_timeout=0.1)) as whole:
        body = body_of("add wait", session_id="s")
        assert (await whole.post(body)).status_code == 504
        whole.puppet.gate.set()
        answer = await answer_of(whole, body)
        assert (text_of(answer), answer["metadata"]["turn"], await count(whole, "s")) == ("1 wait", 1, 1)


async def test_galtea_retries_after_a_429_and_its_turn_counts_once(tmp_path: Path) -> None:
    async with sandbox(tmp_path, limits=Limits(session_waiting=1)) as whole:
        others = [asyncio.ensure_future(whole.chat(f"wait {name}", session_id="s")) for name in "ab"]
        await until(lambda: whole.server._runner is not None and whole.server._runner._running == 2)
        body = body_of("add", session_id="s")
        refused = await whole.post(body)
        assert (refused.status_code, refused.json()["error"]["code"]) == (429, "session_busy")
        assert 1 <= int(refused.headers["retry-after"]) <= 60
        whole.puppet.gate.set()
        await asyncio.gather(*others)
        assert (text_of(await answer_of(whole, body)), await count(whole, "s")) == ("1", 1)


# Open WebUI and LibreChat


async def streamed(whole: Sandbox, messages: list[Any], chat: str) -> Any:
    """The message that a front end folds from a stream."""
    body = {"messages": messages, "stream": True}
    headers = {CHAT_HEADER: chat} if chat else {}
    async with whole.http.stream("POST", CHAT, json=body, headers=headers) as response:
        lines = [line.removeprefix("data: ") async for line in response.aiter_lines() if line.startswith("data: {")]
    deltas = [json.loads(line)["choices"][0]["delta"] for line in lines]
    calls = [call for delta in deltas for call in delta.get("tool_calls", ())]
    return {"role": "assistant", "content": "".join(delta.get("content", "") for delta in deltas), "tool_calls": calls}


async def plain(whole: Sandbox, messages: list[Any], chat: str) -> Any:
    return {"tool_calls": [], **(await ask(whole, messages, chat))["choices"][0]["message"]}


def open_webui_runs(calls: list[Any]) -> list[Any]:
    """It knows no such tool, and goes on with nothing for a result."""
    return [{"role": "tool", "tool_call_id": call["id"], "content": ""} for call in calls]


@pytest.mark.parametrize("send", [plain, streamed])
async def test_open_webui_runs_the_calls_again_and_is_given_the_text(front: Sandbox, send: Any) -> None:
    messages: list[Any] = []
    for turn in (1, 2):
        messages += said("add add")
        requests = 0
        while requests < 30:
            requests += 1
            message = await send(front, messages, "chat-1")
            if not message["tool_calls"]:
                break
            messages += [message, *open_webui_runs(message["tool_calls"])]
        assert (requests, message["content"]) == (2, f"{2 * turn - 1} {2 * turn}")
        messages.append({"role": "assistant", "content": message["content"]})
    assert await count(front, "chat-1") == 4
    turns = (await front.read("/v1/sessions/chat-1/turns"))["turns"]
    assert [(turn["turn"], turn["history"], turn["superseded"]) for turn in turns] == [
        (1, "new", False),
        (2, "continued", False),
    ]


@pytest.mark.parametrize("send", [plain, streamed])
async def test_without_a_header_the_loop_ends_as_well(whole: Sandbox, send: Any) -> None:
    """The reply is found by the conversation that ends with it."""
    messages = said("add add")
    first = await send(whole, messages, "")
    messages += [first, *open_webui_runs(first["tool_calls"])]
    assert await send(whole, messages, "") == {"role": "assistant", "content": "1 2", "tool_calls": []}
    messages += [{"role": "assistant", "content": "1 2"}, *said("add")]
    second = await send(whole, messages, "")
    assert second["content"] == "3"
    messages += [second, *open_webui_runs(second["tool_calls"])]
    assert (await send(whole, messages, ""))["content"] == "3"
    [session] = (await whole.read("/v1/sessions"))["sessions"]
    assert (session["turn_count"], await count(whole, session["session_id"])) == (2, 3)


async def test_a_title_that_is_asked_beside_the_first_message_does_no_harm(front: Sandbox) -> None:
    """Even when it comes first: what a front end sends without history starts over."""
    await ask(front, said(TITLE + " add add"), "chat-1")
    reply = await ask(front, said("add"), "chat-1")
    assert (text_of(reply), reply["metadata"]["history"]) == ("1", "started_over")
    messages = [*said("add"), reply["choices"][0]["message"], *said("add")]
    assert text_of(await ask(front, messages, "chat-1")) == "2"


async def test_a_first_message_that_is_answered_again_counts_once(front: Sandbox) -> None:
    for again in ("new", "started_over", "started_over"):
        reply = await ask(front, said("add"), "chat-1")
        assert (text_of(reply), reply["metadata"]["history"]) == ("1", again)
    assert await count(front, "chat-1") == 1


async def test_a_client_that_names_its_session_otherwise_may_send_what_is_new(front: Sandbox) -> None:
    """The header is a promise of those who use it."""
    for turn in (1, 2):
        reply = await ask(front, said("add"), session_id="s")
        assert text_of(reply) == str(turn)
    both = await front.http.post(CHAT, json=body_of("add", session_id="s"), headers={CHAT_HEADER: "chat-1"})
    assert text_of(both.json()) == "3"


async def test_what_a_front_end_asks_on_the_side_does_not_derail_its_chat(front: Sandbox) -> None:
    """Title, tags, follow-ups: other messages under the header of the chat, after a reply."""
    messages: list[Any] = []
    histories = []
    for turn in (1, 2, 3):
        messages += said("add")
        reply = await ask(front, messages, "chat-1")
        assert text_of(reply) == str(turn)
        histories.append(reply["metadata"]["history"])
        messages.append(reply["choices"][0]["message"])
        await asyncio.gather(*(ask(front, said(f"{TITLE} add {n}"), "chat-1") for n in range(3)))
    assert histories == ["new", "went_back", "went_back"]
    messages += said("context")
    [_, seen] = json.loads(text_of(await ask(front, messages, "chat-1")))
    assert not [text for text in seen if "### Task" in (text or "")]


async def test_what_a_front_end_asks_on_the_side_is_a_session_of_its_own_without_the_header(whole: Sandbox) -> None:
    messages: list[Any] = []
    sessions = set()
    for turn in (1, 2, 3):
        messages += said("add")
        reply = (await whole.post({"messages": messages}, x_tool_trace="metadata")).json()
        title = await ask(whole, said(TITLE))
        assert (text_of(reply), title["metadata"]["history"]) == (str(turn), "new")
        messages.append(reply["choices"][0]["message"])
        sessions.add(reply["session_id"])
        assert title["session_id"] not in sessions
    [session] = sessions
    assert await count(whole, session) == 3
