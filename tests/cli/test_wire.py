"""What clients do with their connections: keep them, write ahead of the answers, read slowly, send in pieces."""

import itertools
import json
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h11
import httpx2
import pytest
from running_sandbox import PATIENCE, Sandbox

CHAT = "/v1/chat/completions"
AGENT = """
import asyncio
import os

async def reply(turn):
    for word in turn.text.split():
        while word == "wait" and not os.path.exists("go"):
            await asyncio.sleep(0.002)
        yield word + " "
"""


@pytest.fixture(scope="module")
def spelling(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """Its agent says what it hears, word by word; after "wait" once there is a file called go."""
    folder = tmp_path_factory.mktemp("spelling")
    (folder / "spelling.py").write_text(AGENT, encoding="utf-8")
    arguments = ("serve", "spelling:reply", "--port", "0", "--grpc-port", "0", "--rate-limit", "off")
    with Sandbox(folder, *arguments) as sandbox:
        yield sandbox


class Wire:
    """One connection, and what comes over it."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._host, port = sandbox.http.removeprefix("http://").split(":")
        self._socket = socket.create_connection((self._host, int(port)), PATIENCE)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._rest = b""

    def __enter__(self) -> "Wire":
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def write(self, *pieces: bytes) -> None:
        for piece in pieces:
            self._socket.sendall(piece)

    def head(self, *lines: str, version: str = "1.1") -> bytes:
        start = [f"POST {CHAT} HTTP/{version}", f"Host: {self._host}", "Content-Type: application/json", *lines]
        return "\r\n".join([*start, "", ""]).encode()

    def request(self, text: str, *lines: str, version: str = "1.1", **fields: Any) -> bytes:
        body = body_of(text, **fields)
        return self.head(f"Content-Length: {len(body)}", *lines, version=version) + body

    def events(self) -> Iterator[h11.Event]:
        """Of the next answer."""
        asked = h11.Connection(h11.CLIENT)
        asked.send(h11.Request(method="POST", target=CHAT, headers=[("Host", self._host)]))
        asked.send(h11.EndOfMessage())
        if self._rest:  # nothing would mean the end
            asked.receive_data(self._rest)
        while True:
            event = asked.next_event()
            if event is h11.NEED_DATA:
                asked.receive_data(self._socket.recv(65536))
                continue
            assert isinstance(event, h11.Event)
            yield event
            if isinstance(event, h11.EndOfMessage):
                self._rest = asked.trailing_data[0]
                return

    def answer(self) -> tuple[int, str]:
        """The next answer's status, and its text; of a stream that is the text of its chunks."""
        told = list(self.events())
        [head] = [event for event in told if isinstance(event, h11.Response)]
        body = b"".join(bytes(event.data) for event in told if isinstance(event, h11.Data))
        if head.status_code != 200:
            return head.status_code, json.loads(body)["error"]["code"]
        if b"text/event-stream" in dict(head.headers)[b"content-type"]:
            return 200, streamed_text(body.decode())
        return 200, json.loads(body)["choices"][0]["message"]["content"]

    def trickle(self, most: int) -> bool:
        """Reads so many bytes, each by itself, and keeps them for `answer`. Whether there are no more."""
        read = bytearray()
        while len(read) < most and (byte := self._socket.recv(1)):
            read += byte
        self._rest += bytes(read)
        return len(read) < most

    def is_closed(self) -> bool:
        """Whether the server ends the connection after what was read."""
        return not self._rest and self._socket.recv(1) == b""


def body_of(text: str, **fields: Any) -> bytes:
    return json.dumps({"messages": [{"role": "user", "content": text}], **fields}).encode()


def streamed_text(body: str) -> str:
    *events, done, end = body.split("\n\n")
    assert (done, end) == ("data: [DONE]", "")
    deltas = [json.loads(event.removeprefix("data: "))["choices"][0]["delta"] for event in events]
    return "".join(delta.get("content", "") for delta in deltas)


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl")
def test_curl_keeps_its_connection_over_answers_of_every_kind(spelling: Sandbox, tmp_path: Path) -> None:
    url = spelling.http + CHAT
    large = tmp_path / "large"
    large.write_bytes(body_of("x" * 1_500_000))
    asked = [
        (url, body_of("one two").decode()),
        (url, body_of("one two", stream=True).decode()),
        (url, "{"),
        (url, f"@{large}"),
        (url, body_of("one", n=2).decode()),
        (f"{spelling.http}/health", None),
        (url, body_of("three").decode()),
    ]
    command = ["curl"]
    for number, (target, body) in enumerate(asked):
        command += ["--next"] if number else []
        command += ["--silent", "--show-error", "--max-time", str(PATIENCE), "--output", str(tmp_path / f"{number}")]
        command += ["--write-out", "%{num_connects} %{http_code}\n", target]
        command += ["--header", "content-type: application/json", "--data-binary", body] if body else []
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[:-1] == ["1 200", "0 200", "0 400", "0 413", "0 400", "0 200", "0 200"]
    answers = [(tmp_path / f"{number}").read_text() for number in range(len(asked))]
    texts = [json.loads(answers[number])["choices"][0]["message"]["content"] for number in (0, 6)]
    assert (texts, streamed_text(answers[1])) == (["one two ", "three "], "one two ")


@pytest.mark.parametrize("stream", [False, True])
def test_requests_written_ahead_are_answered_whole_and_in_their_order(spelling: Sandbox, stream: bool) -> None:
    """The first one takes its time."""
    go = spelling.folder / "go"
    go.unlink(missing_ok=True)
    with Wire(spelling) as wire:
        wire.write(
            wire.request("wait a", stream=stream)
            + wire.request("b c", stream=not stream)
            + wire.request("never", n=2)
            + b"".join(wire.request(f"d{number}", stream=number % 3 == 0) for number in range(30))
        )
        assert spelling.said("somebody else") == "somebody else "
        go.touch()
        assert [wire.answer() for _ in range(3)] == [(200, "wait a "), (200, "b c "), (400, "bad_request")]
        assert [wire.answer() for _ in range(30)] == [(200, f"d{number} ") for number in range(30)]


def test_requests_of_one_session_written_ahead_are_its_turns_in_their_order(spelling: Sandbox) -> None:
    with Wire(spelling) as wire:
        wire.write(b"".join(wire.request(f"w{number}", session_id="ahead") for number in range(5)))
        assert [wire.answer() for _ in range(5)] == [(200, f"w{number} ") for number in range(5)]
    turns = httpx2.get(f"{spelling.http}/v1/sessions/ahead/turns", timeout=PATIENCE).json()["turns"]
    assert [turn["reply"]["content"] for turn in turns] == [f"w{number} " for number in range(5)]


def test_a_client_that_reads_a_byte_at_a_time_gets_all_of_it_and_holds_nobody_up(spelling: Sandbox) -> None:
    words = " ".join(f"w{number}" for number in range(2000))
    with Wire(spelling) as plain, Wire(spelling) as streamed:
        plain.write(plain.request(words, "Connection: close"))
        streamed.write(streamed.request(words, "Connection: close", stream=True))
        reading = [plain, streamed]
        for number in itertools.count():
            reading = [wire for wire in reading if not wire.trickle(1000)]
            quick = f"quick {number}"
            assert spelling.said(quick, f"quick{number}") == f"{quick} "
            if not reading:
                break
        assert number > 5
        assert [plain.answer(), streamed.answer()] == [(200, f"{words} ")] * 2


def test_a_request_may_come_in_the_smallest_pieces(spelling: Sandbox) -> None:
    body = body_of("one two", stream=True)
    with Wire(spelling) as wire:
        head = wire.head("Transfer-Encoding: chunked")
        wire.write(*(bytes([byte]) for byte in head), *(b"1\r\n%c\r\n" % byte for byte in body), b"0\r\n\r\n")
        assert wire.answer() == (200, "one two ")
        wire.write(*(bytes([byte]) for byte in wire.request("three")))
        assert wire.answer() == (200, "three ")


JAVA = ("Connection: Upgrade, HTTP2-Settings", "HTTP2-Settings: AAEAAEAAAAIAAAAB", "Upgrade: h2c")
"""What Java's own client says with the first request on a connection, before it knows whether HTTP/2 is spoken."""


def test_an_offer_to_speak_http_2_is_passed_over(spelling: Sandbox) -> None:
    body = body_of("three")
    with Wire(spelling) as wire:
        wire.write(wire.request("one two", *JAVA))
        assert wire.answer() == (200, "one two ")
        wire.write(wire.request("two", *JAVA, stream=True) + wire.request("after it"))
        assert [wire.answer(), wire.answer()] == [(200, "two "), (200, "after it ")]
        wire.write(wire.head("Transfer-Encoding: chunked", *JAVA), b"%x\r\n%b\r\n" % (len(body), body), b"0\r\n\r\n")
        assert wire.answer() == (200, "three ")
        wire.write(*(bytes([byte]) for byte in wire.request("in pieces", *JAVA, "Expect: 100-continue")))
        assert wire.answer() == (200, "in pieces ")


def test_a_client_of_http_1_0_gets_its_answer_and_the_end_of_its_connection(spelling: Sandbox) -> None:
    """A stream comes in chunks even so: uvicorn knows no other form for it, and clients of that age that stream know chunks."""
    for stream in (False, True):
        with Wire(spelling) as wire:
            wire.write(wire.request("one two", version="1.0", stream=stream))
            assert wire.answer() == (200, "one two ")
            assert wire.is_closed()
