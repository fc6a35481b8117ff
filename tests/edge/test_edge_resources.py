"""Users, sessions, models, health, metrics (USER-*, SESSION-*, HEALTH-*)."""

import re

import grpc
import httpx2
import pytest
from edge_running import in_process, options, published, until
from fake_core import STAMP, FakeCore, failure, published_call, reply_to
from grpc_health.v1 import health_pb2
from test_edge_errors import check_shape

from greenroom.v1 import agent_pb2, session_pb2, turn_pb2

ODD = '{"z": 1.0, "a": 9007199254740993, "e": 1E2}'


async def test_a_user_is_created_read_and_deleted(client: httpx2.AsyncClient, core: FakeCore) -> None:
    created = await client.post("/users", json=published("users.request"))
    assert (created.status_code, created.json()) == (200, published("users.response"))
    body = f'{{"user_id":"sim_user_abc123","metadata":{ODD},"profile":null}}'
    await client.post("/users", content=body.encode())
    read = await client.get("/users/sim_user_abc123")
    assert read.status_code == 200
    assert f'"metadata":{ODD},"profile":{{}}' in read.text
    assert (await client.delete("/users/sim_user_abc123")).status_code == 204
    assert (await client.get("/users/sim_user_abc123")).status_code == 404
    assert (await client.delete("/users/sim_user_abc123")).status_code == 404


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"{}", "user_id"),
        (b'{"user_id":null}', "user_id"),
        (b'{"user_id":""}', "user_id"),
        (b'{"user_id":"a b"}', "user_id"),
        (b'{"user_id":"a\\u0000"}', "user_id"),
        (b'{"user_id":"' + b"x" * 65 + b'"}', "user_id"),
        (b'{"user_id":"u","metadata":5}', "metadata"),
        (b'{"user_id":"u","profile":[1]}', "profile"),
    ],
)
async def test_a_wrong_user_is_400(client: httpx2.AsyncClient, body: bytes, param: str) -> None:
    response = await client.post("/users", content=body)
    assert response.status_code == 400
    assert check_shape(response)["param"] == param


async def test_any_id_that_chat_takes_can_be_read(client: httpx2.AsyncClient) -> None:
    for encoded in ("a%20b", "%C3%A9", "a%5Cb", "a:b@c+d"):
        assert (await client.get(f"/users/{encoded}")).status_code == 404


async def test_a_session_is_opened_closed_and_deleted(client: httpx2.AsyncClient, core: FakeCore) -> None:
    opened = await client.post("/v1/sessions", json={"session_id": "s1", "metadata": None})
    assert opened.status_code == 201
    assert (opened.json()["session_id"], opened.json()["sessionId"]) == ("s1", "s1")
    assert (await client.post("/v1/sessions", json={"session_id": "s1"})).status_code == 200
    assert (await client.post("/v1/sessions", json={})).json()["session_id"] == "minted_session"
    closed = await client.post("/v1/sessions/s1/close")
    assert (closed.status_code, closed.json()["closed_at"]) == (200, "2024-01-21T10:30:00Z")
    page = (await client.get("/v1/sessions?user_id=u1&page_size=2")).json()
    assert page["next_page_token"] == "more"
    assert [one["session_id"] for one in page["sessions"]] == ["s1", "minted_session"]
    assert (await client.delete("/v1/sessions/s1")).status_code == 204
    assert (await client.get("/v1/sessions/s1")).status_code == 404


SESSION = {
    "session_id": "s1",
    "chat_id": "chat_of_s1",
    "user_id": None,
    "agent": "support",
    "created_at": "2024-01-21T10:30:00Z",
    "updated_at": "2024-01-21T10:30:00Z",
    "closed_at": None,
    "turn_count": 0,
    "head": 0,
    "transcript_mode": False,
    "metadata": {"z": 1.0, "a": 9007199254740993},
    "scenario": {"id": "default", "requested": None, "found": False},
    "from": None,
}


async def test_a_session_is_shown_whole(client: httpx2.AsyncClient) -> None:
    opened = await client.post("/v1/sessions", json={"session_id": "s1"})
    assert opened.json() == {**SESSION, "sessionId": "s1"}
    assert (await client.get("/v1/sessions/s1")).json() == SESSION
    assert (await client.get("/v1/sessions")).json() == {"sessions": [SESSION], "next_page_token": "more"}


