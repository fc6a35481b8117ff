"""Requests that are sent again, conversations without a session id, forks: as a client of HTTP meets them."""

import asyncio
import json
from typing import Any

import openai
from whole_sandbox import CHAT, Sandbox, body_of, text_of, until

REPLAYED = "idempotency-replayed"


async def count(whole: Sandbox, session: str = "s1") -> int:
    return int((await whole.read(f"/v1/sessions/{session}/world"))["world"]["counters"]["n"])


async def send_and_leave(whole: Sandbox, body: Any) -> None:
    """Asks, and hangs up while the agent works."""
    host, port = whole.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    content = json.dumps(body).encode()
    head = f"POST {CHAT} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\ncontent-length: {len(content)}\r\n\r\n"
    inside = whole.puppet.inside
    writer.write(head.encode() + content)
    await until(lambda: whole.puppet.inside == inside + 1)
    writer.close()
    await writer.wait_closed()
    assert await reader.read() == b""


async def test_the_same_request_in_flight_is_answered_with_one_turn(whole: Sandbox) -> None:
    body = body_of("add wait", session_id="s1")
    calls = [asyncio.ensure_future(whole.post(body)) for _ in range(5)]
    await until(lambda: whole.server._runner is not None and whole.server._runner._running == 5)
    whole.puppet.gate.set()
    answers = await asyncio.gather(*calls)
    assert {answer.content for answer in answers} == {answers[0].content}
    assert sorted(answer.headers.get(REPLAYED, "") for answer in answers) == ["", *["true"] * 4]
    assert await count(whole) == 1


async def test_a_client_that_hung_up_gets_the_reply_when_it_asks_again(whole: Sandbox) -> None:
    body = body_of("add wait", session_id="s1")
    await send_and_leave(whole, body)
    whole.puppet.gate.set()

    async def kept() -> bool:
        session = await whole.core.store.load_session("", "s1")
        return session is not None and await whole.core.store.is_undelivered(session, 1)

    await until(kept)
    again = await whole.post(body)
    assert (again.headers[REPLAYED], again.json()["metadata"]["turn"], await count(whole)) == ("true", 1, 1)
    anew = await whole.post(body)
    assert (REPLAYED in anew.headers, anew.json()["metadata"]["turn"], await count(whole)) == (False, 2, 2)


async def test_a_retry_gets_what_was_committed_and_runs_what_was_not(whole: Sandbox) -> None:
    first = await whole.post(body_of("add", session_id="s1"), x_stainless_retry_count="0")
    again = await whole.post(body_of("add", session_id="s1"), x_stainless_retry_count="1")
    assert (again.content, again.headers[REPLAYED]) == (first.content, "true")
    failed = await whole.post(body_of("add fail", session_id="s1"), x_stainless_retry_count="0")
    assert failed.status_code == 500
    assert (await whole.post(body_of("add fail", session_id="s1"), x_stainless_retry_count="1")).status_code == 500
    more = await whole.post(body_of("add", session_id="s1"))
    assert (more.json()["metadata"]["turn"], await count(whole)) == (2, 2)


async def test_the_official_client_keeps_its_conversation_without_a_session_id(whole: Sandbox) -> None:
    async with openai.AsyncOpenAI(base_url=f"{whole.url}/v1", api_key="none", max_retries=0) as client:
        history: list[Any] = []
        sessions = set()
        for turn in (1, 2, 3):
            history.append({"role": "user", "content": "add"})
            reply = await client.chat.completions.create(model="any", messages=history)
            assert reply.choices[0].message.content == str(turn)
            history.append({"role": "assistant", "content": reply.choices[0].message.content})
            sessions.add(reply.model_extra["session_id"] if reply.model_extra else "")
        [session] = sessions
        edited = [*history[:2], {"role": "user", "content": "add add"}]
        other = await client.chat.completions.create(model="any", messages=edited)
        assert other.choices[0].message.content == "2 3"
        forked = (other.model_extra or {})["session_id"]
    assert forked != session
    assert (await count(whole, session), await count(whole, forked)) == (3, 3)
    shown = await whole.read(f"/v1/sessions/{forked}")
    assert shown["from"] == {"session_id": session, "turn": 1}


async def test_a_fork_over_http_has_the_world_of_its_turn(whole: Sandbox) -> None:
    for _ in range(3):
        await whole.chat("add", session_id="s1", user_id="ann")
    opened = await whole.http.post("/v1/sessions", json={"session_id": "s2", "from": {"session_id": "s1", "turn": 2}})
    assert opened.status_code == 201
    assert {key: opened.json()[key] for key in ("session_id", "sessionId", "user_id", "turn_count", "from")} == {
        "session_id": "s2",
        "sessionId": "s2",
        "user_id": "ann",
        "turn_count": 2,
        "from": {"session_id": "s1", "turn": 2},
    }
    ours, theirs = await whole.read("/v1/sessions/s1/world", turn=2), await whole.read("/v1/sessions/s2/world")
    assert (ours["sha256"], ours["world"], ours["changes"]) == (theirs["sha256"], theirs["world"], theirs["changes"])
    assert text_of(await whole.chat("add", session_id="s2")) == "3"
    assert (
        await whole.http.post("/v1/sessions", json={"session_id": "s2", "from": {"session_id": "s1"}})
    ).status_code == 200
    missing = await whole.http.post("/v1/sessions", json={"from": {"session_id": "s1", "turn": 9}})
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "turn_not_found")


async def test_how_a_turn_came_about_is_read_back(whole: Sandbox) -> None:
    one = await whole.chat("add", session_id="s1", temperature=0.5, metadata={"run": 1})
    await whole.chat("add", "reworded", "add", session_id="s1")
    first, second = (await whole.read("/v1/sessions/s1/turns"))["turns"]
    assert (first["placed"], second["placed"], first["options"]) == ("first", "path", {"temperature": 0.5})
    assert first["saw"] == {"system": [], "user": {}}
    assert first["scenario"] == {"id": "default", "requested": None, "found": True}
    assert (first["retry_count"], first["waited_ms"] >= 0, first["agent_ms"] > 0) == (0, True, True)
    alone = await whole.read("/v1/sessions/s1/turns/2")
    messages = alone.pop("saw")["messages"]
    assert [(message["role"], message["content"]) for message in messages] == [
        ("user", "add"),
        ("assistant", None),
        ("tool", '{"n":1}'),
        ("assistant", "reworded"),
        ("user", "add"),
    ]
    assert alone == {name: value for name, value in second.items() if name != "saw"}
    assert one["metadata"]["turn"] == 1
