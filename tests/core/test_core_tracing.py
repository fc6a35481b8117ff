"""Turns as spans, by OpenTelemetry's conventions for generative AI (docs/tracing.md)."""

import asyncio
import json
import re
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest
from core_running import PATIENCE, Running, Serve, request, until
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from greenroom.cli.tracing import Tracing
from greenroom.core.agent import as_agent
from greenroom.core.limits import Limits
from greenroom.sdk import Agent, Call, Reply, ToolError, ToolFailed, Turn, Usage, tool
from greenroom.v1 import tool_pb2

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACE = f"00-{TRACE_ID}-00f067aa0ba902b7-01"

Trace = Callable[..., Awaitable[Running]]
"""The fixture `traced`: `core = await traced(agent, limits=…)`."""


class Spans:
    """The spans that are over."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self.tracing = Tracing(SimpleSpanProcessor(self._exporter))

    @property
    def all(self) -> list[ReadableSpan]:
        """In order of start."""
        return sorted(self._exporter.get_finished_spans(), key=lambda span: span.start_time or 0)

    def named(self, name: str) -> ReadableSpan:
        [span] = [span for span in self.all if span.name == name]
        return span


@pytest.fixture
def spans(caplog: pytest.LogCaptureFixture) -> Iterator[Spans]:
    """OpenTelemetry says in the log what it is misused for: a span that ends twice, a context that is left elsewhere."""
    yield Spans()
    assert [record for record in caplog.records if record.name.startswith("opentelemetry")] == []


@pytest.fixture
def traced(serve: Serve, spans: Spans) -> Trace:
    """Serves an agent whose turns are traced."""

    async def start(agent: Agent, **options: Any) -> Running:
        return await serve(agent, tracer=spans.tracing, **options)

    return start


def as_traceparent(span: ReadableSpan) -> str:
    context = span.get_span_context()
    assert context is not None
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


def current() -> str:
    """The span that an instrumented library would take for its parent; "" for none."""
    context = trace.get_current_span().get_span_context()
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}" if context.is_valid else ""


def parent_of(span: ReadableSpan) -> str:
    """ "" for the first of its trace."""
    above = span.parent
    return f"00-{above.trace_id:032x}-{above.span_id:016x}-{above.trace_flags:02x}" if above else ""


def error_of(span: ReadableSpan) -> tuple[str, Any, str | None]:
    return span.status.status_code.name, (span.attributes or {}).get("error.type"), span.status.description


def failing(kind: str) -> Exception:
    return ToolError("the secret", code="not_found") if kind == "not_found" else ValueError("the secret")


@tool
async def look(call: Call) -> list[str]:
    """What it would pass on, and what a library of its would see."""
    return [call.traceparent, current()]


@tool
def look_in_a_thread(call: Call) -> list[str]:
    """The same, as a plain function."""
    return [call.traceparent, current()]


async def test_a_run_of_the_agent_is_a_span_below_the_requests(traced: Trace, spans: Spans) -> None:
    async def reply(turn: Turn) -> Reply:
        return Reply("hello", usage=Usage(prompt_tokens=812, completion_tokens=40))

    core = await traced(as_agent(reply, "support"))
    await core.say("hi", sid="s1", traceparent=TRACE, request_id="req_1")
    [span] = spans.all
    assert (span.name, span.kind.name, parent_of(span)) == ("invoke_agent support", "INTERNAL", TRACE)
    assert error_of(span) == ("UNSET", None, None)
    assert dict(span.attributes or {}) == {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.provider.name": "greenroom",
        "gen_ai.agent.id": "support",
        "gen_ai.agent.name": "support",
        "gen_ai.conversation.id": "s1",
        "gen_ai.usage.input_tokens": 812,
        "gen_ai.usage.output_tokens": 40,
        "greenroom.turn.number": 1,
        "greenroom.request.id": "req_1",
    }


@pytest.mark.parametrize("given", ["", "no traceparent"])
async def test_without_a_trace_of_the_requests_the_run_begins_one(traced: Trace, spans: Spans, given: str) -> None:
    async def reply(turn: Turn) -> str:
        return turn.traceparent

    core = await traced(as_agent(reply, "support"))
    seen = [(await core.say("hi", sid=sid, traceparent=given)).text for sid in ("a", "b")]
    assert [parent_of(span) for span in spans.all] == ["", ""]
    assert [as_traceparent(span) for span in spans.all] == seen
    assert seen[0].split("-")[1] != seen[1].split("-")[1]


async def test_agent_and_tools_pass_on_their_own_spans_and_libraries_see_them(traced: Trace, spans: Spans) -> None:
    agent = Agent("support", tools=[look, look_in_a_thread])

    @agent.reply
    async def reply(turn: Turn) -> str:
        before = [turn.traceparent, current()]
        calls = [await turn.call(look), await turn.call(look_in_a_thread)]
        return json.dumps([before, *calls, [turn.traceparent, current()]])

    core = await traced(agent)
    answer = await core.say("hi", traceparent=TRACE)
    run, first, second = spans.all
    assert [run.name, first.name, second.name] == [
        "invoke_agent support",
        "execute_tool look",
        "execute_tool look_in_a_thread",
    ]
    assert [parent_of(first), parent_of(second)] == [as_traceparent(run)] * 2
    own = [as_traceparent(span) for span in (run, first, second, run)]
    assert json.loads(answer.text) == [[traceparent, traceparent] for traceparent in own]
    assert dict(first.attributes or {}) == {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "look",
        "gen_ai.tool.call.id": answer.tool_calls[0].id,
        "gen_ai.tool.type": "function",
    }
    assert (first.kind.name, error_of(first)) == ("INTERNAL", ("UNSET", None, None))
    assert (run.start_time or 0) <= (first.start_time or 0) <= (first.end_time or 0) <= (run.end_time or 0)


async def test_what_the_caller_does_not_record_is_not_recorded_but_passed_on(traced: Trace, spans: Spans) -> None:
    agent = Agent("support", tools=[look])

    @agent.reply
    async def reply(turn: Turn) -> str:
        return json.dumps([turn.traceparent, await turn.call(look)])

    core = await traced(agent)
    own, [called, seen] = json.loads((await core.say("hi", traceparent=f"{TRACE[:-2]}00")).text)
    assert spans.all == []
    assert all(re.fullmatch(f"00-{TRACE_ID}-[0-9a-f]{{16}}-00", passed_on) for passed_on in (own, called, seen))
    assert len({own, called, f"{TRACE[:-2]}00"}) == 3
    assert called == seen


@pytest.mark.parametrize("plain", [True, False])
async def test_tools_that_call_tools_nest(traced: Trace, spans: Spans, plain: bool) -> None:
    @tool(name="outer")
    async def outer(turn: Turn) -> Any:
        """Calls another tool."""
        return await turn.call(look)

    @tool(name="outer")
    def outer_in_a_thread(turn: Turn) -> Any:
        """The same from a thread."""
        return turn.call_sync(look)

    calls = outer_in_a_thread if plain else outer
    agent = Agent("support", tools=[calls, look])

    def in_a_thread(turn: Turn) -> str:
        return json.dumps(turn.call_sync(calls))

    async def on_the_loop(turn: Turn) -> str:
        return json.dumps(await turn.call(calls))

    agent.reply(in_a_thread if plain else on_the_loop)
    core = await traced(agent)
    await core.say("hi")
    run, above, below = spans.all
    assert [parent_of(run), parent_of(above), parent_of(below)] == ["", as_traceparent(run), as_traceparent(above)]


async def test_calls_side_by_side_are_all_below_the_agent(traced: Trace, spans: Spans) -> None:
    agent = Agent("support", tools=[look, look_in_a_thread])

    @agent.reply
    async def reply(turn: Turn) -> str:
        calls = [turn.call(look), turn.call(look_in_a_thread), turn.call(look)]
        return json.dumps(await asyncio.gather(*calls))

    core = await traced(agent)
    seen = json.loads((await core.say("hi")).text)
    run, *calls = spans.all
    assert [parent_of(call) for call in calls] == [as_traceparent(run)] * 3
    assert {passed_on for passed_on, _ in seen} == {as_traceparent(call) for call in calls}
    assert all(passed_on == library for passed_on, library in seen)


@pytest.mark.parametrize("kind", ["not_found", "ValueError", "timeout", "invalid_arguments"])
async def test_a_failed_call_is_an_error_by_its_type_and_the_turn_is_none(
    traced: Trace, spans: Spans, kind: str
) -> None:
    over = threading.Event()

    @tool(timeout=0.01 if kind == "timeout" else None)
    def fails(n: int) -> str:
        """Fails."""
        if kind == "timeout":
            over.wait(PATIENCE)
            return ""
        raise failing(kind)

    agent = Agent("support", tools=[fails, look])

    @agent.reply
    async def reply(turn: Turn) -> str:
        arguments = {} if kind == "invalid_arguments" else {"n": 1}
        with pytest.raises(ToolFailed) as failed:
            await turn.toolbox.call(fails, arguments)
        return f"{failed.value.type} {current() == turn.traceparent}"

    core = await traced(agent)
    assert (await core.say("hi")).text == f"{kind} True"
    over.set()
    assert error_of(spans.named("execute_tool fails")) == ("ERROR", kind, None)
    assert error_of(spans.named("invoke_agent support")) == ("UNSET", None, None)


@pytest.mark.parametrize(
    ("text", "reason", "error"),
    [
        ("raise", "AGENT_FAILED", "ValueError"),
        ("nothing", "AGENT_FAILED", "AgentError"),
        ("long", "LIMIT_EXCEEDED", "limit_exceeded"),
        ("hang", "TURN_TIMEOUT", "turn_timeout"),
    ],
)
async def test_a_failed_run_is_an_error(traced: Trace, spans: Spans, text: str, reason: str, error: str) -> None:
    async def reply(turn: Turn) -> Any:
        match turn.text:
            case "raise":
                raise ValueError("the secret")
            case "long":
                return "x" * 2000
            case "hang":
                await asyncio.Event().wait()
        return None

    limits = Limits(turn_timeout=0.1 if text == "hang" else PATIENCE, reply_bytes=1000)
    core = await traced(as_agent(reply, "support"), limits=limits)
    assert (await core.refuses(text)).reason == reason
    [span] = spans.all
    assert error_of(span) == ("ERROR", error, None)
    assert "gen_ai.usage.input_tokens" not in (span.attributes or {})


async def test_a_cancelled_run_and_its_call_are_errors(traced: Trace, spans: Spans) -> None:
    begun = asyncio.Event()

    @tool
    async def hangs() -> None:
        """Never answers."""
        begun.set()
        await asyncio.Event().wait()

    agent = Agent("support", tools=[hangs])

    @agent.reply
    async def reply(turn: Turn) -> str:
        return str(await turn.call(hangs))

    core = await traced(agent)
    call = core.agents.RunTurn(request("hi"), timeout=PATIENCE)
    waiting = asyncio.ensure_future(call)
    await begun.wait()
    waiting.cancel()
    await until(lambda: len(spans.all) == 2)
    assert [error_of(span) for span in spans.all] == [("ERROR", "cancelled", None)] * 2


async def test_a_call_that_outlives_its_turn_ends_with_it(traced: Trace, spans: Spans) -> None:
    begun, go_on, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    @tool
    async def slow() -> str:
        """Takes its time."""
        begun.set()
        await go_on.wait()
        return "late"

    agent = Agent("support", tools=[slow])
    left: list[asyncio.Task[Any]] = []

    @agent.reply
    async def reply(turn: Turn) -> str:
        left.append(asyncio.ensure_future(turn.call(slow)))
        left[0].add_done_callback(lambda _: ended.set())
        await begun.wait()
        return "done"

    core = await traced(agent)
    assert (await core.say("hi")).text == "done"
    assert error_of(spans.named("execute_tool slow")) == ("ERROR", "cancelled", None)
    go_on.set()
    await asyncio.wait_for(ended.wait(), PATIENCE)
    assert left[0].cancelled() or left[0].exception() is not None
    assert len(spans.all) == 2


async def test_turns_side_by_side_keep_their_traces_apart(traced: Trace, spans: Spans) -> None:
    many, inside = 24, asyncio.Event()
    agent = Agent("support", tools=[look, look_in_a_thread])
    here: list[str] = []

    @agent.reply
    async def reply(turn: Turn) -> AsyncIterator[str]:
        here.append(turn.session_id)
        if len(here) == many:
            inside.set()
        await inside.wait()  # all of them run now
        yield json.dumps([turn.traceparent, current()])
        for called in (look, look_in_a_thread):
            yield "\n" + json.dumps(await turn.call(called))
        yield "\n" + json.dumps([turn.traceparent, current()])

    core = await traced(agent)
    traces = [f"00-{n + 1:032x}-{n + 1:016x}-01" for n in range(many)]
    said = await asyncio.gather(*(core.say("hi", sid=f"s{n}", traceparent=traces[n]) for n in range(many)))
    for n in range(many):
        run, *calls = [span for span in spans.all if as_traceparent(span).startswith(traces[n][:36])]
        assert parent_of(run) == traces[n]
        assert [parent_of(call) for call in calls] == [as_traceparent(run)] * 2
        own = [as_traceparent(span) for span in (run, *calls, run)]
        assert [json.loads(line) for line in said[n].text.splitlines()] == [[mine, mine] for mine in own]


async def test_a_call_with_the_turns_token_is_below_its_agent(traced: Trace, spans: Spans) -> None:
    agent, gate, tokens = Agent("remote", tools=[look]), asyncio.Event(), list[str]()

    @agent.reply
    async def reply(turn: Turn) -> str:
        tokens.append(turn.token)
        await gate.wait()
        return "done"

    core = await traced(agent)
    turn = asyncio.ensure_future(core.say("hi"))
    await until(lambda: bool(tokens))
    await core.tools.InvokeTool(tool_pb2.InvokeToolRequest(name="look", turn_token=tokens[0]), timeout=PATIENCE)
    gate.set()
    await turn
    run, call = spans.all
    assert parent_of(call) == as_traceparent(run)


async def test_a_reply_that_is_given_again_is_no_run(traced: Trace, spans: Spans) -> None:
    async def reply(turn: Turn) -> str:
        return "hello"

    core = await traced(as_agent(reply, "support"))
    for _ in range(2):
        await core.say("hi", idempotency_key="k", traceparent=TRACE)
    assert len(spans.all) == 1


async def test_nothing_that_is_said_is_in_a_span(traced: Trace, spans: Spans) -> None:
    @tool
    def fails(about: str) -> str:
        """Fails."""
        raise ToolError(about)

    agent = Agent("support", tools=[fails], instructions="the secret")

    @agent.reply
    async def reply(turn: Turn) -> str:
        await turn.call(fails, about="the secret")
        return "the secret"

    core = await traced(agent)
    await core.refuses("the secret", metadata_json='{"a":"the secret"}')
    run, call = spans.all
    assert error_of(run) == ("ERROR", "ToolFailed", None)
    assert "secret" not in run.to_json() + call.to_json()
    assert (run.events, call.events) == ((), ())


async def test_names_and_codes_that_have_no_utf_8_keep_no_span_from_being_sent(traced: Trace, spans: Spans) -> None:
    @tool
    def coded() -> str:
        """Fails with a code that is no text."""
        raise ToolError("no", code="a\ud800")

    agent = Agent("support", tools=[coded])

    @agent.reply
    async def reply(turn: Turn) -> str:
        for name in ("l\ud800k", "coded"):
            with pytest.raises(ToolFailed):
                await turn.call(name)
        return "done"

    core = await traced(agent)
    await core.say("hi")
    sent = encode_spans(spans.all).SerializeToString()
    assert b"execute_tool l?k" in sent
    assert b"a?" in sent


async def test_a_run_belongs_to_its_request_and_not_to_what_happens_to_be_open(spans: Spans) -> None:
    around = spans.tracing.agent("shop:agent", "support", "s1", 1, "req_1", TRACE)
    run = spans.tracing.agent("shop:agent", "inner", "s2", 1, "req_2", "")
    assert current() == run.traceparent
    run.end()
    assert current() == around.traceparent
    around.end()
    assert parent_of(spans.named("invoke_agent inner")) == ""


async def test_after_a_turn_no_span_of_its_is_the_current_one(spans: Spans) -> None:
    run = spans.tracing.agent("shop:agent", "support", "s1", 1, "req_1", TRACE)
    call = run.tool("look", "call_1")
    assert current() == call.traceparent
    call.leave()
    call.end()
    assert current() == run.traceparent
    run.replied(1, 2)
    run.end()
    assert current() == ""


@pytest.mark.parametrize("given", [TRACE, ""])
async def test_tracing_that_is_switched_off_hands_the_request_on(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    agent = Agent("support", tools=[look])

    @agent.reply
    async def reply(turn: Turn) -> str:
        return json.dumps([turn.traceparent, (await turn.call(look))[0]])

    switched_off = Spans()
    core = await serve(agent, tracer=switched_off.tracing)
    assert json.loads((await core.say("hi", traceparent=given)).text) == [given, given]
    assert switched_off.all == []
