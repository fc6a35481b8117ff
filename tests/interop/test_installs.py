"""Installed as its users install it: into environments of their own, beside packages with names like ours."""

import subprocess
import sys
from pathlib import Path

import httpx2
import pytest
from python_environment import LONG, Environment
from running_sandbox import PATIENCE, Sandbox

ROOT = Path(__file__).parents[2]
MY_AGENT = """
from core.data import ANSWER
from edge import NAME
from greenroom.sdk import Agent, Turn

agent = Agent(NAME)

@agent.reply
def reply(turn: Turn) -> str:
    return ANSWER
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Built as `pip install .` builds it."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(ROOT)],
        check=True,
        timeout=LONG,
        stdin=subprocess.DEVNULL,
    )
    return str(next(folder.glob("*.whl")))


def in_their_folder(folder: Path) -> None:
    """A user's project whose packages are called like our source roots."""
    (folder / "core").mkdir()
    (folder / "core" / "__init__.py").touch()
    (folder / "core" / "data.py").write_text("ANSWER = 'from my own core'")
    (folder / "edge.py").write_text("NAME = 'mine'")
    (folder / "my_agent.py").write_text(MY_AGENT)


@pytest.mark.parametrize("how", ["wheel", "editable"])
def test_it_serves_an_agent_beside_their_own_packages(
    tmp_path: Path, wheel: str, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    what = [wheel] if how == "wheel" else ["-e", str(ROOT)]
    environment = Environment(tmp_path / "venv", "-c", str(ROOT / "constraints.txt"), *what)
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    in_their_folder(theirs)
    place = environment.run(["-c", "import greenroom.core.agent as a; print(a.__file__)"], cwd=theirs).strip()
    assert place.startswith(str(ROOT if how == "editable" else tmp_path / "venv"))
    monkeypatch.setattr(sys, "executable", environment.python)
    with Sandbox(theirs, "serve", "my_agent:agent", "--port", "0", "--grpc-port", "0") as sandbox:
        assert sandbox.said("hello") == "from my own core"
    with Sandbox(theirs, "serve", "--port", "0", "--grpc-port", "0", "--fresh") as sandbox:
        answer = sandbox.chat("What's the status of my order #12345?")
        (call,) = answer.json()["choices"][0]["message"]["tool_calls"]
        assert call["function"]["name"] == "get_order_status"
        assert httpx2.get(f"{sandbox.http}/openapi.json", timeout=PATIENCE).status_code == 200


ASK = """
import json, sys
from openai import OpenAI

client = OpenAI(base_url=sys.argv[1] + "/v1", api_key="none", max_retries=0)
messages = [{"role": "user", "content": "What's the status of my order #12345?"}]
whole = client.chat.completions.create(model="support", messages=messages, extra_body={"session_id": "whole"})
chunks = list(client.chat.completions.create(model="support", messages=messages, stream=True,
    extra_body={"session_id": "parts"}, stream_options={"include_usage": True}))
helper = getattr(client.chat.completions, "stream", None) or client.beta.chat.completions.stream
with helper(model="support", messages=messages, extra_body={"session_id": "helped"}) as stream:
    for event in stream:
        pass
    folded = stream.get_final_completion().choices[0].message
print(json.dumps({
    "folded": folded.content,
    "folded_tools": [call.function.name for call in folded.tool_calls],
    "text": whole.choices[0].message.content,
    "tool": whole.choices[0].message.tool_calls[0].function.name,
    "session_id": whole.model_extra["session_id"],
    "evaluation": whole.model_extra["evaluation_metadata"],
    "streamed": "".join(c.choices[0].delta.content or "" for c in chunks if c.choices),
    "finish": [c.choices[0].finish_reason for c in chunks if c.choices][-1],
    "usage": chunks[-1].usage.total_tokens,
    "models": [model.id for model in client.models.list()],
}))
"""


@pytest.mark.parametrize("line", ["openai>=1,<2", "openai>=2,<3"])
def test_older_lines_of_the_official_client_are_served(tmp_path: Path, line: str) -> None:
    environment = Environment(tmp_path / "venv", line)
    with Sandbox(tmp_path, "serve", "--port", "0", "--grpc-port", "0", "--fresh") as sandbox:
        said = httpx2.Response(200, text=environment.run(["-c", ASK, sandbox.http])).json()
    assert said["text"]
    assert said["streamed"] == said["folded"] == said["text"]
    assert said["folded_tools"] == ["get_order_status"]
    assert (said["tool"], said["session_id"], said["finish"]) == ("get_order_status", "whole", "stop")
    assert said["evaluation"]["tool_called"] == "get_order_status"
    assert said["usage"] > 0
    assert said["models"] == ["support"]
