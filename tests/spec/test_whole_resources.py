"""Users, sessions, health and errors end to end: HTTP in, SQLite, HTTP out."""

import asyncio
import hashlib
import json
import re
import sqlite3
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from whole_sandbox import CHAT, Sandbox, body_of, published, sandbox, text_of, until

from greenroom.core.limits import Limits
from greenroom.v1 import user_pb2

RFC_3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


async def test_the_published_user_is_made_as_published(whole: Sandbox) -> None:
    request, expected = published("users.request"), published("users.response")
    made = (await whole.http.post("/users", json=request)).json()
    assert {**made, "created_at": expected["created_at"]} == expected
    assert RFC_3339.fullmatch(made["created_at"])
    read = await whole.read(f"/users/{request['user_id']}")
    assert read == {**made, "metadata": request["metadata"], "profile": {}}
    reply = await whole.chat("tell", user_id=request["user_id"], metadata={"persona": "laid over"})
    seen = json.loads(text_of(reply))[2]
    assert seen == {**request["metadata"], "persona": "laid over"}
    assert reply["metadata"]["scenario"] == {
        "id": "default",
        "requested": request["metadata"]["scenario_id"],
        "found": False,
    }


async def test_the_same_user_again_is_prepared_anew(whole: Sandbox) -> None:
    first = (await whole.http.post("/users", json={"user_id": "u", "metadata": {"a": 1}, "profile": {"b": 1}})).json()
    again = await whole.http.post("/users", json={"user_id": "u", "profile": {"b": 2}})
    assert (again.status_code, again.json()["created_at"]) == (200, first["created_at"])
    read = await whole.read("/users/u")
    assert (read["metadata"], read["profile"]) == ({}, {"b": 2})
    over_grpc = (await whole.users.GetUser(user_pb2.GetUserRequest(user_id="u"))).user
    assert json.loads(over_grpc.profile_json) == {"b": 2}


async def test_where_users_conflict_another_body_is_409(tmp_path: Path) -> None:
    async with sandbox(tmp_path, replace_existing_users=False) as whole:
        assert (await whole.http.post("/users", json={"user_id": "u"})).status_code == 200
        assert (await whole.http.post("/users", json={"user_id": "u"})).status_code == 200
        conflict = await whole.http.post("/users", json={"user_id": "u", "metadata": {"a": 1}})
        assert (conflict.status_code, conflict.json()["error"]["code"]) == (409, "user_already_exists")


async def test_a_deleted_user_is_gone_with_all_sessions(whole: Sandbox) -> None:
    await whole.chat("add", session_id="s", user_id="ü@x y")
    path = "/users/%C3%BC%40x%20y"
    assert (await whole.read(path))["user_id"] == "ü@x y"
    assert (await whole.http.delete(path)).status_code == 204
    for gone in (path, "/v1/sessions/s", "/v1/sessions/s/turns", "/v1/sessions/s/world"):
        response = await whole.http.get(gone)
        assert (response.status_code, response.json()["error"]["type"]) == (404, "not_found_error")
    assert (await whole.http.delete(path)).status_code == 404


async def test_sessions_are_listed_read_closed_and_deleted(whole: Sandbox) -> None:
    for n in range(3):
        await whole.chat("add", session_id=f"s{n}", user_id="even" if n % 2 == 0 else "odd")
    first = await whole.read("/v1/sessions", page_size=2)
    rest = await whole.read("/v1/sessions", page_size=2, page_token=first["next_page_token"])
    assert [one["session_id"] for page in (first, rest) for one in page["sessions"]] == ["s2", "s1", "s0"]
    evens = await whole.read("/v1/sessions", user_id="even")
    assert [one["session_id"] for one in evens["sessions"]] == ["s2", "s0"]
    one = await whole.read("/v1/sessions/s1")
    by_chat = await whole.read(f"/v1/chats/{one['chat_id']}")
    assert by_chat.items() >= one.items()
    assert by_chat["turns"] == (await whole.read("/v1/sessions/s1/turns"))["turns"]
    assert (await whole.http.post("/v1/sessions/s1/close")).status_code == 200
    closed = await whole.post(body_of("add", session_id="s1"))
    assert (closed.status_code, closed.json()["error"]["code"]) == (409, "session_closed")
    assert (await whole.http.delete("/v1/sessions/s1")).status_code == 204
    assert (await whole.http.get("/v1/sessions/s1")).status_code == 404
    assert text_of(await whole.chat("add", session_id="s1")) == "1"


