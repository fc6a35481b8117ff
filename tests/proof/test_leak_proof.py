"""The leak proof catches agents that mix their customers up, names the way, and passes those that keep them apart."""

import contextlib
import io
import json
import random
import shutil
import sys
import threading
import zlib
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import leak_proof
import pytest
from canaries import Canaries
from leaks import Watch
from running_sandbox import Sandbox

HERE = Path(__file__).parent
PATIENCE = "120"
"""Seconds."""


def prove(url: str, *arguments: str) -> tuple[int, dict[str, Any]]:
    """The exit code and the report of `leak_proof.py`, run in this process; no report when it could not be found out."""
    said = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(said):
        patch.setattr(sys, "argv", ["leak_proof.py", url, "--json", "--seed", "7", "--deadline", PATIENCE, *arguments])
        with pytest.raises(SystemExit) as end:
            leak_proof.main()
    assert isinstance(end.value.code, int)
    return end.value.code, json.loads(said.getvalue()) if said.getvalue() else {}


def kinds(report: Mapping[str, Any]) -> set[tuple[str, str]]:
    return {(leak["where"], leak["through"]) for leak in report["leaks"]}


APART = ("leaky_agents:careful", "leaky_agents:discreet", "support")
MIXING = {
    "module_global": ("reply", "world"),
    "class_attribute": ("state", "request metadata"),
    "cached_object": ("reply", "profile"),
    "shared_drawer": ("world", "message"),
    "gossip": ("log line", "user id"),
}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """All agents side by side."""
    folder = tmp_path_factory.mktemp("served")
    shutil.copy(HERE / "leaky_agents.py", folder)
    agents = (*APART, *(f"leaky_agents:{agent}" for agent in MIXING))
    options = ("--fresh", "--port", "0", "--grpc-port", "0", "--rate-limit", "off", "--log-bodies")
    with Sandbox(folder, "serve", *agents, *options) as sandbox:
        yield sandbox


def proved(served: Sandbox, agent: str, *arguments: str) -> tuple[int, dict[str, Any]]:
    """The agent is asked for by its name, with secrets of its own: its neighbours in the log are strangers."""
    seed = str(zlib.crc32(agent.encode()))
    return prove(
        served.http, "--same-keys", "--log", str(served.folder / "log"), "--model", agent, "--seed", seed, *arguments
    )


@pytest.mark.parametrize("agent", MIXING)
def test_an_agent_that_mixes_its_customers_up_is_caught_and_the_way_is_named(served: Sandbox, agent: str) -> None:
    where, through = MIXING[agent]
    code, report = proved(served, f"leaky_agents:{agent}", "--sessions", "12")
    assert code == 1
    assert (where, through) in kinds(report)
    assert report["failed"] == 0
    leak = next(leak for leak in report["leaks"] if (leak["where"], leak["through"]) == (where, through))
    assert leak["first"]["session"] != leak["first"]["planted_by"]
    assert all(leak["first"][name] for name in ("path", "canary"))


def test_an_agent_that_tells_all_it_knows_of_its_own_customer_passes(served: Sandbox) -> None:
    code, report = proved(served, "leaky_agents:careful", "--sessions", "16")
    assert (code, report["leaks"], report["failures"], report["skipped"]) == (0, [], [], {})
    for way, seen in report["planted"].items():
        # what was planted did arrive, at least where session and user are named: elsewhere it would have been found
        assert min(seen["reply"], seen["turn record"]) >= 12, way
    assert min(report["planted"]["world"][place] for place in ("state", "world", "changes")) >= 12


def test_the_support_agent_passes(served: Sandbox) -> None:
    prompts = str(HERE / "support_prompts.json")
    code, report = proved(served, "support", "--sessions", "20", "--prompts", prompts)
    assert (code, report["leaks"], report["failures"], report["skipped"]) == (0, [], [], {})
    planted = report["planted"]
    assert min(planted[way]["reply"] for way in ("message", "world", "system message", "profile")) >= 13
    assert min(planted["world"]["world"], planted["message"]["world"], planted["world"]["state"]) >= 13


def test_clients_that_name_no_session_and_begin_alike_are_kept_apart(served: Sandbox) -> None:
    """They are told apart by what they carry alone, and what was sent beside the messages may differ (CHAT-14)."""
    code, report = proved(served, "leaky_agents:discreet", "--sessions", "16")
    assert (code, report["leaks"], report["failures"]) == (0, [], [])


