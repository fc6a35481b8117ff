"""Keys, scopes, hosts, limits, ids, the log, draining (SEC-01, 02, 04, 06, 07; GRPC-04)."""

import asyncio
import io
import json
from dataclasses import replace
from typing import Any

import httpx2
import pytest
from edge_running import KEYS, in_process, options, until
from fake_core import FakeCore
from fastapi.routing import APIRoute
from test_edge_errors import check_shape

from greenroom.edge import HttpOptions, LogOptions, create_app
from greenroom.edge.access import BY_BODY, PUBLIC, SCOPES, is_loopback
from greenroom.edge.rate_limit import LocalRateLimiter
from greenroom.v1 import agent_pb2, turn_pb2

PATH = "/v1/chat/completions"
TURN = {"messages": [{"role": "user", "content": "hello"}]}


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def test_every_route_has_its_scope() -> None:
    app = create_app(options("unix:/nowhere"), None)
    routes = {(method, route.path) for route in app.routes if isinstance(route, APIRoute) for method in route.methods}
    assert {pair for pair in routes if pair[1] not in PUBLIC} == set(SCOPES)


@pytest.mark.parametrize(("method", "path"), [route for route, scope in SCOPES.items() if scope != BY_BODY])
async def test_each_route_takes_its_scope_and_no_other(keyed: httpx2.AsyncClient, method: str, path: str) -> None:
    right, wrong = ("sk-chat", "sk-inspect") if SCOPES[method, path] == "chat" else ("sk-inspect", "sk-chat")
    where = path.replace("{", "").replace("}", "")
    refused = await keyed.request(method, where, headers=bearer(wrong))
    assert refused.status_code == 403
    assert check_shape(refused)["type"] == "permission_error"
    assert (await keyed.request(method, where, headers=bearer(right))).status_code not in {401, 403}


@pytest.mark.parametrize(
    ("body", "right", "wrong"),
    [
        ({}, "sk-chat", "sk-inspect"),
        ({"from": None}, "sk-chat", "sk-inspect"),
        ({"from": {"session_id": "s1"}}, "sk-inspect", "sk-chat"),
        ({"from": {}}, None, "sk-chat"),
    ],
)
async def test_a_session_is_opened_with_one_scope_and_forked_with_the_other(
    keyed: httpx2.AsyncClient, core: FakeCore, body: dict[str, Any], right: str | None, wrong: str
) -> None:
    core.open_session("s1")
    refused = await keyed.post("/v1/sessions", json=body, headers=bearer(wrong))
    assert refused.status_code == 403
    lacking = "inspect" if wrong == "sk-chat" else "chat"
    assert check_shape(refused)["message"] == f"This key lacks the scope `{lacking}`"
    assert core.opened == []
    for key in filter(None, (right, "sk-all")):
        answer = await keyed.post("/v1/sessions", json=body, headers=bearer(key))
        assert answer.status_code == (400 if right is None else 201 if key == right else 200)


async def test_a_key_with_neither_scope_opens_nothing(core: FakeCore) -> None:
    keys = {"sk-edge": replace(KEYS["sk-chat"], scopes=frozenset({"edge"}))}
    async with in_process(options(core.target), keys.get) as client:
        refused = await client.post("/v1/sessions", json={}, headers=bearer("sk-edge"))
    assert refused.status_code == 403
    assert check_shape(refused)["message"] == "This key lacks the scope `chat or inspect`"


@pytest.mark.parametrize("path", sorted(PUBLIC))
async def test_some_routes_need_no_key(keyed: httpx2.AsyncClient, path: str) -> None:
    assert (await keyed.get(path)).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [{}, bearer("sk-wrong"), bearer(""), {"authorization": "Basic sk-all"}, {"x-api-key": ""}, {"authorization": "x"}],
)
async def test_without_a_valid_key_it_is_401(keyed: httpx2.AsyncClient, headers: dict[str, str]) -> None:
    response = await keyed.post(PATH, json=TURN, headers=headers)
    assert response.status_code == 401
    assert check_shape(response)["type"] == "authentication_error"


@pytest.mark.parametrize("headers", [bearer("sk-all"), {"authorization": "bearer  sk-all"}, {"x-api-key": "sk-all"}])
async def test_a_key_comes_in_either_header(keyed: httpx2.AsyncClient, headers: dict[str, str]) -> None:
    assert (await keyed.post(PATH, json=TURN, headers=headers)).status_code == 200


async def test_a_wrong_method_is_405_whatever_the_scope(keyed: httpx2.AsyncClient) -> None:
    assert (await keyed.get(PATH, headers=bearer("sk-chat"))).status_code == 405


