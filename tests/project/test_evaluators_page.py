"""The configurations of docs/evaluators.md work as they stand. `make interop` runs promptfoo and Scenario with theirs."""

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import httpx2
import pytest
import yaml
from evaluators_page import DOCS, PAGE, block, blocks
from running_sandbox import PATIENCE, Sandbox, environment

KEY, FRONT_KEY = "gr_evaluators_of_the_page", "gr_open_webui_of_the_page"
ORDER = "What's the status of my order #12345?"


def settings(name: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in block("ini", name).splitlines() if "=" in line)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """With the settings that the page gives the sandbox."""
    keys = f"evaluator:chat+inspect:{KEY},openwebui:chat:{FRONT_KEY}"
    folder = tmp_path_factory.mktemp("evaluators")
    arguments = ("serve", "--port", "0", "--grpc-port", "0")
    with Sandbox(folder, *arguments, GREENROOM_API_KEYS=keys, **settings("greenroom.env")) as sandbox:
        yield sandbox


def post(served: Sandbox, path: str, body: Any, key: str = KEY, **headers: str) -> httpx2.Response:
    sent = {"Authorization": f"Bearer {key}", **headers}
    return httpx2.post(f"{served.http}{path}", json=body, headers=sent, timeout=PATIENCE)


def chat(served: Sandbox, body: Any) -> Any:
    answer = post(served, "/v1/chat/completions", body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def curl(command: str, served: Sandbox) -> httpx2.Response:
    words = shlex.split(command.replace("$GREENROOM_URL", served.http).replace("$GREENROOM_KEY", KEY))
    headers = [words[at + 1].split(": ", 1) for at, word in enumerate(words) if word == "-H"]
    url = next(word for word in words if word.startswith("http"))
    return httpx2.post(url, content=words[words.index("-d") + 1], headers=dict(map(tuple, headers)), timeout=PATIENCE)


def test_usertrace_makes_its_user_and_talks_in_the_scenario_that_it_names(served: Sandbox) -> None:
    user, turn = (curl(command, served) for command in blocks("sh"))
    assert (user.status_code, user.json()["status"]) == (200, "active")
    reply = turn.json()
    assert reply["metadata"]["scenario"] == {
        "id": "financial_stress_delivery",
        "requested": "financial_stress_delivery",
        "found": True,
    }
    [call] = reply["choices"][0]["message"]["tool_calls"]
    assert call["function"]["result"]["order_id"] == "12345"


def test_covals_init_call_opens_the_session_in_its_scenario(served: Sandbox) -> None:
    opened = post(served, "/v1/sessions", json.loads(blocks("json")[0]))
    assert opened.status_code == 201, opened.text
    session = opened.json()["sessionId"]
    reply = chat(served, {"messages": [{"role": "user", "content": ORDER}], "sessionId": session})
    assert (reply["session_id"], reply["metadata"]["scenario"]["id"]) == (session, "delivered_order")
    assert reply["choices"][0]["message"]["tool_calls"]


def test_galteas_template_asks_and_its_mapping_finds_the_answer(
    served: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: dict[str, Any] = {}
    galtea = ModuleType("galtea")
    connections = SimpleNamespace(create=lambda **given: made.update(given))
    galtea.Galtea = lambda api_key: SimpleNamespace(endpoint_connections=connections)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "galtea", galtea)
    for name, value in {"GREENROOM_URL": served.http, "GREENROOM_KEY": KEY}.items():
        monkeypatch.setenv(name, value)
    for name in ("GALTEA_API_KEY", "GALTEA_PRODUCT_ID"):
        monkeypatch.setenv(name, "theirs")
    exec(next(text for text in blocks("python") if "galtea" in text), {})
    values = {"input.user_message": ORDER, "galtea_session_id": "galtea-1", "test_case_id": "case-1"}
    body = re.sub(r"{{ ([\w.]+) }}", lambda place: values[place[1]], made["input_template"])
    assert (made["url"], made["auth_type"], made["auth_token"]) == (
        f"{served.http}/v1/chat/completions",
        "BEARER",
        KEY,
    )
    reply = chat(served, json.loads(body))
    found = {name: at(reply, path) for name, path in made["output_mapping"].items()}
    assert found == {"output": at(reply, "$.choices[0].message.content"), "session_id": "galtea-1", "turn": 1}
    assert "#12345" in found["output"]


def at(value: Any, path: str) -> Any:
    """What a plain JSONPath names."""
    for name, index in re.findall(r"\.(\w+)|\[(\d+)\]", path):
        value = value[name] if name else value[int(index)]
    return value


def test_the_test_for_pytest_passes(served: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "test_support.py").write_text(block("python", "test_support.py"), encoding="utf-8")
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), str(tmp_path)],
        env=environment(GREENROOM_URL=served.http, GREENROOM_KEY=KEY, PYTEST_DISABLE_PLUGIN_AUTOLOAD="1"),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=3 * PATIENCE,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "1 passed" in run.stdout


def streamed(served: Sandbox, key: str, **headers: str) -> list[Any]:
    """The chunks of one turn in which the agent calls a tool."""
    body = {"model": "support", "stream": True, "messages": [{"role": "user", "content": ORDER}]}
    answer = post(served, "/v1/chat/completions", body, key, **headers)
    assert answer.status_code == 200, answer.text
    return [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: {")]


def is_plain(chunks: list[Any]) -> bool:
    """Whether the calls stand in the metadata alone."""
    shown = any("tool_calls" in chunk["choices"][0]["delta"] for chunk in chunks)
    return not shown and bool(chunks[-1]["metadata"]["tool_trace"])


def test_open_webui_names_its_chat_and_sees_no_calls(served: Sandbox) -> None:
    theirs = settings("open-webui.env")
    assert theirs["OPENAI_API_BASE_URL"].endswith("/v1")
    chunks = streamed(served, FRONT_KEY, **{"X-OpenWebUI-Chat-Id": "chat-1"})
    assert {chunk["session_id"] for chunk in chunks} == {"chat-1"}
    assert is_plain(chunks)
    assert not is_plain(streamed(served, KEY, **{"X-OpenWebUI-Chat-Id": "chat-2"}))


def test_librechats_headers_name_its_conversation_and_keep_the_calls_away(served: Sandbox) -> None:
    [endpoint] = yaml.safe_load(block("yaml", "librechat.yaml"))["endpoints"]["custom"]
    assert endpoint["baseURL"].endswith("/v1")
    models = httpx2.get(f"{served.http}/v1/models", headers={"Authorization": f"Bearer {KEY}"}, timeout=PATIENCE)
    assert [model["id"] for model in models.json()["data"]] == endpoint["models"]["default"]
    headers = {
        name: value.replace("{{LIBRECHAT_BODY_CONVERSATIONID}}", "conversation-1")
        for name, value in endpoint["headers"].items()
    }
    chunks = streamed(served, KEY, **headers)
    assert {chunk["session_id"] for chunk in chunks} == {"conversation-1"}
    assert is_plain(chunks)


def test_every_page_that_is_linked_exists() -> None:
    for name in re.findall(r"\]\(([^):#]+)\)", PAGE):
        assert (DOCS / name).exists(), name


def test_every_client_of_the_table_has_its_section() -> None:
    headings = {heading.lower().replace(" ", "-") for heading in re.findall(r"^## (.+)$", PAGE, re.MULTILINE)}
    assert set(re.findall(r"\]\(#([\w-]+)\)", PAGE)) == headings
