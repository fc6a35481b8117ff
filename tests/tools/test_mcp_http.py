"""An MCP server behind a URL: the SDK's own in both eras of the protocol, and one that does wrong."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from core_running import until
from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from stub_endpoint import Asked, Endpoint, Told, endpoint, events
from tool_talk import sources, talking

from greenroom.sdk import AgentError
from greenroom.tools.mcp import McpServer
from greenroom.tools.mcp.table import read_mcp

SECRET = "s3cr3t-token"
TOOLS = [{"name": "echo", "inputSchema": {"type": "object"}}]


def failure(kind: str, message: str) -> list[str]:
    return [kind, message]


class Stub:
    """Speaks the protocol up to 2025, with sessions; `told` answers calls."""

    def __init__(self, told: Callable[[Asked], Told] | None = None) -> None:
        self.told = told or (lambda asked: self.says(asked, "hello"))
        self.sessions = 0
        self.refuses: Told | None = None
        self.notices: list[str] = []

    def says(self, asked: Asked, text: str) -> Told:
        return self.result(asked, {"content": [{"type": "text", "text": text}]})

    def result(self, asked: Asked, result: Any, **headers: str) -> Told:
        return Told({"jsonrpc": "2.0", "id": asked.body["id"], "result": result}, headers=headers)

    def __call__(self, asked: Asked) -> Told:
        if self.refuses is not None:
            return self.refuses
        match asked.body and asked.body["method"]:
            case None:
                return Told({}, 405)
            case "initialize":
                self.sessions += 1
                told = {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}}
                return self.result(
                    asked,
                    {**told, "serverInfo": {"name": "s", "version": "1"}},
                    **{"mcp-session-id": str(self.sessions)},
                )
            case "server/discover":
                return Told({}, 400)
            case method if method.startswith("notifications/"):
                self.notices.append(method)
                return Told(b"", 202)
        if asked.headers.get("mcp-session-id") != str(self.sessions):
            return Told({}, 404)
        return self.result(asked, {"tools": TOOLS}) if asked.body["method"] == "tools/list" else self.told(asked)


def at(served: Endpoint, **given: Any) -> McpServer:
    return McpServer("far", url=f"{served.url}/mcp", **given)


@asynccontextmanager
async def really(server: MCPServer, port: int = 0, **options: Any) -> AsyncIterator[int]:
    """The SDK's server, on a free port or this one."""
    listening = socket.create_server(("127.0.0.1", port))
    config = uvicorn.Config(server.streamable_http_app(**options), log_config=None, timeout_graceful_shutdown=0)
    serving = uvicorn.Server(config)
    task = asyncio.create_task(serving.serve([listening]))
    try:
        await until(lambda: serving.started)
        yield listening.getsockname()[1]
    finally:
        serving.should_exit = True
        await task
        listening.close()


def shop() -> MCPServer:
    server = MCPServer("shop")

    @server.tool()
    async def where(order: str, context: Context) -> dict[str, str]:
        """Where an order is."""
        meta = dict(context.request_context.meta or {})
        return {"order": order, "session": meta["greenroom/session-id"]}

    @server.tool()
    async def widen(context: Context) -> str:
        """One more tool."""
        server.add_tool(lambda: "here", name="more", description="More.")
        await context.session.send_tool_list_changed()
        return "wider"

    return server


async def test_the_sdks_server_is_used_as_it_speaks_today() -> None:
    async with really(shop()) as port, talking(McpServer("shop", url=f"http://127.0.0.1:{port}/mcp")) as talk:
        assert talk.problem() == ""
        assert await talk.call("where", order="7") == {"order": "7", "session": "s1"}
        assert (await talk.call("where"))[1].startswith("mcp.shop: ")


async def test_what_it_tells_of_its_list_to_who_asks_is_heard() -> None:
    async with really(shop()) as port, talking(McpServer("shop", url=f"http://127.0.0.1:{port}/mcp")) as talk:
        assert talk.names == ["where", "widen"]
        assert await talk.call("widen") == {"result": "wider"}
        await until(lambda: "more" in talk.names)
        assert await talk.call("more") == "here"


