"""Every fault is found by the check that is meant for it, and what is right is found right."""

import asyncio
import json
from pathlib import Path
from xml.etree import ElementTree as ET

import httpx2
import pytest
from upright_server import Answered, Headers, Upright, foreign, serving
from whole_sandbox import sandbox

from greenroom.agents.support import agent as support_agent
from greenroom.rehearsal import CHECKS, Level, Options, Outcome, Report, Result, junit, run
from greenroom.rehearsal.endpoint import Answer, Ask, Endpoint, Gone, NoAnswer

FAULTS = {
    "slow health": {"health.timing"},
    "health says ok": {"health.status"},
    "a time of nowhere": {"health.shape"},
    "says nothing of index": {"chat.choices"},
    "no evaluation": {"chat.envelope", "streaming.fields"},
    "tools in one word": {"chat.metadata"},
    "keeps results to itself": {"chat.tool_calls", "streaming.tool_calls"},
    "names sessions itself": {"sessions.echo"},
    "loses the thread": {"sessions.last_message", "sessions.minted"},
    "one chat for all": {"sessions.chat_id"},
    "counts retries": {"retries.counted_once"},
    "forgets keys": {"retries.idempotency_key"},
    "HTML errors": {"errors.shape"},
    "flat errors": {"errors.shape"},
    "other words for 400": {"errors.published"},
    "shows traces": {"errors.no_traces"},
    "falls over roles": {"errors.role"},
    "streams without an end": {"streaming.chunks"},
    "another id on each chunk": {"streaming.chunks"},
    "usage unasked": {"streaming.usage"},
    "users are made anew": {"users.again"},
    "leaks": {"isolation.canaries"},
    "drops a crowd": {"isolation.parallel"},
    "fails under load": {"load.answered"},
}
AMONG_MANY = ("leaks", "drops a crowd", "fails under load")
"""What only shows where many ask; the rest is looked for without them, for it to cost less."""


class Watching:
    """What a watcher was told."""

    def __init__(self) -> None:
        self.checks = 0
        self.results: list[Result] = []
        self.steps: set[str] = set()

    def began(self, checks: int) -> None:
        self.checks = checks

    def finished(self, result: Result) -> None:
        self.results.append(result)

    def advance(self, what: str, done: int, total: int) -> None:
        assert 0 <= done <= total
        self.steps.add(what)


def small(url: str, **changes: object) -> Options:
    return Options(**{"url": url, "sessions": 6, "rate": 100.0, "seconds": 0.2, "timeout": 20.0, **changes})  # type: ignore[arg-type]


def named(report: Report, outcome: Outcome) -> set[str]:
    return {result.check.name for result in report.results if result.outcome is outcome}


def told(report: Report) -> str:
    return "\n".join(f"{result.check.name}: {result.outcome} {result.note}" for result in report.results)


async def test_our_own_sandbox_holds(tmp_path: Path) -> None:
    watching = Watching()
    async with sandbox(tmp_path, support_agent) as served:
        report = await run(small(served.url), watching)
        left = await served.read("/v1/sessions", page_size=5)
    assert named(report, Outcome.FAILS) | named(report, Outcome.NOT_OFFERED) == set(), told(report)
    assert named(report, Outcome.NOT_TOLD) == {"health.open", "errors.retry_after", "access.https", "access.key"}
    assert (report.exit_code, report.left_behind, left["sessions"]) == (0, "", [])
    assert watching.checks == len(watching.results) == len(CHECKS)
    assert watching.steps == {"sessions at once", "steady load", "tidying up"}