async def test_the_core_is_told_who_calls(keyed: httpx2.AsyncClient, core: FakeCore) -> None:
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    headers = {**bearer("sk-trace"), "x-request-id": "my-request", "traceparent": trace}
    answer = await keyed.post(PATH, json=TURN, headers=headers)
    assert answer.headers["traceparent"] == trace
    turn = core.turns[-1]
    assert (turn.caller.namespace, turn.caller.key_name) == ("team-a", "tracer")
    assert (turn.request_id, turn.traceparent) == ("my-request", trace)
    assert turn.attempt_id
    assert "my-request" not in turn.attempt_id
    await keyed.get("/users/u1", headers=headers)
    told = core.metadata[-1]
    assert (told["greenroom-namespace"], told["greenroom-key"]) == ("team-a", "tracer")
    assert (told["x-request-id"], told["traceparent"]) == ("my-request", trace)
    answer = await keyed.post(PATH, json=TURN, headers={**headers, "traceparent": "garbage"})
    assert core.turns[-1].traceparent == ""
    assert "traceparent" not in answer.headers


async def test_the_edge_presents_its_own_key_to_the_core(core: FakeCore) -> None:
    given = options(core.target)
    given = options(core.target, core=type(given.core)(target=core.target, key="edge-key"))
    async with in_process(given) as client:
        await client.post(PATH, json=TURN)
        await client.get("/users/u1")
        assert [told["authorization"] for told in core.metadata if "authorization" in told][:2] == [
            "Bearer edge-key",
            "Bearer edge-key",
        ]


@pytest.mark.parametrize(
    ("host", "ours"),
    [
        (b"localhost", True),
        (b"LOCALHOST:8000", True),
        (b"127.0.0.1:8000", True),
        (b"127.1.2.3", True),
        (b"[::1]:8000", True),
        (b"[::1]", True),
        (b"example.com", False),
        (b"localhost.example.com", False),
        (b"10.0.0.1:80", False),
        (b"", False),
        (b"[::2]", False),
    ],
)
def test_a_loopback_host_is_told_from_a_tunnel(host: bytes, ours: bool) -> None:
    assert is_loopback(host) is ours


async def test_without_keys_a_tunnel_is_refused(core: FakeCore) -> None:
    given = options(core.target, http=HttpOptions(rate_limit=None, loopback_only=True))
    async with in_process(given) as client:
        assert (await client.post(PATH, json=TURN)).status_code == 200
        response = await client.post(PATH, json=TURN, headers={"host": "abc.tunnel.example"})
        assert response.status_code == 401
        assert "greenroom keys create" in check_shape(response)["message"]
        assert (await client.get("/livez", headers={"host": "abc.tunnel.example"})).status_code == 200


async def test_the_bucket_refills_steadily() -> None:
    now = 100.0
    limiter = LocalRateLimiter(4, lambda: now)
    assert [(await limiter.take("a")).remaining for _ in range(4)] == [3, 2, 1, 0]
    refused = await limiter.take("a")
    assert refused.retry_after == pytest.approx(0.25)
    assert (await limiter.take("b")).retry_after is None
    now += 0.25
    assert (await limiter.take("a")).retry_after is None
    assert (await limiter.take("a")).retry_after is not None
    now += 100
    whole = await limiter.take("a")
    assert (whole.limit, whole.remaining, whole.retry_after) == (4, 3, None)
    assert whole.reset == pytest.approx(0.25)


async def test_a_limiter_forgets_keys_that_are_idle() -> None:
    now = 0.0
    limiter = LocalRateLimiter(1, lambda: now)
    limiter.MAX_KEYS = 3  # type: ignore[misc]
    for key in "abcdef":
        assert (await limiter.take(key)).retry_after is None
    assert len(limiter._full_at) <= 3


async def test_past_the_limit_it_is_429_but_never_for_health(core: FakeCore) -> None:
    given = options(core.target, http=HttpOptions(rate_limit=2))
    async with in_process(given, KEYS.get) as client:
        answers = [await client.post(PATH, json=TURN, headers=bearer("sk-all")) for _ in range(5)]
        assert answers[0].headers["x-ratelimit-limit-requests"] == "2"
        assert answers[0].headers["x-ratelimit-remaining-requests"] == "1"
        assert answers[0].headers["x-ratelimit-reset-requests"].endswith("ms")
        refused = [answer for answer in answers if answer.status_code == 429]
        assert refused
        assert check_shape(refused[0])["code"] == "rate_limit_exceeded"
        assert (await client.post(PATH, json=TURN, headers=bearer("sk-chat"))).status_code == 200
        for path in ("/health", "/metrics"):
            for _ in range(10):
                assert (await client.get(path, headers=bearer("sk-all"))).status_code == 200


@pytest.mark.parametrize(
    ("given", "kept"), [("abc-1", True), ("", False), ("a b", False), ("x" * 129, False), ("a\u00e9", False)]
)
async def test_a_sane_request_id_is_kept(client: httpx2.AsyncClient, given: str, kept: bool) -> None:
    for path in ("/livez", "/nowhere", PATH):
        response = await client.get(path, headers=[(b"x-request-id", given.encode())])
        shown = response.headers["x-request-id"]
        assert (shown == given) is kept
        assert shown


