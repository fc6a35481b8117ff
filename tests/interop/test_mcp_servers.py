"""The reference server of the Model Context Protocol, in Node, as a source of tools."""

import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from core_running import until
from node_project import Node
from tool_talk import talking

from greenroom.tools.mcp import McpServer


@pytest.fixture(scope="module")
def server(node: Node, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Its command, without the word for the transport."""
    folder = tmp_path_factory.mktemp("everything")
    node.project(folder, "@modelcontextprotocol/server-everything")
    packages = folder / "node_modules" / "@modelcontextprotocol" / "server-everything"
    return [str(node.node), str(packages / "dist" / "index.js")]


@pytest.fixture
def port(server: list[str]) -> Iterator[int]:
    """Where it answers over HTTP."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = int(taken.getsockname()[1])
    environment = {"PORT": str(port), "PATH": str(Path(server[0]).parent)}
    with subprocess.Popen([*server, "streamableHttp"], env=environment, stderr=subprocess.DEVNULL) as process:
        try:
            yield port
        finally:
            process.kill()


async def uses(source: McpServer) -> None:
    async with talking(source) as talk:
        await until(lambda: talk.problem() == "")
        assert {"echo", "get-sum", "get-env"} <= set(talk.names)
        assert await talk.call("echo", message="hello") == "Echo: hello"
        assert await talk.call("get-sum", a=1, b=2) == "The sum of 1 and 2 is 3."
        assert set(await talk.call("get-structured-content", location="Chicago")) == {
            "temperature",
            "conditions",
            "humidity",
        }
        picture: Any = (await talk.call("get-tiny-image"))["content"][1]
        assert picture["mime_type"] == "image/png"
        assert picture["bytes"] > 1000
        kind, message = await talk.call("get-structured-content", location="Atlantis")
        assert kind == "failed"
        assert message.startswith("mcp.everything: ")


async def test_over_stdio(server: list[str]) -> None:
    await uses(McpServer("everything", command=[*server, "stdio"]))


async def test_over_http(port: int) -> None:
    await uses(McpServer("everything", url=f"http://127.0.0.1:{port}/mcp"))