async def test_a_session_can_be_opened_ahead_of_its_first_turn(whole: Sandbox) -> None:
    opened = await whole.http.post("/v1/sessions", json={"user_id": "ann"})
    assert opened.status_code == 201
    sid = opened.json()["session_id"]
    assert opened.json()["sessionId"] == sid
    again = await whole.http.post("/v1/sessions", json={"session_id": sid, "user_id": "ann"})
    assert again.status_code == 200
    assert (await whole.http.post("/v1/sessions", json={"session_id": sid, "user_id": "bob"})).status_code == 409
    assert json.loads(text_of(await whole.chat("tell", session_id=sid)))[0] == "ann"


async def test_a_session_deleted_in_mid_turn_ends_it_with_409(whole: Sandbox) -> None:
    turn = asyncio.ensure_future(whole.post(body_of("add wait", session_id="s")))
    await until(lambda: whole.puppet.inside == 1)
    assert (await whole.http.delete("/v1/sessions/s")).status_code == 204
    response = await turn
    assert (response.status_code, response.json()["error"]["code"]) == (409, "session_deleted")
    assert response.headers["x-should-retry"] == "false"
    assert (await whole.http.get("/v1/sessions/s")).status_code == 404


async def test_a_world_is_read_after_any_turn_with_its_hash_and_changes(whole: Sandbox) -> None:
    for _ in range(3):
        await whole.chat("add", session_id="s")
    for number in range(4):
        view = await whole.read("/v1/sessions/s/world", turn=number)
        text = json.dumps({"counters": {"n": number}}, separators=(",", ":"))
        assert view["world"] == json.loads(text)
        assert view["sha256"] == hashlib.sha256(text.encode()).hexdigest()
        assert (view["session_id"], view["turn"]) == ("s", number)
    newest = await whole.read("/v1/sessions/s/world")
    assert newest["changes"] == [{"collection": "counters", "key": "n", "before": 0, "after": 3}]
    since = await whole.http.get("/v1/sessions/s/world", params={"turn": 3, "from": 2})
    assert since.json()["changes"] == [{"collection": "counters", "key": "n", "before": 2, "after": 3}]
    assert (await whole.http.get("/v1/sessions/s/world", params={"turn": 4})).status_code == 404


async def test_turns_are_read_back_with_all_their_evidence(whole: Sandbox) -> None:
    reply = await whole.chat("add", session_id="s", user_id="u")
    [turn] = (await whole.read("/v1/sessions/s/turns"))["turns"]
    assert [message["content"] for message in turn["messages"]] == ["add"]
    assert turn["evaluation_metadata"] == reply["evaluation_metadata"]
    assert (turn["turn"], turn["parent"], turn["superseded"]) == (1, 0, False)
    [call] = turn["tool_calls"]
    assert call["function"] == {"name": "add", "arguments": "{}", "result": {"n": 1}}
    assert call["ok"]
    assert call["changes"] == [{"collection": "counters", "key": "n", "before": 0, "after": 1}]


async def test_a_sound_sandbox_is_healthy_as_published(whole: Sandbox) -> None:
    async def healthy() -> Any:
        return (await whole.http.get("/health")).json()

    health: dict[str, Any] = {}

    async def is_healthy() -> bool:
        health.update(await healthy())
        return bool(health["status"] == "healthy")

    await until(is_healthy)  # a busy machine may find something slow at first
    assert set(health) >= set(published("health.response"))
    assert health["version"] == "1.2.3"
    assert RFC_3339.fullmatch(health["timestamp"])
    datetime.fromisoformat(health["timestamp"])
    assert isinstance(health["uptime"], int)
    assert set(health["dependencies"].values()) == {"healthy"}
    assert set(health["metrics"]) == {"response_time_avg", "error_rate", "memory_usage", "cpu_usage"}
    for path in ("/livez", "/readyz"):
        assert (await whole.http.get(path)).status_code == 200


