"""A check's report for people: a table on a terminal, plain lines elsewhere; and its progress."""

import sys
from types import TracebackType
from typing import Self

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar
from rich.table import Table

from greenroom.rehearsal import CHECKS, Outcome, Report, Result, told

_STYLES = {
    Outcome.HOLDS: "green",
    Outcome.FAILS: "bold red",
    Outcome.NOT_OFFERED: "dim",
    Outcome.NOT_TOLD: "yellow",
}
_EXPLAINED = (Outcome.NOT_OFFERED, Outcome.NOT_TOLD)
_MEASURED = ("isolation", "load")
_WIDE = 100
"""Columns from which what was seen stands in the table, too."""


class Lines:
    """Tells nothing until the report: nobody watches."""

    def began(self, checks: int) -> None:
        """Not told."""

    def finished(self, result: Result) -> None:
        """Not told."""

    def advance(self, what: str, done: int, total: int) -> None:
        """Not told."""


class Progress:
    """A bar on standard error, until the report."""

    def __init__(self, url: str) -> None:
        self._console = Console(stderr=True)
        self._bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
            expand=True,
        )
        self._checks = self._bar.add_task(f"looking at {_shown(url)}", total=None)
        self._within = self._bar.add_task("", total=None, visible=False)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._bar.stop()

    def began(self, checks: int) -> None:
        """The bar fills as checks are played."""
        self._bar.update(self._checks, description="checking", total=checks, completed=0)

    def finished(self, result: Result) -> None:
        """One more."""
        self._bar.advance(self._checks)
        self._bar.update(self._within, visible=False)

    def advance(self, what: str, done: int, total: int) -> None:
        """A second bar for a long check."""
        self._bar.update(self._within, description=what, completed=done, total=total, visible=True)


def print_report(report: Report) -> None:
    """Everything that was looked at, then the findings with their evidence, then the verdict."""
    if sys.stdout.isatty():
        _print_table(report)
    else:
        _print_lines(report)


def print_catalogue() -> None:
    """Every check: its name, ids, level, and what it asks."""
    if not sys.stdout.isatty():
        for check in CHECKS:
            print("\t".join((check.name, " ".join(check.ids), check.level.value, check.asks)))
        return
    table = Table("check", "ids", "level", "what is asked", box=box.SIMPLE_HEAD, pad_edge=False)
    for check in CHECKS:
        table.add_row(check.name, "\n".join(check.ids), check.level.value, escape(check.asks))
    Console().print(table)


def summary(report: Report) -> str:
    """The verdict in a line."""
    tally = report.tally()
    counted = ", ".join(f"{tally[outcome]} {_COUNTED[outcome]}" for outcome in Outcome if tally[outcome])
    return f"{_verdict(report)} {counted}; {report.requests} requests in {report.seconds:.1f} s."


_COUNTED = {
    Outcome.HOLDS: "hold",
    Outcome.FAILS: "do not",
    Outcome.NOT_OFFERED: "not offered",
    Outcome.NOT_TOLD: "not told",
}
_SAID = {
    Outcome.HOLDS: "holds",
    Outcome.FAILS: "DOES NOT HOLD",
    Outcome.NOT_OFFERED: "not offered",
    Outcome.NOT_TOLD: "not told",
}


def _verdict(report: Report) -> str:
    findings = report.findings
    if not findings:
        chosen = report.options.only or report.options.skip
        return "What was looked at holds." if chosen else "Ready for an evaluator: what is asked of it holds."
    levels = [result.check.level.value for result in findings]
    told = ", ".join(f"{levels.count(level)} {level}" for level in dict.fromkeys(levels))
    return f"Not ready: {len(findings)} finding{'s' if len(findings) > 1 else ''} ({told})."


def _print_lines(report: Report) -> None:
    """Tab-separated: outcome, check, ids, level, what is asked, what was seen."""
    for result in report.results:
        check = result.check
        cells = (result.outcome.value, check.name, " ".join(check.ids), check.level.value, check.asks, result.note)
        print("\t".join(_shown(cell) for cell in cells))
    for result in _failed(report):
        print(f"\n{_title(report, result)}")
        for line in told(result):
            print(f"  {_shown(line)}")
    print()
    for line in _closing(report):
        print(_shown(line))


def _print_table(report: Report) -> None:
    console = Console()
    wide = console.width >= _WIDE
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, expand=True)
    table.add_column("ids", no_wrap=True)
    table.add_column("what is asked", ratio=3, overflow="fold")
    table.add_column("", no_wrap=True)
    if wide:
        table.add_column("what was seen", ratio=2, overflow="fold")
    group = ""
    for result in report.results:
        check = result.check
        if check.group != group:
            if group:
                table.add_section()
            group = check.group
            table.add_row(f"[bold]{group}[/]")
        style = _STYLES[result.outcome]
        asked = escape(check.asks)
        if not wide and (result.outcome in _EXPLAINED or group in _MEASURED):
            asked += f"\n[dim]{escape(_shown(result.note))}[/]"
        cells = ["\n".join(check.ids), asked, f"[{style}]{_SAID[result.outcome]}[/]"]
        table.add_row(*cells, *([escape(_shown(result.note))] if wide else []))
    console.print(table)
    for result in _failed(report):
        style = _STYLES[Outcome.FAILS] if report.counts(result) else "yellow"
        console.print(f"[{style}]{escape(_title(report, result))}[/]", soft_wrap=True)
        for line in told(result):
            name, _, text = line.partition(": ")
            console.print(f"  [bold]{name}[/]: {escape(_shown(text))}", soft_wrap=True, highlight=False)
        console.print()
    for line in _closing(report):
        console.print(escape(_shown(line)), soft_wrap=True, highlight=False)


def _failed(report: Report) -> list[Result]:
    """Findings first, and then what does not hold without being one."""
    failed = [result for result in report.results if result.outcome is Outcome.FAILS or report.counts(result)]
    return sorted(failed, key=lambda result: not report.counts(result))


def _title(report: Report, result: Result) -> str:
    check = result.check
    said = "not offered" if result.outcome is Outcome.NOT_OFFERED else "does not hold"
    kind = check.level.value if report.counts(result) else f"{check.level.value}, no finding"
    return f"{said}: {check.name} [{' '.join(check.ids)}] ({kind}): {check.asks}"


def _closing(report: Report) -> list[str]:
    lines = [summary(report)]
    if report.model and not report.options.model:
        lines.append(
            f"It wants a model: {report.model} was sent, the first that it lists (--agent-model names another)."
        )
    if report.left_behind:
        lines.append(f"Left behind: {report.left_behind}.")
    return lines


def _shown(text: str) -> str:
    """What an endpoint wrote does not steer the terminal, and stays on its line."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