class Plain(BaseHTTPRequestHandler):
    """A chat endpoint and nothing else, without sessions: what it is sent is all it knows, or so it should be."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        server = self.server
        assert isinstance(server, PlainServer)
        if self.path != "/v1/chat/completions" or server.status != 200:
            return self._answer(404 if server.status == 200 else server.status, {"error": {"message": "no"}})
        users = [message["content"] for message in body["messages"] if message["role"] == "user"]
        headers = {"X-Customer": server.latest} if server.leaks else {}
        server.latest = body.get("user_id", server.latest)
        message = {"role": "assistant", "content": f"You said: {' '.join(users)}"}
        return self._answer(200, {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}, headers)

    def do_GET(self) -> None:
        self._answer(404, {"error": {"message": "no"}})

    def _answer(self, status: int, document: Any, headers: Mapping[str, str] | None = None) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Nothing is logged."""


class PlainServer(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, status: int = 200, *, leaks: bool = False) -> None:
        super().__init__(("127.0.0.1", 0), Plain)
        self.status = status
        self.leaks = leaks
        self.latest = "nobody"


@contextlib.contextmanager
def plain(server: PlainServer) -> Iterator[str]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_an_endpoint_that_only_chats_is_tested_by_what_it_has_and_the_rest_is_said_to_be_skipped() -> None:
    with plain(PlainServer()) as url:
        code, report = prove(url, "--sessions", "20")
    assert code == 0
    assert set(report["skipped"]) == {"users", "session record", "turn record", "world"}
    assert report["planted"].keys() == {"message", "world", "system message", "request metadata"}
    assert report["planted"]["message"] == {"reply": 20}


def test_a_header_that_names_another_session_is_a_leak() -> None:
    with plain(PlainServer(leaks=True)) as url:
        code, report = prove(url, "--sessions", "20")
    assert code == 1
    assert kinds(report) == {("reply header", "user id")}
    assert report["leaks"][0]["first"]["path"] == "x-customer"


def test_an_endpoint_that_does_not_chat_is_no_proof_of_anything() -> None:
    with plain(PlainServer(status=401)) as url:
        assert prove(url, "--sessions", "2") == (2, {})


def watched() -> tuple[Watch, dict[tuple[int, str], str]]:
    """A watch, and the canaries of two sessions."""
    canaries = Canaries(random.Random(1))
    texts = {(number, way): canaries.new(number, way) for number in (4, 17) for way in ("profile", "session id")}
    return Watch(canaries), texts


def test_a_leak_says_in_which_session_what_of_which_other_was_seen_and_when() -> None:
    watch, texts = watched()
    watch.document("reply", 17, {"choices": [{"message": {"content": f"Hello {texts[17, 'profile']}"}}]}, turn=1)
    assert watch.leaks == []
    for turn in (3, 2):
        content = f"Hello {texts[4, 'profile'].upper()}"
        watch.document("reply", 17, {"choices": [{"message": {"content": content}}]}, turn=turn)
    assert [str(leak) for leak in watch.leaks] == [
        "LEAK reply: session 17 shows what session 4 planted through profile"
        " (first at turn 2, choices[0].message.content; 2 times, in 1 sessions)"
    ]
    assert watch.arrived == {"profile": {"reply": 1}}


def test_a_record_is_told_by_its_part_and_its_turn() -> None:
    watch, texts = watched()
    other = texts[4, "profile"]
    turns = [
        {"turn": 1, "messages": [], "state": {"notes": [other]}},
        {"turn": 2, "tool_calls": [{"changes": [{"after": {other: 1}}]}], "reply": {"content": other}},
    ]
    watch.document("turn record", 17, {"turns": turns})
    watch.document("world", 17, {"world": {"notes": {"1": other}}, "changes": []})
    found = {(leak.where, leak.first.turn, leak.first.path) for leak in watch.leaks}
    assert found == {
        ("state", 1, "turns[0].state.notes[0]"),
        ("changes", 2, f"turns[1].tool_calls[0].changes[0].after.{other}"),
        ("turn record", 2, "turns[1].reply.content"),
        ("world", 0, "world.notes.1"),
    }


def test_a_log_line_may_speak_of_one_session_only() -> None:
    watch, texts = watched()
    one, other = texts[17, "session id"], texts[4, "profile"]
    watch.log([f"session {one} turn 1", f"user {other}", f'{{"session_id": "leak-{one}", "body": "{other}"}}'])
    assert [(leak.where, leak.first.session, leak.first.planted_by, leak.first.path) for leak in watch.leaks] == [
        ("log line", 17, 4, "line 3")
    ]
