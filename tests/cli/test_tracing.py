"""`otel`: spans from a real server to a real receiver of OTLP over HTTP (docs/tracing.md).

The core alone sends them: where it is all the same to the edge, there is none.
"""

import contextlib
import http.server
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import httpx2
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from running_sandbox import PATIENCE, Sandbox, run

from greenroom.v1 import agent_pb2, agent_pb2_grpc
from greenroom.v1.turn_pb2 import Message

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACE = f"00-{TRACE_ID}-00f067aa0ba902b7-01"
SERVE = ("serve", "seen:agent", "--port", "0", "--grpc-port", "0")
CORE = ("core", "seen:agent", "--grpc-port", "0")

AGENT = '''
import sys
from greenroom.sdk import Agent, Turn, tool

@tool
def price(item: str) -> int:
    """Says what it costs."""
    return 3

agent = Agent("shop", tools=[price])

@agent.reply
async def reply(turn: Turn) -> str:
    match turn.text:
        case "modules":
            return " ".join(sorted(name for name in sys.modules if name.startswith("opentelemetry"))) or "none"
        case "library":
            from opentelemetry import trace
            with trace.get_tracer("a library").start_as_current_span("chat model"):
                await turn.call(price, item="cup")
        case "fail":
            raise ValueError("broken")
        case _:
            await turn.call(price, item="cup")
    return turn.traceparent
'''


class Collector:
    """Receives spans, or answers that it does not."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, dict[str, str], ExportTraceServiceRequest]] = []
        self.refused = 0
        self.refuses = False
        collector = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if collector.refuses:
                    collector.refused += 1
                else:
                    received = ExportTraceServiceRequest.FromString(body)
                    collector.requests.append((self.path, {k.lower(): v for k, v in self.headers.items()}, received))
                self.send_response(400 if collector.refuses else 200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                return

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    @property
    def spans(self) -> list[Any]:
        resources = [resource for _, _, received in self.requests for resource in received.resource_spans]
        return [span for resource in resources for scope in resource.scope_spans for span in scope.spans]

    def of_trace(self, *, given: bool) -> dict[str, Any]:
        """By name: the spans of the trace that a client named, or all others."""
        return {span.name: span for span in self.spans if (span.trace_id.hex() == TRACE_ID) == given}


@contextlib.contextmanager
def collecting() -> Iterator[Collector]:
    collector = Collector()
    thread = threading.Thread(target=collector.server.serve_forever, args=(0.01,))
    thread.start()
    yield collector
    collector.server.shutdown()
    collector.server.server_close()
    thread.join(PATIENCE)


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as collector:
        yield collector


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "seen.py").write_text(AGENT, encoding="utf-8")
    return tmp_path


def run_turn(core: Sandbox, text: str, session: str, traceparent: str = "") -> str:
    """What the agent says, without an edge."""
    said = [Message(role="user", content=text)]
    request = agent_pb2.RunTurnRequest(messages=said, session_id=session, traceparent=traceparent)
    with grpc.insecure_channel(core.addresses["grpc"]) as channel:
        stub = agent_pb2_grpc.AgentServiceStub(channel)
        return stub.RunTurn(request, timeout=PATIENCE).reply.text


def attributes(owner: Any) -> dict[str, Any]:
    return {item.key: getattr(item.value, item.value.WhichOneof("value")) for item in owner.attributes}


@dataclass(frozen=True)
class Traced:
    """A server that is gone, and what has been received of it: a turn in the trace of its client, and one in none."""

    collector: Collector
    answer: httpx2.Response
    """To the first turn."""


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Traced]:
    folder = tmp_path_factory.mktemp("traced")
    (folder / "seen.py").write_text(AGENT, encoding="utf-8")
    with collecting() as collector:
        surroundings = {
            "GREENROOM_OTEL": "true",
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
            "OTEL_EXPORTER_OTLP_HEADERS": "x-team=blue",
            "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=staging",
        }
        with Sandbox(folder, *SERVE, **surroundings) as sandbox:
            answer = sandbox.chat("what does it cost", headers={"traceparent": TRACE})
            sandbox.said("library", "s2")
            assert sandbox.stop() == 0
        yield Traced(collector, answer)


def test_spans_of_a_server_arrive_at_the_latest_when_it_stops(traced: Traced) -> None:
    [(path, headers, received)] = traced.collector.requests  # they come together
    assert (path, headers["x-team"], headers["content-type"]) == ("/v1/traces", "blue", "application/x-protobuf")
    [resource] = received.resource_spans
    about = attributes(resource.resource)
    assert (about["service.name"], about["deployment.environment.name"]) == ("greenroom", "staging")
    spans, answer = traced.collector.of_trace(given=True), traced.answer
    run_span, call = spans["invoke_agent shop"], spans["execute_tool price"]
    assert (run_span.trace_id.hex(), run_span.parent_span_id.hex()) == (TRACE_ID, "00f067aa0ba902b7")
    assert (call.trace_id, call.parent_span_id) == (run_span.trace_id, run_span.span_id)
    body = answer.json()
    assert body["choices"][0]["message"]["content"] == f"00-{TRACE_ID}-{run_span.span_id.hex()}-01"
    assert attributes(run_span)["gen_ai.agent.id"] == "seen:agent"
    assert attributes(run_span)["gen_ai.conversation.id"] == "s1"
    assert attributes(run_span)["greenroom.request.id"] == answer.headers["x-request-id"]
    assert attributes(run_span)["gen_ai.usage.input_tokens"] == body["usage"]["prompt_tokens"]
    assert attributes(call)["gen_ai.tool.call.id"] == body["choices"][0]["message"]["tool_calls"][0]["id"]


def test_the_environment_names_the_service_and_samples(folder: Path, collector: Collector) -> None:
    surroundings = {
        "GREENROOM_OTEL": "true",
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{collector.url}/elsewhere",
        "OTEL_SERVICE_NAME": "shop-sandbox",
        "OTEL_TRACES_SAMPLER": "parentbased_always_off",
    }
    with Sandbox(folder, *CORE, **surroundings) as core:
        run_turn(core, "of no trace", "s1")
        run_turn(core, "hi", "s1", TRACE)
        assert core.stop() == 0
    [(path, _, received)] = collector.requests
    assert path == "/elsewhere"
    assert attributes(received.resource_spans[0].resource)["service.name"] == "shop-sandbox"
    assert {span.trace_id.hex() for span in collector.spans} == {TRACE_ID}


def test_a_librarys_spans_stand_between_the_agent_and_what_it_does(traced: Traced) -> None:
    spans = traced.collector.of_trace(given=False)
    assert spans["chat model"].parent_span_id == spans["invoke_agent shop"].span_id
    assert spans["execute_tool price"].parent_span_id == spans["chat model"].span_id


@pytest.fixture
def nobody() -> Iterator[str]:
    """An address of this test's at which nobody listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"


