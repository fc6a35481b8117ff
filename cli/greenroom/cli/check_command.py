"""`greenroom check URL`: plays an evaluator against an endpoint and says what holds."""

import asyncio
import dataclasses
import sys
from pathlib import Path

import msgspec
import uvloop

from greenroom.cli.check_views import Lines, Progress, print_catalogue, print_report, summary
from greenroom.cli.process import CannotStart
from greenroom.cli.sources import WrongSetting
from greenroom.rehearsal import SCHEMA, CannotCheck, Options, Report, Watcher, WrongOption, base_url, junit, run


@dataclasses.dataclass(frozen=True, slots=True)
class Output:
    """Where the report goes, and what counts as a finding."""

    as_json: bool = False
    junit_file: str = ""
    strict: bool = False


def show_catalogue() -> None:
    """What can be checked."""
    print_catalogue()


def check_endpoint(options: Options, output: Output) -> int:
    """Checks it and prints the report. The exit code: 0 all holds, 1 there are findings. Raises `WrongSetting` and, where
    nothing could be checked, `CannotStart` with exit code 2."""
    if not options.url:
        raise WrongSetting("which endpoint? give its URL, for instance: greenroom check http://127.0.0.1:8000")
    if output.junit_file:
        _writable(output.junit_file)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            checked = runner.run(_check(dataclasses.replace(options, url=base_url(options.url))))
    except WrongOption as problem:
        raise WrongSetting(str(problem)) from None
    except CannotCheck as problem:
        if output.as_json:
            _print_json(
                {
                    "schema": SCHEMA,
                    "url": options.url,
                    "verdict": "not checked",
                    "exit_code": 2,
                    "problem": str(problem),
                }
            )
        raise CannotStart(str(problem)) from None
    report = dataclasses.replace(checked, strict=output.strict)
    if output.junit_file:
        Path(output.junit_file).write_bytes(junit(report))
    if output.as_json:
        _print_json(report.document())
        print(summary(report), file=sys.stderr)
    else:
        print_report(report)
    return report.exit_code


async def _check(options: Options) -> Report:
    if not sys.stderr.isatty():
        return await run(options, Lines())
    with Progress(options.url) as progress:
        watcher: Watcher = progress
        return await run(options, watcher)


def _print_json(document: object) -> None:
    sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n")
    sys.stdout.buffer.flush()


def _writable(path: str) -> None:
    """Before minutes are spent, not after."""
    try:
        Path(path).touch()
    except OSError as problem:
        raise WrongSetting(f"--junit {path}: {problem.strerror}") from None


def header_of(text: str) -> tuple[str, str]:
    """`Name: value`. Raises `WrongSetting`."""
    name, colon, value = text.partition(":")
    if not colon or not name.strip() or any(char in text for char in "\r\n"):
        raise WrongSetting(f"--header {text.partition(':')[0]}: write it as 'Name: value'")
    return name.strip(), value.strip()
