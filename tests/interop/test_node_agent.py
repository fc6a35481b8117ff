"""The agent in Node that docs/remote-agents.md shows, behind a real `greenroom serve`."""

import json
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from node_project import Node
from running_sandbox import PATIENCE, Sandbox

ROOT = Path(__file__).parents[2]
WORDS = (ROOT / "docs" / "remote-agents.md").read_text(encoding="utf-8").partition("## A service over gRPC")[2]
ORDER = "Where is my order #12345?"


@pytest.fixture(scope="module")
def example(node: Node, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example with its packages, beside the contracts as in the repository."""
    folder = tmp_path_factory.mktemp("repository")
    for part in ("proto", "examples/node_agent"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("node_modules"))
    node.installed(folder / "examples" / "node_agent")
    return folder / "examples" / "node_agent"


@contextmanager
def serving(node: Node, example: Path, address: str) -> Iterator[str]:
    """The agent; its port."""
    command = [str(node.node), "agent.mjs", address]
    with subprocess.Popen(command, cwd=example, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            said = process.stdout.readline()
            assert said.startswith("listening on port "), said
            yield said.split()[-1]
        finally:
            process.kill()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


@pytest.fixture
def sandbox(node: Node, example: Path, tmp_path: Path) -> Iterator[Sandbox]:
    """Serves the page's shop.toml, with ports that are free."""
    grpc_port = free_port()
    with serving(node, example, "127.0.0.1:0") as port:
        for name, text in re.findall(r"^```\w+ (\S+)\n(.*?)^```$", WORDS, re.MULTILINE | re.DOTALL):
            text = text.replace("127.0.0.1:50061", f"127.0.0.1:{port}").replace("50051", str(grpc_port))
            (tmp_path / name).write_text(text, encoding="utf-8")
        arguments = ("serve", "shop.toml", "--port", "0", "--grpc-port", str(grpc_port))
        with Sandbox(tmp_path, *arguments) as served:
            yield served


def test_it_answers_as_the_page_shows(sandbox: Sandbox) -> None:
    [shown] = [json.loads(text) for text in re.findall(r"^```json\n(.*?)^```$", WORDS, re.MULTILINE | re.DOTALL)]
    answer = sandbox.chat(ORDER).json()
    assert picked(answer, shown) == shown
    [turn] = httpx2.get(f"{sandbox.http}/v1/sessions/s1/turns", timeout=PATIENCE).json()["turns"]
    assert turn["state"] == {"order": "12345"}
    again = sandbox.chat("And now?").json()
    assert again["choices"][0]["message"]["content"] == "Order #12345: it is shipped."
    assert sandbox.said("#7", "other") == "Order #7: I cannot find it."
    assert sandbox.said("hello", "third") == "Which order is it about?"


def test_it_is_streamed(sandbox: Sandbox) -> None:
    body = {"messages": [{"role": "user", "content": ORDER}], "stream": True}
    answer = httpx2.post(f"{sandbox.http}/v1/chat/completions", json=body, timeout=PATIENCE)
    chunks = [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: {")]
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks if chunk["choices"]]
    assert [delta["content"] for delta in deltas if delta.get("content")] == ["Order #12345: ", "it is shipped."]
    [call] = [call for delta in deltas for call in delta.get("tool_calls", ())]
    assert call["function"]["name"] == "get_order"


def picked(answer: Any, shown: Any) -> Any:
    """Of the answer what is shown."""
    if isinstance(shown, dict):
        return {name: picked(answer[name], value) for name, value in shown.items()}
    if isinstance(shown, list):
        assert len(answer) == len(shown)
        return [picked(one, value) for one, value in zip(answer, shown, strict=True)]
    return answer