@pytest.mark.parametrize(
    ("fork", "turn"),
    [
        ({"session_id": "s1", "turn": 2}, 2),
        ({"session_id": "s1", "turn": 0}, 0),
        ({"session_id": "s1", "turn": None}, None),
        ({"session_id": "s1", "more": "is accepted"}, None),
    ],
)
async def test_a_session_is_forked(
    client: httpx2.AsyncClient, core: FakeCore, fork: dict[str, object], turn: int | None
) -> None:
    core.open_session("s1").head = 7
    body = {"from": fork, "session_id": "s2", "user_id": "u", "metadata": {"a": 1}}
    opened = await client.post("/v1/sessions", json=body)
    assert opened.status_code == 201
    origin = session_pb2.Origin(session_id="s1", turn=turn)
    assert core.opened == [
        session_pb2.CreateSessionRequest(session_id="s2", user_id="u", metadata_json='{"a":1}', origin=origin)
    ]
    forked_from = {"session_id": "s1", "turn": 7 if turn is None else turn}
    shown = {**SESSION, "session_id": "s2", "chat_id": "chat_of_s2", "from": forked_from}
    assert opened.json() == {**shown, "sessionId": "s2"}
    assert (await client.get("/v1/sessions/s2")).json() == shown


async def test_what_is_not_there_cannot_be_forked(client: httpx2.AsyncClient) -> None:
    response = await client.post("/v1/sessions", json={"from": {"session_id": "nowhere"}})
    assert response.status_code == 404
    check_shape(response)


async def test_without_an_origin_a_session_is_opened(client: httpx2.AsyncClient, core: FakeCore) -> None:
    assert (await client.post("/v1/sessions", json={"from": None})).status_code == 201
    assert core.opened == [session_pb2.CreateSessionRequest()]


@pytest.mark.parametrize(
    ("fork", "param"),
    [
        ("s1", "from"),
        ([], "from"),
        ({}, "from.session_id"),
        ({"turn": 1}, "from.session_id"),
        ({"session_id": None}, "from.session_id"),
        ({"session_id": ""}, "from.session_id"),
        ({"session_id": 5}, "from.session_id"),
        ({"session_id": "a/b"}, "from.session_id"),
        ({"session_id": "s1", "turn": -1}, "from.turn"),
        ({"session_id": "s1", "turn": "1"}, "from.turn"),
        ({"session_id": "s1", "turn": 1.5}, "from.turn"),
        ({"session_id": "s1", "turn": True}, "from.turn"),
        ({"session_id": "s1", "turn": 2**63}, "from.turn"),
        ({"session_id": "s1", "turn": 10**30}, "from.turn"),
    ],
)
async def test_a_wrong_origin_is_400(client: httpx2.AsyncClient, core: FakeCore, fork: object, param: str) -> None:
    response = await client.post("/v1/sessions", json={"from": fork})
    assert response.status_code == 400
    assert check_shape(response)["param"] == param
    assert core.opened == []


CHANGE = {"collection": "orders", "key": "1", "before": {"total": 1.0}}
SHOWN_TURN = {
    "turn": 1,
    "parent": 0,
    "superseded": False,
    "adopted": False,
    "created_at": "2024-01-21T10:30:00Z",
    "duration_ms": 12.4,
    "waited_ms": 0.25,
    "agent_ms": 11.0,
    "retry_count": 2,
    "messages": [{"role": "user", "content": "hi"}],
    "reply": {"id": "chatcmpl-a", "role": "assistant", "content": reply_to(agent_pb2.RunTurnRequest()).text},
    "tool_calls": [
        {
            **published("chat-tools.response")["choices"][0]["message"]["tool_calls"][0],
            "scripted_by": "down: tools.get_order_status[0]",
            "ok": True,
            "started_ms": 0.1,
            "duration_ms": 0.9,
            "changes": [CHANGE],
        }
    ],
    "agent_confidence": 0.9,
    "evaluation_metadata": {"tool_called": "get_order_status", "tool_success": True},
    "reply_metadata": {},
    "history": "new",
    "placed": "no_history",
    "scenario": {"id": "down", "requested": "up", "found": True, "applied": False},
    "saw": {"system": ["Be kind.", "Rush hour."], "user": {"profile": {"name": "Ann"}, "metadata": {}}},
    "options": {"temperature": 0.2},
    "usage": {"prompt_tokens": 9, "completion_tokens": 21, "total_tokens": 30},
    "metadata": {"z": 1.0, "a": 9007199254740993, "e": 100.0},
    "state": {"step": 1},
    "changes": [CHANGE],
    "request_id": "req_1",
}
SEEN = [
    {"role": "user", "content": "earlier", "name": "Ann"},
    {"role": "assistant", "content": None, "tool_calls": [{"id": "call_0", "type": "function"}]},
    {"role": "tool", "content": "{}", "tool_call_id": "call_0"},
    {"role": "user", "content": "hi"},
]