async def test_a_server_that_was_started_anew_is_asked_anew_unseen() -> None:
    stub = Stub()
    async with endpoint(stub) as served, talking(at(served)) as talk:
        assert await talk.call("echo") == "hello"
        stub.sessions = 7  # it knows nothing of the one it has given us
        assert await talk.call("echo") == "hello"
        assert stub.sessions == 8
        assert talk.problem() == ""


async def test_one_that_is_down_is_told_of_and_heals_without_a_restart() -> None:
    stub = Stub()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    async with talking(McpServer("far", url=f"http://127.0.0.1:{port}/mcp")) as talk:
        assert talk.problem().startswith("tools of mcp.far: it cannot be reached: ")
        assert talk.names == []
        server = await asyncio.start_server(Endpoint(stub)._serve, "127.0.0.1", port)
        await until(lambda: talk.problem() == "")
        assert await talk.call("echo") == "hello"
        server.close()


async def test_one_that_breaks_off_in_a_call_fails_it_and_is_reached_anew() -> None:
    stub = Stub(lambda asked: Told(pieces=(b": wait\n\n",), cut=True))
    async with endpoint(stub) as served, talking(at(served)) as talk:
        kind, message = await talk.call("echo")
        assert kind == "unavailable"
        assert message.startswith("mcp.far: SSE stream")
        stub.told = lambda asked: stub.says(asked, "hello")
        assert await talk.call("echo") == "hello"


async def test_credentials_go_out_and_never_come_back(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "greenroom")
    monkeypatch.setenv("FAR_TOKEN", SECRET)
    monkeypatch.setenv("FAR_KEY", "another-secret")
    stub = Stub()
    stub.told = lambda asked: stub.result(
        asked, {"isError": True, "content": [{"type": "text", "text": f"{asked.headers} {asked.path}"}]}
    )
    async with endpoint(stub) as served:
        server = McpServer(
            "far", url=f"{served.url}/mcp?key=in-the-query", bearer_env="FAR_TOKEN", header_env={"X-Key": "FAR_KEY"}
        )
        async with talking(server) as talk:
            _, said = await talk.call("echo")
    assert "'authorization': 'Bearer [redacted]'" in said
    assert "'x-key': '[redacted]'" in said
    assert said.endswith("/mcp?[redacted]")
    assert not any(secret in caplog.text for secret in (SECRET, "another-secret", "in-the-query"))


async def test_refused_credentials_are_told_of_and_taken_once_they_are_right() -> None:
    stub = Stub()
    stub.refuses = Told({"error": "who are you?"}, 401)
    async with endpoint(stub) as served, talking(at(served)) as talk:
        refused = "it refuses our credentials, or wants some (HTTP 401)"
        assert talk.problem() == f"tools of mcp.far: {refused}"
        stub.refuses = None
        await until(lambda: talk.problem() == "")
        stub.refuses = Told({"error": "who are you?"}, 401)
        assert await talk.call("echo") == failure("refused", f"mcp.far: {refused}")
        await until(lambda: talk.problem() == f"tools of mcp.far: {refused}")


async def test_a_missing_credential_is_named() -> None:
    async with talking(McpServer("far", url="http://127.0.0.1:1/mcp", bearer_env="FAR_TOKEN")) as talk:
        assert talk.problem() == "tools of mcp.far: the environment has no FAR_TOKEN"