async def test_what_is_upright_holds_with_a_key_and_says_what_it_does_not_offer() -> None:
    server = Upright(key="sk-of-the-test")
    async with serving(server) as url:
        report = await run(small(url, key="sk-of-the-test"), Watching())
    assert named(report, Outcome.FAILS) == set(), told(report)
    assert named(report, Outcome.NOT_OFFERED) == {
        "health.details",
        "health.probes",
        "chat.models",
        "sessions.no_id",
        "sessions.owner",
        "users.lifecycle",
        "records.turns",
        "records.world",
        "records.lifecycle",
        "access.request_id",
        "errors.content_type",
    }
    assert server.sessions == {}
    assert "users could not be deleted" in report.left_behind
    assert all(user.startswith(report.run) for user in server.users)
    assert "sk-of-the-test" not in json.dumps(report.document())


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_fault_is_found_by_the_check_that_is_meant_for_it(fault: str) -> None:
    async with serving(Upright(fault)) as url:
        only = ("health.timing", "health.shape") if fault == "slow health" else ()
        skip = () if fault in AMONG_MANY else ("isolation", "load")
        report = await run(small(url, only=only, skip=skip), Watching())
    assert named(report, Outcome.FAILS) == FAULTS[fault], told(report)
    for result in report.results:
        if result.outcome is Outcome.FAILS:
            assert result.evidence is not None
            assert result.evidence.right
            assert result.check.ids


async def test_replies_that_come_late_under_load_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("greenroom.rehearsal.checks.load._TARGET", 0.01)
    monkeypatch.setattr("greenroom.rehearsal.checks.load._LATE", 1000.0)
    async with serving(Upright("slow replies")) as url:
        report = await run(small(url, only=("load",)), Watching())
    assert named(report, Outcome.FAILS) == {"load.latency"}
    assert report.load is not None
    assert (report.load.sent, len(report.load.latencies), report.load.latencies[0] >= 0.02) == (20, 20, True)
    assert report.load.percentile(50) == report.load.latencies[9]
    assert report.load.percentile(100) == report.load.latencies[-1]


async def test_a_server_that_stalls_is_told_of_by_every_request_that_was_due() -> None:
    server, free = Upright(), asyncio.Event()

    async def stalls(method: str, path: str, headers: Headers, body: bytes) -> Answered:
        server.counts["asked"] += 1
        if server.counts["asked"] > 12:
            asyncio.get_running_loop().call_later(0.3, free.set)
            await free.wait()
        return await server(method, path, headers, body)

    async with serving(stalls) as url:
        report = await run(small(url, only=("load",)), Watching())
    assert report.load is not None
    assert sum(latency > 0.1 for latency in report.load.latencies) >= 10


async def test_a_key_that_is_not_looked_at_is_found() -> None:
    async with serving(Upright("takes any key", key="sk-1")) as url:
        report = await run(small(url, key="sk-1", only=("access",)), Watching())
    assert named(report, Outcome.FAILS) == {"access.key"}


async def test_a_foreign_server_gets_a_verdict_and_no_wall_of_failures() -> None:
    async with serving(foreign) as url:
        report = await run(small(url), Watching())
    assert report.model == "tiny"
    required = {result.check.name for result in report.findings if result.check.level is Level.REQUIRED}
    assert required == {
        "health.shape",
        "chat.minimal",
        "chat.envelope",
        "errors.role",
        "errors.messages",
        "errors.shape",
        "errors.published",
    }
    assert {result.check.name for result in report.findings} - required == {"errors.wrong_method"}
    assert {"sessions.whole_history", "isolation.canaries", "load.latency"} <= named(report, Outcome.HOLDS)
    assert {"sessions.echo", "streaming.chunks", "users.create"} <= named(report, Outcome.NOT_OFFERED)


async def test_findings_decide_the_exit_code_and_strict_counts_extras_too() -> None:
    async with serving(Upright("usage unasked")) as url:
        report = await run(small(url, only=("streaming", "health.probes")), Watching())
    assert (report.exit_code, report.findings) == (0, [])
    strict = Report(**{**{name: getattr(report, name) for name in report.__slots__}, "strict": True})
    assert strict.exit_code == 1
    assert {result.check.name for result in strict.findings} == {"streaming.usage", "health.probes"}


async def test_junit_has_a_case_for_each_check_and_a_failure_for_each_finding() -> None:
    async with serving(Upright("other words for 400")) as url:
        report = await run(small(url, only=("errors", "streaming.usage", "health.probes")), Watching())
    root = ET.fromstring(junit(report))
    suites = {suite.get("name"): suite for suite in root}
    assert set(suites) == {"errors", "streaming", "health"}
    assert sum(int(suite.get("tests", "")) for suite in suites.values()) == len(report.results)
    (failure,) = root.iter("failure")
    assert failure.get("type") == "required"
    assert "bad_request_error" in str(failure.text)
    (skipped,) = suites["health"].iter("skipped")
    assert str(skipped.get("message")).startswith("not offered: ")