def evidence() -> session_pb2.Turn:
    """A turn with something in every field."""
    call = published_call()
    call.scripted_by = "down: tools.get_order_status[0]"
    call.changes.add(collection="orders", key="1", before_json='{"total": 1.0}')
    scenario = turn_pb2.Scenario(id="down", requested="up", found=True, applied=False)
    reply = reply_to(agent_pb2.RunTurnRequest(attempt_id="a"), confidence=0.9, scenario=scenario)
    del reply.tool_calls[:]
    reply.tool_calls.append(call)
    return session_pb2.Turn(
        number=1,
        messages=[turn_pb2.Message(role="user", content="hi")],
        reply=reply,
        metadata_json=ODD,
        request_id="req_1",
        state_json='{"step":1}',
        changes=call.changes,
        placed="no_history",
        system=["Be kind.", "Rush hour."],
        user_json='{"profile":{"name":"Ann"},"metadata":{}}',
        options_json='{"temperature":0.2}',
        waited_us=250,
        ran_us=11_000,
        retry_count=2,
        seen=[
            turn_pb2.Message(role="user", content="earlier", name="Ann"),
            turn_pb2.Message(role="assistant", tool_calls_json='[{"id":"call_0","type":"function"}]'),
            turn_pb2.Message(role="tool", content="{}", tool_call_id="call_0"),
            turn_pb2.Message(role="user", content="hi"),
        ],
    )


async def test_a_turn_is_shown_with_all_its_evidence(client: httpx2.AsyncClient, core: FakeCore) -> None:
    core.open_session("s1", [evidence()])
    failed = {
        "failed_at": "2024-01-21T10:30:00Z",
        "reason": "agent_failed",
        "detail": "ValueError: no",
        "duration_ms": 0.0,
        "messages": [],
        "tool_calls": [],
        "request_id": "",
    }
    page = {"turns": [SHOWN_TURN], "next_page_token": "", "failed": [failed]}
    response = await client.get("/v1/sessions/s1/turns")
    assert response.json() == page
    assert f'"metadata":{ODD}' in response.text
    assert (await client.get("/v1/chats/chat_of_s1")).json() == {**SESSION, "turn_count": 1, "head": 1, **page}
    saw = {"system": ["Be kind.", "Rush hour."], "user": {"profile": {"name": "Ann"}, "metadata": {}}, "messages": SEEN}
    alone = await client.get("/v1/sessions/s1/turns/1")
    assert (alone.status_code, alone.json()) == (200, {**SHOWN_TURN, "saw": saw})


async def test_an_adopted_turn_has_nothing_of_what_did_not_happen(client: httpx2.AsyncClient, core: FakeCore) -> None:
    reply = turn_pb2.Reply(text="hello", number=1, created_at=STAMP)
    core.open_session("s1", [session_pb2.Turn(number=1, adopted=True, reply=reply)])
    shown = (await client.get("/v1/sessions/s1/turns/1")).json()
    nothing = {"placed": None, "options": {}, "waited_ms": 0.0, "agent_ms": 0.0, "retry_count": 0, "tool_calls": []}
    assert {name: shown[name] for name in nothing} == nothing
    assert shown["saw"] == {"system": [], "user": {}, "messages": []}


@pytest.mark.parametrize(("number", "status"), [("2", 404), ("0", 400), ("-1", 400), ("x", 400), (str(2**63), 400)])
async def test_a_turn_that_is_not_there(client: httpx2.AsyncClient, core: FakeCore, number: str, status: int) -> None:
    core.open_session("s1", [evidence()])
    response = await client.get(f"/v1/sessions/s1/turns/{number}")
    assert response.status_code == status
    assert check_shape(response).get("param") == ("number" if status == 400 else None)


