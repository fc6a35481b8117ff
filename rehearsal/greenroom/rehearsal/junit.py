"""A report as JUnit XML, which every CI can show."""

import re
from itertools import groupby
from xml.etree import ElementTree as ET

from greenroom.rehearsal.check import Outcome, Result
from greenroom.rehearsal.report import Report

_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(report: Report) -> bytes:
    """A test case for each check, in a suite for each group. What is no finding is passed or skipped."""
    root = ET.Element("testsuites", name="greenroom check", time=f"{report.seconds:.3f}")
    for group, members in groupby(report.results, key=lambda result: result.check.group):
        results = list(members)
        failed = sum(report.counts(result) for result in results)
        skipped = sum(not report.counts(result) and result.outcome is not Outcome.HOLDS for result in results)
        suite = ET.SubElement(
            root,
            "testsuite",
            name=group,
            tests=str(len(results)),
            failures=str(failed),
            errors="0",
            skipped=str(skipped),
            time=f"{sum(result.seconds for result in results):.3f}",
            timestamp=report.started_at.strftime("%Y-%m-%dT%H:%M:%S"),
            hostname=_clean(report.options.url),
        )
        for result in results:
            _case(suite, result, finding=report.counts(result))
    ET.indent(root)
    written: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return written


def _case(suite: ET.Element, result: Result, *, finding: bool) -> None:
    check = result.check
    name = f"{check.name}: {check.asks} [{' '.join(check.ids)}]"
    case = ET.SubElement(
        suite, "testcase", classname=f"greenroom.check.{check.group}", name=name, time=f"{result.seconds:.3f}"
    )
    if finding:
        failure = ET.SubElement(case, "failure", type=check.level.value, message=_clean(result.note))
        failure.text = _clean("\n".join(told(result)))
    elif result.outcome is not Outcome.HOLDS:
        ET.SubElement(case, "skipped", message=_clean(f"{result.outcome.value}: {result.note}"))


def told(result: Result) -> list[str]:
    """A result's evidence in lines."""
    evidence = result.evidence
    if evidence is None:
        return [result.note]
    lines = [f"found: {evidence.found}", f"right: {evidence.right}"]
    if evidence.request:
        lines.append(f"asked: {evidence.request}")
    if evidence.status is not None:
        lines.append(f"answer: {evidence.status} {evidence.body}".rstrip())
    return lines


def _clean(text: str) -> str:
    """XML has no way to hold most control characters."""
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)