@pytest.mark.parametrize("answers", [True, False])
def test_a_collector_that_takes_nothing_is_named_in_the_log_once_and_costs_no_turn(
    folder: Path, collector: Collector, nobody: str, answers: bool
) -> None:
    collector.refuses = True
    surroundings = {
        "GREENROOM_OTEL": "true",
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url if answers else nobody,
        "OTEL_BSP_SCHEDULE_DELAY": "1",
    }
    with Sandbox(folder, *CORE, **surroundings) as core:
        for number in range(20):
            run_turn(core, "hi", f"s{number}")
        assert core.stop() == 0
    [line] = [line for line in core.log().splitlines() if "opentelemetry" in line]
    assert "spans batch" in line
    assert "Traceback" not in core.log()
    assert (collector.refused > 1) == answers


def test_a_collector_that_never_answers_keeps_no_server_from_stopping_in_good_order(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        surroundings = {"GREENROOM_OTEL": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_BSP_SCHEDULE_DELAY": "1"}
        with Sandbox(folder, *SERVE, "--drain-timeout", "0.5", **surroundings) as sandbox:
            for number in range(3):
                sandbox.said("hi", f"s{number}")
            assert sandbox.stop() == 0
            assert "did not stop in time" not in sandbox.log()


def test_without_the_setting_opentelemetry_is_not_even_imported(folder: Path) -> None:
    with Sandbox(folder, *CORE) as core:
        assert run_turn(core, "modules", "s1") == "none"
        assert run_turn(core, "hi", "s2", TRACE) == TRACE


def test_a_missing_extra_is_named(folder: Path) -> None:
    hiding = folder / "opentelemetry" / "sdk"
    hiding.mkdir(parents=True)
    (hiding / "__init__.py").write_text('raise ModuleNotFoundError("none here", name="opentelemetry.sdk")')
    failed = run(folder, *CORE, "--otel")
    assert failed.returncode == 2
    assert "greenroom: otel: OpenTelemetry is not installed; pip install 'greenroom[otel]'" in failed.stderr


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "OTEL_EXPORTER_OTLP_PROTOCOL is grpc; spans are sent as http/protobuf"),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "100000", "otel: a variable OTEL_… cannot be used: max_export_batch_size"),
    ],
)
def test_what_cannot_be_sent_as_asked_is_refused_at_start(folder: Path, variable: str, value: str, said: str) -> None:
    failed = run(folder, *CORE, GREENROOM_OTEL="1", **{variable: value})
    assert failed.returncode == 2
    assert said in failed.stderr
    assert "Traceback" not in failed.stderr