async def until_health_is(status: int, whole: Sandbox) -> None:
    async with asyncio.timeout(20):
        while True:
            if (await whole.http.get("/health")).status_code == status:
                return
            await asyncio.sleep(0.01)


async def test_a_core_that_drains_is_unhealthy_and_refuses_turns(whole: Sandbox) -> None:
    await until_health_is(200, whole)
    assert await whole.server.drain(5)
    response = await whole.post(body_of("add"))
    assert (response.status_code, response.json()["error"]["type"]) == (503, "overloaded_error")
    assert 1 <= int(response.headers["retry-after"]) <= 60
    assert int(response.headers["retry-after-ms"]) >= 1
    await until_health_is(503, whole)
    assert (await whole.http.get("/health")).json()["status"] == "unhealthy"


async def test_a_database_that_cannot_be_written_is_503_and_comes_back(whole: Sandbox, tmp_path: Path) -> None:
    await whole.chat("add", session_id="s")
    lock = sqlite3.connect(tmp_path / "sandbox.db", isolation_level=None)
    try:
        lock.execute("BEGIN IMMEDIATE")
        response = await whole.post(body_of("add", session_id="s"))
        assert (response.status_code, response.json()["error"]["type"]) == (503, "overloaded_error")
    finally:
        lock.close()
    assert text_of(await whole.chat("add", session_id="s")) == "2"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"messages": []},
        {"messages": "hi"},
        {"messages": [{"role": "user"}]},
        {"messages": [{"role": "king", "content": "x"}]},
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
        {"messages": [{"role": "assistant", "content": "x"}]},
        body_of("x", session_id="a/b"),
        body_of("x", user_id="a" * 129),
        body_of("x", metadata=[]),
        body_of("x", metadata={"a": "x" * 65536}),
        body_of(*["x"] * 1001),
    ],
)
async def test_what_is_wrong_is_400_in_the_published_shape(whole: Sandbox, body: Any) -> None:
    response = await whole.post(body)
    error, expected = response.json()["error"], published("error-400.response")["error"]
    assert response.status_code == 400
    assert (error["type"], error["code"]) in {
        (expected["type"], expected["code"]),
        (expected["type"], "limit_exceeded"),
    }
    assert error["message"]
    assert response.headers["x-should-retry"] == "false"


@pytest.mark.parametrize("raw", [b"{", b"[" * 200 + b"]" * 200, b"\xff", b'{"messages": NaN}', b'"\\ud800"'])
async def test_what_is_no_json_is_400_and_never_500(whole: Sandbox, raw: bytes) -> None:
    response = await whole.http.post(CHAT, content=raw, headers={"content-type": "application/json"})
    assert (response.status_code, response.json()["error"]["code"]) == (400, "bad_request")


async def test_what_does_not_fit_any_more_says_so(tmp_path: Path) -> None:
    limits = Limits(session_turns=1, turn_tool_calls=2, max_in_flight=1, max_queued=0)
    async with sandbox(tmp_path, limits=limits) as whole:
        calls = await whole.post(body_of("add add add"))
        assert (calls.status_code, calls.headers["x-should-retry"]) == (400, "false")
        await whole.chat("add", session_id="s")
        full = await whole.post(body_of("add", session_id="s"))
        assert (full.status_code, full.headers["x-should-retry"]) == (409, "false")
        held = asyncio.ensure_future(whole.chat("wait"))
        await until(lambda: whole.puppet.inside == 1)
        crowded = await whole.post(body_of("add"))
        assert (crowded.status_code, crowded.json()["error"]["type"]) == (503, "overloaded_error")
        whole.puppet.gate.set()
        await held