FAULTS: dict[str, tuple[Told, str, str]] = {
    "an error": (Told({"oh": "no"}, 502), "refused", "mcp.far: it answers with HTTP 502"),
    "no JSON": (Told(b"<html>"), "bad_answer", "mcp.far: Failed to parse JSON response"),
    "another kind": (
        Told(b"hi", headers={"content-type": "text/html"}),
        "bad_answer",
        "mcp.far: Unexpected content type",
    ),
    "no end": (
        Told(b"x" * 17_000_000),
        "too_large",
        "mcp.far: Failed to parse JSON response: it answers with more than",
    ),
    "an endless event": (Told(pieces=(b"data: " + b"x" * 17_000_000,)), "unavailable", "mcp.far: SSE stream failed"),
    "no answer": (Told(pieces=events(done=False) or (b": hm\n\n",)), "unavailable", "mcp.far: SSE stream ended"),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_what_is_no_answer_fails_its_call_alone(fault: str) -> None:
    told, kind, message = FAULTS[fault]
    stub = Stub(lambda asked: told)
    async with endpoint(stub) as served, talking(at(served)) as talk:
        failed, said = await talk.call("echo")
        assert failed == kind
        assert said.startswith(message)
        assert len(said) < 600
        assert talk.problem() == ""
        stub.told = lambda asked: stub.says(asked, "hello")
        assert await talk.call("echo") == "hello"


async def test_an_error_that_the_server_tells_is_its_own_whatever_its_code() -> None:
    stub = Stub(
        lambda asked: Told({"jsonrpc": "2.0", "id": asked.body["id"], "error": {"code": -32000, "message": "busy"}})
    )
    async with endpoint(stub) as served, talking(at(served)) as talk:
        assert await talk.call("echo") == failure("failed", "mcp.far: busy")


async def test_one_that_never_answers_is_cancelled_and_takes_other_calls() -> None:
    never = asyncio.Event()
    stub = Stub(lambda asked: Told({}, held=never))
    async with endpoint(stub) as served, talking(at(served, timeout=0.2)) as talk:
        assert await talk.call("echo") == failure("timeout", "mcp.far did not answer within 0.2 s")
        await until(lambda: "notifications/cancelled" in stub.notices)
        stub.told = lambda asked: stub.says(asked, "hello")
        assert await talk.call("echo") == "hello"
        never.set()


async def test_a_notice_or_leave_that_nobody_answers_holds_nothing_up(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("greenroom.tools.mcp.http._HURRY", 0.1)
    never, deaf = asyncio.Event(), {"notifications/cancelled", "DELETE"}
    stub = Stub(lambda asked: Told({}, held=never))

    def told(asked: Asked) -> Told:
        what = asked.body["method"] if asked.body else asked.method
        return Told({}, held=never) if what in deaf else stub(asked)

    async with endpoint(told) as served:
        async with talking(at(served, timeout=0.2)) as talk:
            assert (await talk.call("echo"))[0] == "timeout"
            stub.told = lambda asked: stub.says(asked, "hello")

            async def answers() -> bool:
                return await talk.call("echo") == "hello"

            await until(answers)
        assert "mcp.far: the connection does not end" not in caplog.messages
        never.set()


async def test_an_idle_server_is_asked_from_time_to_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("greenroom.tools.mcp.connection._CHECK", 0.05)
    stub = Stub()
    async with endpoint(stub) as served, talking(at(served)) as talk:
        monkeypatch.setattr(f"{__name__}.TOOLS", [*TOOLS, {"name": "more", "inputSchema": {"type": "object"}}])
        await until(lambda: talk.names == ["echo", "more"])
        stub.refuses = Told({}, 503)
        await until(lambda: talk.problem() == "tools of mcp.far: it answers with HTTP 503")
        assert talk.names == ["echo", "more"]


def test_a_file_with_a_secret_is_refused() -> None:
    with pytest.raises(AgentError, match=r"^mcp\.far\.url: a secret has no place in a file"):
        read_mcp({"url": "http://me:word@b"}, "mcp.far", Path())


def test_a_table_says_what_a_server_is_given(tmp_path: Path) -> None:
    text = '[mcp.far]\ncommand = ["./shop", "-v"]\nallow = ["a*"]\nenv = { A = "b" }\ntimeout = 2\nconnections = 3'
    [server] = sources(tmp_path, text)
    assert (server.name, server.tools, server.problem()) == ("mcp.far", (), "")
    with pytest.raises(
        AgentError, match=r"tools.toml: mcp.far.connections: Input should be greater than or equal to 1"
    ):
        sources(tmp_path, text.replace("connections = 3", "connections = 0"))