async def test_the_world_comes_as_it_is_stored(client: httpx2.AsyncClient, core: FakeCore) -> None:
    core.open_session("s1")
    response = await client.get("/v1/sessions/s1/world?turn=0&from=0")
    assert response.status_code == 200
    assert '"turn":0,"world":{"orders":{"1":{"total":1.0,"n":"é"}}}' in response.text
    assert response.json()["sha256"] == "ab" * 32
    assert response.json()["changes"] == [{"collection": "orders", "key": "1", "after": {"total": 1.0}}]
    assert (await client.get("/v1/sessions/s1/world")).json()["turn"] == 7


async def test_the_agents_are_models(client: httpx2.AsyncClient) -> None:
    body = (await client.get("/v1/models")).json()
    assert body["object"] == "list"
    [model] = body["data"]
    assert (model["id"], model["object"], type(model["created"])) == ("support", "model", int)


async def test_a_sound_sandbox_is_healthy(client: httpx2.AsyncClient) -> None:
    async def healthy() -> bool:  # on a busy machine the first look may find it slow
        return bool((await client.get("/health")).json()["status"] == "healthy")

    await until(healthy)
    response = await client.get("/health")
    body = response.json()
    assert response.status_code == 200
    assert body["status"] == "healthy"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", body["timestamp"])
    assert (body["version"], type(body["uptime"])) == ("1.2.3", int)
    assert body["dependencies"] == {"core": "healthy", "database": "healthy", "agent": "healthy"}
    assert set(body["metrics"]) == {"response_time_avg", "error_rate", "memory_usage", "cpu_usage"}
    assert body["metrics"]["memory_usage"] > 0


@pytest.mark.parametrize(
    ("service", "name", "overall", "code"),
    [
        ("agent", "agent", "degraded", 200),
        ("database", "database", "unhealthy", 503),
        ("", "core", "unhealthy", 503),
    ],
)
async def test_what_is_down_shows(
    client: httpx2.AsyncClient, core: FakeCore, service: str, name: str, overall: str, code: int
) -> None:
    await core.health.set(service, health_pb2.HealthCheckResponse.NOT_SERVING)

    async def shown() -> bool:
        return (await client.get("/health")).json()["dependencies"][name] == "unhealthy"

    await until(shown)
    response = await client.get("/health")
    assert (response.status_code, response.json()["status"]) == (code, overall)
    assert (await client.get("/readyz")).status_code == code


async def test_a_core_that_is_gone_shows_and_its_return_too(client: httpx2.AsyncClient, core: FakeCore) -> None:
    assert (await client.get("/health")).status_code == 200
    await core.stop()

    async def status(expected: int) -> bool:
        return (await client.get("/health")).status_code == expected

    await until(lambda: status(503))
    await core.start(core.target)
    await until(lambda: status(200))


async def test_metrics_count_by_route_and_never_by_id(client: httpx2.AsyncClient, core: FakeCore) -> None:
    await client.get("/users/someone")
    await client.get("/users/someone_else")
    await client.get("/nowhere/at/all")
    await client.request("BREW", "/nowhere")
    await client.post("/v1/chat/completions", json={"messages": [{"role": "user", "content": "x"}]})
    response = await client.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain")
    text = response.text
    assert 'greenroom_http_requests_total{method="GET",route="/users/{user_id}",status="404"} 2.0' in text
    assert 'route="unmatched",status="404"' in text
    assert 'greenroom_http_requests_total{method="other",route="unmatched",status="404"} 1.0' in text
    assert 'greenroom_http_requests_total{method="POST",route="/v1/chat/completions",status="200"} 1.0' in text
    assert 'greenroom_http_request_duration_seconds_count{method="POST",route="/v1/chat/completions"} 1.0' in text
    assert "someone" not in text


async def test_the_error_rate_counts_5xx_only(core: FakeCore) -> None:
    async with in_process(options(core.target)) as client:
        await client.get("/users/unknown")
        assert (await client.get("/health")).json()["metrics"]["error_rate"] == 0
        core.refusal = failure(grpc.StatusCode.INTERNAL, "SERVER_ERROR")
        await client.get("/users/unknown")
        body = (await client.get("/health")).json()
        assert body["metrics"]["error_rate"] == 50
        assert body["metrics"]["response_time_avg"] > 0
        assert body["status"] == "healthy"
