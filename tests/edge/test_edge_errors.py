"""One shape for whatever goes wrong, over a real wire (ERR-01..05)."""

import asyncio

import grpc
import httpx2
import pytest
from edge_running import KEYS, in_process, options, published, served
from fake_core import FakeCore, failure

from greenroom.edge import HttpOptions
from greenroom.edge.errors import TABLE

PATH = "/v1/chat/completions"
TURN = {"messages": [{"role": "user", "content": "hello"}]}
SERVER_ERRORS = {"UNKNOWN", "UNIMPLEMENTED", "INTERNAL", "DATA_LOSS"}
ROWS = {
    "CANCELLED": (503, "overloaded_error"),
    "UNKNOWN": (500, "internal_error"),
    "INVALID_ARGUMENT": (400, "invalid_request_error"),
    "DEADLINE_EXCEEDED": (504, "timeout_error"),
    "NOT_FOUND": (404, "not_found_error"),
    "ALREADY_EXISTS": (409, "conflict_error"),
    "PERMISSION_DENIED": (403, "permission_error"),
    "RESOURCE_EXHAUSTED": (429, "rate_limit_error"),
    "FAILED_PRECONDITION": (409, "conflict_error"),
    "ABORTED": (409, "conflict_error"),
    "OUT_OF_RANGE": (400, "invalid_request_error"),
    "UNIMPLEMENTED": (500, "internal_error"),
    "INTERNAL": (500, "internal_error"),
    "UNAVAILABLE": (503, "overloaded_error"),
    "DATA_LOSS": (500, "internal_error"),
    "UNAUTHENTICATED": (401, "authentication_error"),
}


def check_shape(response: httpx2.Response) -> dict[str, str]:
    """ERR-01 on any response; returns the error."""
    assert response.headers["content-type"] == "application/json"
    body = response.json()
    assert set(body) == {"error"}
    error: dict[str, str] = body["error"]
    assert {"message", "type", "code", "request_id"} <= set(error) <= {"message", "type", "code", "param", "request_id"}
    assert all(isinstance(value, str) and value for value in error.values())
    assert error["request_id"] == response.headers["x-request-id"]
    worth_a_retry = response.status_code in {429, 500, 503}
    assert response.headers.get("x-should-retry") == (None if worth_a_retry else "false")
    if response.status_code in {429, 503}:
        assert 1 <= int(response.headers["retry-after"]) <= 60
        assert 1 <= int(response.headers["retry-after-ms"]) <= 60_000
    if response.status_code == 401:
        assert response.headers["www-authenticate"] == "Bearer"
    return error


def test_the_table_has_every_code_there_is() -> None:
    assert set(TABLE) == set(grpc.StatusCode) - {grpc.StatusCode.OK}
    assert {code.name: (row.status, row.type) for code, row in TABLE.items()} == ROWS


@pytest.mark.parametrize("code", [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK])
@pytest.mark.parametrize("way", ["turn", "streamed turn", "unary call"])
async def test_every_code_of_the_core_is_told_as_the_table_says(
    core: FakeCore, code: grpc.StatusCode, way: str
) -> None:
    status = failure(code, "SOME_REASON", "told by the core", field="metadata.x", retry=2.5)

    async def fail(_: object) -> object:
        return status

    core.script, core.refusal = fail, status  # type: ignore[assignment]
    async with served(options(core.target)) as url, httpx2.AsyncClient(base_url=url, timeout=20) as client:
        if way == "unary call":
            response = await client.get("/users/u1")
        else:
            response = await client.post(PATH, json={**TURN, "stream": way == "streamed turn"})
    error = check_shape(response)
    assert (response.status_code, error["type"]) == ROWS[code.name]
    if code.name in SERVER_ERRORS:
        assert error == {**published("error-500.response")["error"], "request_id": error["request_id"]}
    else:
        assert (error["message"], error["code"], error["param"]) == ("told by the core", "some_reason", "metadata.x")
    if response.status_code in {429, 503}:
        assert (response.headers["retry-after"], response.headers["retry-after-ms"]) == ("3", "2500")


@pytest.mark.parametrize(
    ("code", "reason", "status", "expected"),
    [
        (grpc.StatusCode.INVALID_ARGUMENT, "BAD_REQUEST", 400, "bad_request"),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "SESSION_BUSY", 429, "session_busy"),
        (grpc.StatusCode.ABORTED, "SESSION_DELETED", 409, "session_deleted"),
        (grpc.StatusCode.FAILED_PRECONDITION, "USER_MISMATCH", 409, "user_mismatch"),
        (grpc.StatusCode.ALREADY_EXISTS, "USER_ALREADY_EXISTS", 409, "user_already_exists"),
        (grpc.StatusCode.DEADLINE_EXCEEDED, "TURN_TIMEOUT", 504, "turn_timeout"),
        (grpc.StatusCode.UNAVAILABLE, "DRAINING", 503, "draining"),
    ],
)
async def test_the_reason_becomes_the_code(
    client: httpx2.AsyncClient, core: FakeCore, code: grpc.StatusCode, reason: str, status: int, expected: str
) -> None:
    async def fail(_: object) -> object:
        return failure(code, reason)

    core.script = fail  # type: ignore[assignment]
    response = await client.post(PATH, json=TURN)
    assert response.status_code == status
    assert check_shape(response)["code"] == expected


