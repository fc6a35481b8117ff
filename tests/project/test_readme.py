"""The README's code does what the README says."""

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from running_sandbox import PATIENCE, Sandbox
from walked_page import serving
from whole_sandbox import text_of

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def curl_body() -> Any:
    command = next(block for block in blocks("sh") if "curl" in block)
    words = shlex.split(command)
    return json.loads(words[words.index("-d") + 1])


@pytest.fixture(scope="module")
def support(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    folder = tmp_path_factory.mktemp("readme")
    with Sandbox(folder, "serve", "--port", "0", "--grpc-port", "0") as sandbox:
        yield sandbox


def blurred(answer: Any) -> Any:
    """The answer without what differs from turn to turn; fails when one of these is missing."""
    for holder, name in (
        (answer, "id"),
        (answer, "chat_id"),
        (answer, "created"),
        (answer["metadata"], "response_time_ms"),
        (answer["choices"][0]["message"]["tool_calls"][0], "id"),
    ):
        assert holder.pop(name)
    return answer


def test_the_curl_gets_the_answer_that_is_shown(support: Sandbox) -> None:
    answer = httpx2.post(f"{support.http}/v1/chat/completions", json=curl_body(), timeout=PATIENCE).json()
    shown = json.loads(blocks("json")[0])
    assert blurred(answer) == blurred(shown)


async def test_the_agent_that_is_shown_is_the_example_and_can_be_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    example = ROOT / "examples" / "my_agent.py"
    assert example.read_text(encoding="utf-8") in blocks("python")
    (tmp_path / "my_agent.py").write_text(example.read_text(encoding="utf-8"), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    try:
        async with serving(tmp_path, ["my_agent:agent"], monkeypatch) as served:
            assert text_of(await served.chat("#7?", session_id="s1")) == "Your order is on its way."
            assert text_of(await served.chat("What?", session_id="s1")) == "Which order is it about?"
    finally:
        sys.modules.pop("my_agent", None)


def test_the_grpc_client_that_is_shown_runs(support: Sandbox) -> None:
    shown = next(block for block in blocks("python") if "AgentServiceStub" in block)
    code = "import grpc\n" + shown.replace("127.0.0.1:50051", support.addresses["grpc"])
    assert output_of("-c", code) == (
        "I found your order! Order #12345 is currently being prepared and will be shipped within 2 hours.\n"
    )


def test_the_grpc_example_runs_a_turn_reads_it_back_and_tries_a_tool(support: Sandbox) -> None:
    lines = output_of(str(ROOT / "examples" / "grpc_client.py"), support.addresses["grpc"]).splitlines()
    assert lines[1].startswith('  get_order_status({"order_id": "12345"}) -> {"order_id":"12345","status":"preparing"')
    assert "1 turn stored" in lines[2]
    assert '"cancelled"' in lines[3]


def output_of(*arguments: str) -> str:
    run = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert run.returncode == 0, run.stderr
    return run.stdout


def test_every_file_that_is_linked_exists() -> None:
    for name in re.findall(r"\]\(([^):#]+)\)", README):
        assert (ROOT / name).exists(), name
