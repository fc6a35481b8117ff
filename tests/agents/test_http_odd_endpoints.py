"""Endpoints that are odd, slow or hostile: what they do to one turn stays with it, and out of every other session."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from stub_endpoint import Asked, Told, endpoint, events
from talk import Told as Heard
from talk import talking

from greenroom.agents.http import AnswerPaths, HttpAgent, OpenAiAgent
from greenroom.core.errors import AgentDown, AgentFailed, TurnTimeout
from greenroom.core.limits import Limits
from greenroom.sdk import AgentError
from greenroom.sdk.testing import play

REPLY = AnswerPaths(reply="$.answer")
KEY = "sk-1234567890abcdef"


async def test_a_cookie_of_one_session_is_not_sent_for_another() -> None:
    def answer(asked: Asked) -> Told:
        return Told({"answer": asked.headers.get("cookie", "none")}, headers={"set-cookie": "sid=ada; Path=/"})

    async with endpoint(answer) as served, talking(HttpAgent(served.url, REPLY)) as talk:
        assert [(await talk.say("hi", session_id=sid)).reply for sid in "ab"] == ["none", "none"]


@pytest.mark.parametrize("odd", ["a\x00b", "x\r\nX-Admin: yes", " padded ", "\x7f", "emoji 🦊", "a\u2028b"])
async def test_what_a_caller_puts_into_a_header_is_one_header_and_no_fault_of_the_endpoint(odd: str) -> None:
    async with endpoint(Told({"answer": "hi"})) as served:
        agent = HttpAgent(served.url, REPLY, headers={"X-Plan": "{{ metadata.plan | default('') }}"})
        async with talking(agent) as talk:
            for number in range(6):
                text = json.dumps({"plan": odd})
                id = odd if odd.isprintable() else ""
                said = await talk.say("hi", session_id=f"s{number}{id}", user_id=id, metadata_json=text)
                assert said.reply == "hi"
    one = served.asked[0]
    assert "x-admin" not in one.headers
    assert not odd.isprintable() or one.headers["x-plan"] == one.headers["x-user-id"]


@pytest.mark.parametrize("name", ["X Plan", "Schlüssel", "", "X:", "X\r\nY"])
def test_a_header_that_no_request_can_have_is_refused_at_once(name: str) -> None:
    for make in (
        lambda h: HttpAgent("https://host/", REPLY, headers=h),
        lambda h: OpenAiAgent("https://h/v1", headers=h),
    ):
        with pytest.raises(AgentError, match="is no name of a header"):
            make({name: "x"})


async def test_a_secret_is_sent_as_it_is_whatever_it_looks_like(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ODD_KEY", "a{{ text }}{%b{#c  d\n")
    async with endpoint(Told({"answer": "hi"})) as served:
        headers = {"Authorization": "Bearer ${ODD_KEY}", "X-Text": "{{ text }}"}
        await play(HttpAgent(served.url, REPLY, headers=headers), ["${ODD_KEY}"])
    assert served.asked[0].headers["authorization"] == "Bearer a{{ text }}{%b{#c d"
    assert served.asked[0].headers["x-text"] == "${ODD_KEY}"


ECHOES = f"no such key: Bearer {KEY}"


@pytest.mark.parametrize(
    "told",
    [
        Told(ECHOES, 401),
        Told(ECHOES, 400),
        Told(ECHOES.encode()),
        Told("", 302, {"location": f"/?key={KEY}"}),
        Told({"error": {"message": ECHOES}}),
    ],
)
async def test_a_key_that_an_endpoint_repeats_is_in_no_evidence(
    told: Told, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("SHOP_KEY", KEY)
    async with endpoint(told) as served:
        agents = [
            HttpAgent(served.url, REPLY, headers={"Authorization": "Bearer ${SHOP_KEY}"}),
            OpenAiAgent(f"{served.url}/v1", model="m", api_key=KEY),
        ]
        for agent in agents:
            async with talking(agent) as talk:
                served.answers = [Told({"answer": "x", "choices": [{"message": {"content": "x"}}]}), told]
                await talk.say("hi")
                for number in range(5):
                    await talk.fails(str(number))
                assert KEY not in (await talk.failures())[0].detail
                assert KEY not in agent.problem()
    assert KEY not in caplog.text


@pytest.mark.parametrize(
    ("told", "seconds"),
    [
        ("7", 7),
        ("0.2", 1),
        ("99999999999", 60),
        (timedelta(hours=1), 60),
        (timedelta(hours=-1), 1),
        ("nan", 1),
        ("-inf", 1),
        ("1e3", 1),
        ("soon", 1),
        ("²", 1),
        ("", 1),
    ],
)
async def test_when_to_come_again_is_a_number_of_seconds_whatever_is_told(
    told: str | timedelta, seconds: float
) -> None:
    if isinstance(told, timedelta):
        told = format_datetime(datetime.now(UTC) + told, usegmt=True)
    async with endpoint(Told("", 503, {"retry-after": told})) as served, talking(HttpAgent(served.url, REPLY)) as talk:
        error = await talk.fails("hi")
    assert (type(error), error.retry_after) == (AgentDown, seconds)


async def test_an_error_that_does_not_end_is_an_error_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("greenroom.agents.http.exchange._ERROR_SECONDS", 0.05)
    never = asyncio.Event()
    answers = [Told({"answer": "hi"}), Told(status=500, pieces=(b"a", b"b"), pause=never)]
    async with endpoint(*answers) as served, talking(HttpAgent(served.url, REPLY), Limits(turn_timeout=5)) as talk:
        await talk.say("hi")
        assert type(await talk.fails("again")) is AgentDown
        assert "answered 500: (it does not end)" in (await talk.failures())[0].detail
        never.set()


async def test_a_compressed_answer_is_bounded_by_what_it_becomes() -> None:
    bomb = gzip.compress(b'"' + b"a" * 50_000_000 + b'"')
    told = Told(bomb, headers={"content-encoding": "gzip"})
    async with endpoint(Told({"answer": "hi"}), told) as served, talking(HttpAgent(served.url, REPLY)) as talk:
        await talk.say("hi")
        await talk.fails("again")
        assert "bytes at most" in (await talk.failures())[0].detail


@pytest.mark.parametrize("answer", [{"answer": None}, {"answers": []}, None, []])
async def test_no_text_is_no_reply(answer: Any) -> None:
    async with endpoint(Told(answer)) as served, talking(HttpAgent(served.url, REPLY)) as talk:
        assert type(await talk.fails("hi")) is AgentFailed


async def test_what_is_kept_stays_until_the_endpoint_says_otherwise(tmp_path: Path) -> None:
    template = tmp_path / "t.j2"
    template.write_text('{"thread": {{ state.get("thread") | tojson }}}')
    told = [{"answer": "", "thread": "t"}, {"answer": ""}, {"answer": "", "thread": None}, {"answer": ""}]
    async with endpoint(*map(Told, told)) as served:
        paths = AnswerPaths(reply="$.answer", keep={"thread": "$.thread"})
        await play(HttpAgent(served.url, paths, request=template), ["1", "2", "3", "4"])
    assert [asked.body["thread"] for asked in served.asked] == [None, "t", "t", None]


async def test_a_path_into_an_answer_that_is_too_deep_fails_the_turn() -> None:
    deep = ('{"a":' * 900 + "1" + "}" * 900).encode()
    async with endpoint(Told(deep)) as served, talking(HttpAgent(served.url, AnswerPaths(reply="$..b"))) as talk:
        assert type(await talk.fails("hi")) is AgentFailed


@pytest.mark.parametrize(
    "url", ["http://[::1", "http://host:99999/", "http://host:abc/", "https:///x", "http://me:pw@h:x/"]
)
def test_an_address_that_nobody_has_is_refused_at_once(url: str) -> None:
    with pytest.raises(AgentError) as problem:
        HttpAgent(url, REPLY)
    assert "pw" not in str(problem.value)


async def test_a_proxy_that_cannot_be_used_is_told_at_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "nonsense://localhost:1")
    with pytest.raises(AgentError, match="by the environment's proxy"):
        await HttpAgent("https://host/", REPLY).startup()


async def test_an_agent_that_is_served_twice_has_its_connections_until_the_last_is_gone() -> None:
    async with endpoint(Told({"answer": "hi"})) as served:
        agent = HttpAgent(served.url, REPLY)
        async with talking(agent), talking(agent) as second:
            assert (await second.say("hi")).reply == "hi"
        async with talking(agent) as again:
            assert (await again.say("hi")).reply == "hi"


async def test_a_connection_that_is_hung_up_as_it_is_used_is_no_fault() -> None:
    hung_up = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal hung_up
        for number in range(2):
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            await reader.readexactly(length)
            if number:
                hung_up += 1
                break
            writer.write(b'HTTP/1.1 200 OK\r\ncontent-length: 14\r\n\r\n{"answer":"a"}')
        writer.close()

    async with serving(serve) as url, talking(HttpAgent(url, REPLY)) as talk:
        assert [(await talk.say("hi", session_id=sid)).reply for sid in "abc"] == ["a", "a", "a"]
    assert hung_up == 2


async def test_a_caller_in_a_hurry_does_not_shut_an_endpoint_off_for_all() -> None:
    held = asyncio.Event()
    async with endpoint(Told({"answer": "hi"}, held=held)) as served:
        agent = HttpAgent(served.url, REPLY)
        async with talking(agent, Limits(turn_timeout=5)) as talk:
            for number in range(6):
                assert type(await talk.fails("hi", session_id=f"s{number}", timeout=0.02)) is TurnTimeout
            assert agent.problem() == ""
            held.set()
            assert (await talk.say("hi")).reply == "hi"


async def test_a_slow_reader_does_not_shut_an_endpoint_off_for_all() -> None:
    text = "a" * 40_000
    told = Told(pieces=events({"choices": [{"delta": {"content": text}}]}))
    async with endpoint(told) as served:
        agent = OpenAiAgent(f"{served.url}/v1", model="m")
        async with talking(agent, Limits(turn_timeout=0.2)) as talk:
            for number in range(6):
                assert type(await talk.fails("hi", told=Heard(slow=True), session_id=f"s{number}")) is TurnTimeout
            assert agent.problem() == ""


async def test_a_reader_who_leaves_leaves_no_request_behind() -> None:
    gone = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: {}\n\n")
        while await reader.read(1000):
            pass
        gone.set()
        writer.close()

    async with serving(serve) as url:
        agent = OpenAiAgent(f"{url}/v1", model="m")
        async with talking(agent, Limits(turn_timeout=0.2)) as talk:
            assert type(await talk.fails("hi", told=Heard())) is TurnTimeout
            async with asyncio.timeout(5):
                await gone.wait()


@asynccontextmanager
async def serving(serve: Any) -> AsyncIterator[str]:
    """A server that does as it likes."""
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