async def test_a_text_that_is_not_the_cores_own_is_not_shown(client: httpx2.AsyncClient, core: FakeCore) -> None:
    async def fail(_: object) -> object:
        return failure(grpc.StatusCode.UNAVAILABLE, "WHATEVER", "ipv4:10.0.0.7 refused", domain="elsewhere.example")

    core.script = fail  # type: ignore[assignment]
    error = check_shape(await client.post(PATH, json=TURN))
    assert error["code"] == "overloaded"
    assert "10.0.0.7" not in error["message"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nowhere", 404),
        ("POST", "/v1/chat/completions/", 404),
        ("GET", PATH, 405),
        ("HEAD", PATH, 405),
        ("OPTIONS", PATH, 405),
        ("DELETE", PATH, 405),
        ("PATCH", "/users", 405),
        ("HEAD", "/nowhere", 404),
        ("OPTIONS", "/nowhere", 404),
        ("PUT", "/health", 405),
        ("GET", "/users/a%2Fb", 404),
        ("GET", "/users/a%00b", 400),
        ("GET", "/v1/sessions/a%25b", 400),
        ("GET", "/v1/sessions?page_size=0", 400),
        ("GET", "/v1/sessions?page_size=ten", 400),
        ("GET", "/v1/sessions?page_token=%00", 400),
        ("GET", "/v1/sessions/s/world?turn=-1", 400),
        ("GET", "/v1/sessions/s/world?turn=99999999999999999999", 400),
        ("GET", "/v1/sessions/unknown", 404),
        ("GET", "/v1/sessions/unknown/turns", 404),
        ("GET", "/v1/sessions/unknown/world", 404),
        ("GET", "/v1/chats/unknown", 404),
        ("DELETE", "/v1/sessions/unknown", 404),
        ("POST", "/v1/sessions/unknown/close", 404),
        ("GET", "/users/unknown", 404),
        ("DELETE", "/users/unknown", 404),
    ],
)
async def test_every_path_and_method_fails_in_the_one_shape(
    core: FakeCore, method: str, path: str, status: int
) -> None:
    async with served(options(core.target)) as url, httpx2.AsyncClient(base_url=url, timeout=20) as client:
        response = await client.request(method, path)
    assert response.status_code == status
    if method != "HEAD":
        check_shape(response)
    if status == 405 and path == "/users":
        assert response.headers["allow"] == "POST"
    if status == 400 and "?" in path:
        assert response.json()["error"]["param"] in path


async def test_a_wrong_method_names_all_right_ones(client: httpx2.AsyncClient) -> None:
    assert (await client.put("/v1/sessions")).headers["allow"] == "GET, POST"
    assert (await client.put("/users/u")).headers["allow"] == "DELETE, GET"


@pytest.mark.parametrize("path", [PATH, "/users", "/v1/sessions"])
async def test_a_body_too_large_keeps_the_connection(core: FakeCore, path: str) -> None:
    given = options(core.target, http=HttpOptions(rate_limit=None, max_body_bytes=1000))
    async with served(given) as url, httpx2.AsyncClient(base_url=url, timeout=20) as client:
        response = await client.post(path, content=b" " * 9000, headers={"content-type": "application/json"})
        assert response.status_code == 413
        check_shape(response)
        assert response.headers.get("connection") != "close"
        stream = response.extensions["network_stream"]
        again = await client.get("/livez")
        assert again.extensions["network_stream"] is stream


async def test_a_body_without_end_is_not_read_to_its_end(core: FakeCore) -> None:
    given = options(core.target, http=HttpOptions(rate_limit=None, max_body_bytes=1000))
    async with served(given) as url, asyncio.timeout(20):
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9999999\r\n\r\n")
        for _ in range(20):
            writer.write(b" " * 1000)
            await writer.drain()
        answer = await reader.read()
        writer.close()
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"connection: close" in answer


@pytest.mark.parametrize("content_type", ["text/plain", "application/xml", "application/json; charset=latin-1", "x"])
async def test_another_content_type_is_415(client: httpx2.AsyncClient, content_type: str) -> None:
    response = await client.post(PATH, content=b"{}", headers={"content-type": content_type})
    assert response.status_code == 415
    check_shape(response)


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("content-type", "application/json; charset=UTF-8")],
        [("content-type", "Application/JSON")],
        [("content-type", "application/vnd.api+json")],
    ],
)
async def test_json_may_be_called_so_in_several_ways(
    client: httpx2.AsyncClient, headers: list[tuple[str, str]]
) -> None:
    body = b'{"messages":[{"role":"user","content":"hi"}]}'
    assert (await client.post(PATH, content=body, headers=headers)).status_code == 200


async def test_two_content_types_are_400(client: httpx2.AsyncClient) -> None:
    twice = [("content-type", "application/json"), ("content-type", "text/plain")]
    for headers in (twice, [("content-type", "application/json, text/plain")]):
        response = await client.post(PATH, content=b"{}", headers=headers)
        assert response.status_code == 400
        assert check_shape(response)["param"].lower() == "content-type"


async def test_an_unexpected_failure_shows_nothing_of_itself(core: FakeCore, caplog: pytest.LogCaptureFixture) -> None:
    def authenticate(_: str) -> None:
        raise RuntimeError("the database password is swordfish")

    async with in_process(options(core.target), authenticate) as client:
        response = await client.post(PATH, json=TURN, headers={"authorization": "Bearer x"})
    error = check_shape(response)
    assert (response.status_code, error["message"]) == (500, "Internal server error")
    assert "swordfish" in caplog.text
    assert error["request_id"] in caplog.text


async def test_a_missing_key_on_every_route_is_401(core: FakeCore) -> None:
    async with in_process(options(core.target), KEYS.get) as client:
        for method, path in [("POST", PATH), ("GET", "/v1/models"), ("GET", "/metrics"), ("GET", "/nowhere")]:
            response = await client.request(method, path)
            assert response.status_code == 401
            check_shape(response)