async def refuses_chat(method: str, path: str, headers: Headers, body: bytes) -> Answered:
    return (500, json.dumps({"error": {"message": "down", "type": "internal_error", "code": "server_error"}}), {})


async def test_an_endpoint_that_does_not_chat_is_a_finding_whatever_was_chosen() -> None:
    async with serving(refuses_chat) as url:
        report = await run(small(url, only=("sessions.echo", "retries")), Watching())
    assert named(report, Outcome.FAILS) == {"chat.published"}
    assert {"sessions.echo", "retries.counted_once"} <= named(report, Outcome.NOT_TOLD)
    assert (report.exit_code, report.verdict) == (1, "findings")


async def test_an_endpoint_that_goes_away_is_one_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    async def refused(self: Endpoint, ask: Ask) -> Answer:
        raise Gone("connection refused")

    class Cutting(Watching):
        def began(self, checks: int) -> None:
            super().began(checks)
            monkeypatch.setattr(Endpoint, "ask_once", refused)

    async with serving(Upright()) as url:
        report = await run(small(url, only=("errors.role", "errors.messages", "chat.nulls")), Cutting())
    assert len(report.findings) == 1, told(report)
    assert "cannot be reached any more" in report.findings[0].note
    assert report.exit_code == 1


async def test_a_limit_of_requests_is_waited_for_and_never_taken_for_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    server, due = Upright(), {"errors.role": 6}

    async def limited(method: str, path: str, headers: Headers, body: bytes) -> Answered:
        if b"wizard" in body and due["errors.role"] > 0:
            due["errors.role"] -= 1
            return busy()
        return busy() if b"usage" in body else await server(method, path, headers, body)

    def busy() -> Answered:
        error = {"message": "Slow down", "type": "rate_limit_error", "code": "rate_limit_exceeded"}
        return 429, json.dumps({"error": error}), {"Retry-After": "1", "retry-after-ms": "1"}

    monkeypatch.setattr("greenroom.rehearsal.endpoint._LONGEST_PAUSE", 0.01)
    async with serving(limited) as url:
        report = await run(small(url, only=("errors.role", "streaming.usage")), Watching())
    assert named(report, Outcome.HOLDS) == {"errors.role"}, told(report)
    assert named(report, Outcome.NOT_TOLD) == {"streaming.usage"}
    assert "requests are limited" in told(report)


async def test_a_model_that_is_wanted_and_not_listed_is_asked_for_once() -> None:
    async def silent(method: str, path: str, headers: Headers, body: bytes) -> Answered:
        return await foreign(method, path.replace("models", "nothing"), headers, body)

    async with serving(silent) as url:
        report = await run(small(url), Watching())
        named_one = await run(small(url, model="tiny", only=("chat.published",)), Watching())
    results = {result.check.name: result for result in report.results}
    assert results["chat.published"].evidence is not None
    assert results["chat.published"].evidence.right.endswith("it speaks of a model, and --agent-model NAME sends one")
    assert results["users.create"].note == "it does not chat: a first message was answered 400 (chat.published)"
    assert report.left_behind == ""
    assert named_one.exit_code == 0


async def test_a_connection_that_ends_after_an_answer_is_not_held_against_the_next_request() -> None:
    """So do servers that have failed; a client sees it when its next request is under way."""
    answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-type: application/json\r\n\r\n{}"
    refused = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal refused
        for answered in range(2):
            head = await reader.readuntil(b"\r\n\r\n")
            if answered or b"/never" in head:
                refused += 1
                break
            writer.write(answer)
            await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with httpx2.AsyncClient(base_url=url, timeout=20) as client:
            endpoint = Endpoint(client, {})
            assert (await endpoint.ask("GET", "/first")).status == 200
            assert (await endpoint.ask("GET", "/second")).status == 200
            assert refused == 1
            with pytest.raises(NoAnswer, match="GET /never: "):
                await endpoint.ask("GET", "/never")
