"""The evaluator's side: plays UserTrace against an endpoint, ours or not, over HTTP alone, and says what holds."""

from greenroom.rehearsal.catalogue import CHECKS
from greenroom.rehearsal.check import Check, Evidence, Level, Outcome, Result
from greenroom.rehearsal.junit import junit, told
from greenroom.rehearsal.options import PUBLISHED_LINES, Options, WrongOption, base_url
from greenroom.rehearsal.preflight import CannotCheck
from greenroom.rehearsal.report import SCHEMA, Report, Verdict
from greenroom.rehearsal.run import Watcher, run

__all__ = [
    "CHECKS",
    "PUBLISHED_LINES",
    "SCHEMA",
    "CannotCheck",
    "Check",
    "Evidence",
    "Level",
    "Options",
    "Outcome",
    "Report",
    "Result",
    "Verdict",
    "Watcher",
    "WrongOption",
    "base_url",
    "junit",
    "run",
    "told",
]
