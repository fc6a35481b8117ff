"""Turns as OpenTelemetry spans, sent to a collector. Needs the extra `otel`: imported only when the setting `otel` is on.

The attributes are those of OpenTelemetry's conventions for generative AI (`invoke_agent`, `execute_tool`). Nothing of what is
said goes into a span: no text, argument, result or exception's message.
"""

import logging
import os
import threading
import time
from typing import Final

from opentelemetry import context, trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.environment_variables import OTEL_EXPORTER_OTLP_PROTOCOL, OTEL_EXPORTER_OTLP_TRACES_PROTOCOL
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, OTELResourceDetector, Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from greenroom.cli.process import CannotStart
from greenroom.cli.version import VERSION

OPERATION: Final = "gen_ai.operation.name"
PROVIDER: Final = "gen_ai.provider.name"
AGENT_ID: Final = "gen_ai.agent.id"
AGENT: Final = "gen_ai.agent.name"
CONVERSATION: Final = "gen_ai.conversation.id"
INPUT_TOKENS: Final = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS: Final = "gen_ai.usage.output_tokens"
TOOL: Final = "gen_ai.tool.name"
TOOL_CALL: Final = "gen_ai.tool.call.id"
TOOL_TYPE: Final = "gen_ai.tool.type"
ERROR: Final = "error.type"
TURN: Final = "greenroom.turn.number"
REQUEST: Final = "greenroom.request.id"

_FLUSH_SECONDS: Final = 1.5
"""What is left to send when the process stops is given so long; within what a process has for closing (process.GRACE)."""
_SILENCE: Final = 60.0
"""Seconds between two log lines about a collector that does not answer."""
_SENDERS: Final = (OTLPSpanExporter.__module__, "opentelemetry.sdk._shared_internal")
"""The loggers that say of each batch that it could not be sent, or of each span that there are too many."""
_PROTOCOL: Final = "http/protobuf"
_FAILED: Final = trace.Status(trace.StatusCode.ERROR)


class Tracing:
    """A `Tracer` of the core. `processor` is given each span that is over, and must not wait for anything."""

    def __init__(self, processor: SpanProcessor) -> None:
        own = {SERVICE_NAME: "greenroom", SERVICE_VERSION: VERSION}
        # what the environment says of the resource is laid over ours
        resource = Resource.create(own).merge(OTELResourceDetector().detect())
        # the process may end without its exit handlers: `stop` is what sends the rest
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("greenroom", VERSION)
        self._propagator = TraceContextTextMapPropagator()

    def agent(self, id: str, name: str, session_id: str, number: int, request_id: str, traceparent: str) -> "AgentRun":
        parent = context.Context()
        if traceparent:
            parent = self._propagator.extract({"traceparent": traceparent}, parent)
        span = self._tracer.start_span(
            f"invoke_agent {name}",
            parent,
            attributes={
                OPERATION: "invoke_agent",
                PROVIDER: "greenroom",
                AGENT_ID: id,
                AGENT: name,
                CONVERSATION: session_id,
                TURN: number,
                REQUEST: request_id,
            },
        )
        return AgentRun(self._tracer, span)

    def share(self) -> None:
        """Instrumented libraries in the agent send their spans the same way, unless the agent has seen to that itself."""
        if isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
            trace.set_tracer_provider(self._provider)

    def stop(self) -> None:
        """Sends what is left, within bounds."""
        # not in the loop's threads, for which the loop would wait
        thread = threading.Thread(target=self._provider.shutdown, name="greenroom-traces-flush", daemon=True)
        thread.start()
        thread.join(_FLUSH_SECONDS)


class _Current:
    """A span that is the current one, for the code that runs here, until `leave`."""

    def __init__(self, span: trace.Span) -> None:
        self._span = span
        self._context = span.get_span_context()
        self._before = context.attach(trace.set_span_in_context(span))

    @property
    def traceparent(self) -> str:
        own = self._context
        if not own.is_valid:  # OTEL_SDK_DISABLED, and nothing to pass on
            return ""
        return f"00-{own.trace_id:032x}-{own.span_id:016x}-{own.trace_flags:02x}"

    def leave(self) -> None:
        context.detach(self._before)

    def _fail(self, error: str) -> None:
        self._span.set_status(_FAILED)
        self._span.set_attribute(ERROR, error)


class AgentRun(_Current):
    """An `AgentSpan`."""

    def __init__(self, tracer: trace.Tracer, span: trace.Span) -> None:
        super().__init__(span)
        self._tracer = tracer
        self._settled = False

    def tool(self, name: str, call_id: str) -> "ToolRun":
        around = context.get_current()
        if trace.get_current_span(around).get_span_context().trace_id != self._context.trace_id:
            around = trace.set_span_in_context(self._span, around)  # called from outside the agent's own code
        attributes = {OPERATION: "execute_tool", TOOL: name, TOOL_CALL: call_id, TOOL_TYPE: "function"}
        return ToolRun(self._tracer.start_span(f"execute_tool {name}", around, attributes=attributes))

    def replied(self, prompt_tokens: int, completion_tokens: int) -> None:
        self._settled = True
        self._span.set_attributes({INPUT_TOKENS: prompt_tokens, OUTPUT_TOKENS: completion_tokens})

    def failed(self, error: str) -> None:
        self._settled = True
        self._fail(error)

    def end(self) -> None:
        if not self._settled:
            self._fail("cancelled")
        self._span.end()
        self.leave()


class ToolRun(_Current):
    """A `ToolSpan`."""

    def end(self, error: str = "") -> None:
        if error:
            self._fail(error)
        self._span.end()


class _Seldom(logging.Filter):
    """One line a minute is enough to know that the collector is away."""

    def __init__(self) -> None:
        super().__init__()
        self._next = 0.0

    def filter(self, record: logging.LogRecord) -> bool:
        now = time.monotonic()
        if now < self._next:
            return False
        self._next = now + _SILENCE
        return True


def start_tracing() -> Tracing:
    """Spans go where OpenTelemetry's own variables say (`OTEL_EXPORTER_OTLP_ENDPOINT` and the rest), from a thread of their
    own. Raises `CannotStart`."""
    for variable in (OTEL_EXPORTER_OTLP_TRACES_PROTOCOL, OTEL_EXPORTER_OTLP_PROTOCOL):
        asked = os.environ.get(variable, "") or _PROTOCOL
        if asked != _PROTOCOL:
            raise CannotStart(f"otel: {variable} is {asked}; spans are sent as {_PROTOCOL} (a collector's port 4318)")
    try:
        tracing = Tracing(BatchSpanProcessor(OTLPSpanExporter()))
    except ValueError as problem:
        raise CannotStart(f"otel: a variable OTEL_… cannot be used: {problem}") from None
    seldom = _Seldom()
    for name in _SENDERS:
        logging.getLogger(name).addFilter(seldom)
    return tracing
