"""promptfoo runs the evals of docs/evaluators.md with its simulated user, whose words come from here."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml
from evaluators_page import block
from node_project import Node
from running_sandbox import PATIENCE, Sandbox

KEY = "gr_promptfoo_of_the_page"
SAYS = ("What's the status of my order #12345?", "Please cancel order #12345.", "yes", "###STOP###")


class SimulatedUser(ThreadingHTTPServer):
    """Stands in for promptfoo's service: it is told the conversation and says what the user says next."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Says)
        self.heard: list[str] = []
        """What the agent had said last, each time it was asked."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/task"


class Says(BaseHTTPRequestHandler):
    server: SimulatedUser

    def do_POST(self) -> None:
        told = json.loads(self.rfile.read(int(self.headers["content-length"])))["history"]
        self.server.heard += [message["content"] for message in told[-1:]]
        answer = json.dumps({"result": SAYS[len(told) // 2]}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the output of a test is its own."""


@contextmanager
def simulated_user() -> Iterator[SimulatedUser]:
    with SimulatedUser() as user:
        thread = threading.Thread(target=user.serve_forever)
        thread.start()
        yield user
        user.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def promptfoo(node: Node, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its command. Of its optional packages, which are a gigabyte, it needs one, and finds that in the folder above."""
    above = tmp_path_factory.mktemp("promptfoo")
    folder = above / "project"
    folder.mkdir()
    node.project(folder, "promptfoo", "--omit=optional")
    modules = folder / "node_modules"
    version = json.loads((modules / "libsql" / "package.json").read_text(encoding="utf-8"))["version"]
    node.project(above, f"libsql@{version}")
    return modules / ".bin" / "promptfoo"


class Evals:
    """Runs evals against a sandbox, and reads back what it has stored."""

    def __init__(self, node: Node, promptfoo: Path, folder: Path, sandbox: Sandbox) -> None:
        self._node = node
        self._promptfoo = promptfoo
        self._folder = folder
        self._sandbox = sandbox

    def run(self, config: Any) -> tuple[Any, list[str]]:
        """The outcome of its only test, and what the simulated user heard."""
        (self._folder / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
        command = [str(self._node.node), str(self._promptfoo), "eval", "-c", "config.yaml", "-o", "results.json"]
        with simulated_user() as user:
            self._node.run(
                [*command, "--no-cache", "--no-write", "--no-table"],
                self._folder,
                GREENROOM_URL=self._sandbox.http,
                GREENROOM_KEY=KEY,
                PROMPTFOO_REMOTE_GENERATION_URL=user.url,
                PROMPTFOO_CONFIG_DIR=str(self._folder / "home"),
                PROMPTFOO_DISABLE_TELEMETRY="1",
                PROMPTFOO_DISABLE_UPDATE="1",
                PROMPTFOO_FAILED_TEST_EXIT_CODE="0",
            )
        results = json.loads((self._folder / "results.json").read_text(encoding="utf-8"))
        [outcome] = results["results"]["results"]
        return outcome, user.heard

    def sessions(self) -> list[str]:
        """Newest first."""
        return [session["session_id"] for session in self._read("/v1/sessions")["sessions"]]

    def turns(self, session: str) -> list[Any]:
        turns: list[Any] = self._read(f"/v1/sessions/{session}/turns")["turns"]
        return turns

    def _read(self, path: str) -> Any:
        headers = {"Authorization": f"Bearer {KEY}"}
        return httpx2.get(f"{self._sandbox.http}{path}", headers=headers, timeout=PATIENCE).json()


@pytest.fixture
def evals(node: Node, promptfoo: Path, tmp_path: Path) -> Iterator[Evals]:
    arguments = ("serve", "--port", "0", "--grpc-port", "0")
    with Sandbox(tmp_path, *arguments, GREENROOM_API_KEYS=f"promptfoo:chat+inspect:{KEY}") as sandbox:
        yield Evals(node, promptfoo, tmp_path, sandbox)


def config(name: str) -> Any:
    return yaml.safe_load(block("yaml", name))


def names(turn: Any) -> list[str]:
    return [call["function"]["name"] for call in turn["tool_calls"]]


def histories(turns: list[Any]) -> list[str]:
    return [turn["history"] for turn in turns]


def test_with_stateful_true_its_session_is_ours(evals: Evals) -> None:
    outcome, heard = evals.run(config("stateful.yaml"))
    assert outcome["success"], outcome
    session = outcome["response"]["metadata"]["sessionId"]
    assert evals.sessions() == [session]
    turns = evals.turns(session)
    assert histories(turns) == ["new", "next", "next"]
    assert [message["role"] for turn in turns for message in turn["messages"]] == ["user"] * 3
    assert [turn["saw"]["system"] for turn in turns] == [config("stateful.yaml")["prompts"]] * 3
    assert {turn["scenario"]["id"] for turn in turns} == {"delivered_order"}
    assert names(turns[2]) == ["request_refund"]
    assert heard == [turn["reply"]["content"] for turn in turns]


def test_with_stateful_false_its_conversation_is_one_session_without_an_id(evals: Evals) -> None:
    outcome, heard = evals.run(config("stateless.yaml"))
    assert outcome["success"], outcome
    [session] = evals.sessions()
    turns = evals.turns(session)
    assert histories(turns) == ["new", "continued", "continued"]
    assert names(turns[2]) == ["cancel_order"]
    assert heard == [turn["reply"]["content"] for turn in turns]


def test_a_message_with_calls_is_a_string_to_it_and_its_conversation_goes_on_under_an_id(evals: Evals) -> None:
    told = config("stateless.yaml")
    [provider] = told["providers"]
    del provider["config"]["headers"]
    provider["config"]["passthrough"] = {"session_id": "eval-1"}
    outcome, heard = evals.run(told)
    assert outcome["success"], outcome
    assert json.loads(heard[0])["tool_calls"][0]["function"]["name"] == "get_order_status"
    assert histories(evals.turns("eval-1")) == ["new", "continued", "continued"]