async def test_each_request_is_one_line(core: FakeCore) -> None:
    stream = io.BytesIO()
    given = options(core.target, log=LogOptions(stream=stream))
    async with in_process(given, KEYS.get) as client:
        await client.post(PATH, json={**TURN, "session_id": "s1", "user_id": "u1"}, headers=bearer("sk-trace"))
        await client.post(PATH + "?key=secret", content=b"{", headers=bearer("sk-all"))
        await until(lambda: stream.getvalue().count(b"\n") == 2, 2)
    first, second = (json.loads(line) for line in stream.getvalue().splitlines())
    expected = {
        "event": "request",
        "method": "POST",
        "path": PATH,
        "status": 200,
        "key": "tracer",
        "user_id": "u1",
        "session_id": "s1",
        "turn": 1,
        "tools": ["get_order_status"],
    }
    assert expected.items() <= first.items()
    assert first["bytes_in"] > 50
    assert first["bytes_out"] > 500
    assert first["duration_ms"] > 0
    assert first["time"].endswith("Z")
    assert first["request_id"].startswith("req_")
    assert (second["status"], second["key"]) == (400, "all")
    assert b"sk-" not in stream.getvalue()
    assert b"secret" not in stream.getvalue()
    assert b"hello" not in stream.getvalue()


async def test_bodies_are_logged_when_asked_for_and_redacted(core: FakeCore) -> None:
    stream = io.BytesIO()
    given = options(core.target, log=LogOptions(stream=stream, bodies=True, redact=("iban",)))
    async with in_process(given) as client:
        metadata: dict[str, Any] = {"IBAN": "DE00 1234", "deep": [{"password": "pw", "note": "Bearer sk-zzz"}]}
        await client.post(PATH, json={**TURN, "metadata": metadata})
    line = json.loads(stream.getvalue())
    assert line["request"]["messages"] == TURN["messages"]
    assert line["response"]["choices"][0]["message"]["role"] == "assistant"
    for secret in (b"DE00", b'"pw"', b"sk-zzz"):
        assert secret not in stream.getvalue()


async def test_a_terminal_gets_a_line_for_people(core: FakeCore) -> None:
    stream = io.BytesIO()
    async with in_process(options(core.target, log=LogOptions(stream=stream, format="console"))) as client:
        await client.post(PATH, json={**TURN, "session_id": "s1"})
        await client.get("/a%1b[31m")
    first, second = stream.getvalue().decode().splitlines()
    assert "POST /v1/chat/completions  200" in first
    assert "s1 turn 1  get_order_status" in first
    assert "\x1b" not in second


async def test_a_request_that_is_cut_off_at_the_end_still_has_its_line(core: FakeCore) -> None:
    stream, asked = io.BytesIO(), asyncio.Event()

    async def never(_: agent_pb2.RunTurnRequest) -> turn_pb2.Reply:
        asked.set()
        await asyncio.Event().wait()
        raise AssertionError

    core.script = never
    async with in_process(options(core.target, log=LogOptions(stream=stream))) as client:
        cut_off = asyncio.create_task(client.post(PATH, json=TURN))
        async with asyncio.timeout(10):
            await asked.wait()
    assert (await cut_off).status_code == 503
    assert [json.loads(line)["status"] for line in stream.getvalue().splitlines()] == [503]


async def test_a_draining_edge_refuses_turns_before_any_work(client: httpx2.AsyncClient, core: FakeCore) -> None:
    client.app.state.drain()  # type: ignore[attr-defined]
    response = await client.post(PATH, content=b"not even json")
    assert response.status_code == 503
    assert check_shape(response)["code"] == "draining"
    assert (await client.get("/health")).json()["status"] == "unhealthy"
    assert (await client.get("/readyz")).status_code == 503
    assert (await client.get("/livez")).status_code == 200
    assert core.turns == []


async def test_cors_is_a_setting(core: FakeCore) -> None:
    origin = {"origin": "https://web.example"}
    preflight = {**origin, "access-control-request-method": "POST", "access-control-request-headers": "authorization"}
    given = options(core.target, http=HttpOptions(rate_limit=None, cors_origins=("https://web.example",)))
    async with in_process(given, KEYS.get) as client:
        allowed = await client.options(PATH, headers=preflight)
        assert allowed.status_code == 200
        assert allowed.headers["access-control-allow-origin"] == "https://web.example"
        assert allowed.headers["x-request-id"]
        refused = await client.post(PATH, json=TURN, headers=origin)
        assert refused.status_code == 401
        assert refused.headers["access-control-allow-origin"] == "https://web.example"
    async with in_process(options(core.target)) as client:
        assert "access-control-allow-origin" not in (await client.post(PATH, json=TURN, headers=origin)).headers
