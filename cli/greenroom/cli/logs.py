"""The log's form, set up once per process. Every logger, ours and the libraries', goes through here to standard error."""

import logging
import os
import sys
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any, BinaryIO, Literal, TextIO, cast

import structlog
from structlog.typing import EventDict, Processor

from greenroom.cli.redaction import RedactingStream
from greenroom.core.redaction import Redactor

Format = Literal["json", "console"]


@dataclass(frozen=True, slots=True)
class Log:
    """How this process logs."""

    format: Format
    stream: BinaryIO
    """For whole lines that are made elsewhere: secrets are hidden on the way."""


def choose_format(chosen: Format | None, stream: TextIO | None = None) -> Format:
    """The setting, or console on a terminal and json elsewhere."""
    return chosen or ("console" if (stream or sys.stderr).isatty() else "json")


def quiet_grpc() -> None:
    """Its C part writes lines of its own to standard error, past every logger. To be called before it is imported; a
    variable that is set stays."""
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")


def configure(process: str, chosen: Format, level: str, redactor: Redactor) -> Log:
    """Sends every logger of the process to standard error, redacted. `process` names this one in a log of several."""

    def name_process(_logger: object, _method: str, event: EventDict) -> EventDict:
        event.setdefault("process", process)
        return event

    def redact(_logger: object, _method: str, event: EventDict) -> EventDict:
        return redactor.event(event)

    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        name_process,
    ]
    render: list[Processor] = (
        [structlog.processors.format_exc_info, _message_first, redact, structlog.processors.JSONRenderer()]
        if chosen == "json"
        else [
            structlog.processors.format_exc_info,
            redact,
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), timestamp_key="time"),
        ]
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[
                *shared,
                structlog.stdlib.PositionalArgumentsFormatter(),
                structlog.stdlib.ExtraAdder(),
            ],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *render],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    logging.captureWarnings(True)
    for noisy in ("uvicorn", "uvicorn.error", "uvicorn.access", "grpc", "grpc._cython", "grpc.aio"):
        library = logging.getLogger(noisy)
        library.handlers.clear()
        library.propagate = True
    # what a library says while it works is for its own developers
    for quiet in ("uvicorn", "grpc", "alembic", "sqlalchemy", "asyncio", "httpx2", "httpcore2", "openai"):
        logging.getLogger(quiet).setLevel(max(logging.WARNING, root.level) if level != "debug" else logging.INFO)
    # what goes wrong with a server is told once, by us, without what the server says
    for silent in ("mcp", "client"):
        logging.getLogger(silent).setLevel(logging.CRITICAL)
    # it warns of each stream that a stopping server ends, which is how servers stop
    logging.getLogger("grpc._cython").setLevel(logging.ERROR)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(root.level),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    return Log(chosen, cast("BinaryIO", RedactingStream(sys.stderr.buffer, redactor)))


def _message_first(_logger: object, _method: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    first = {name: event[name] for name in ("time", "level", "process", "logger", "event") if name in event}
    return {**first, **{name: value for name, value in event.items() if name not in first}}
