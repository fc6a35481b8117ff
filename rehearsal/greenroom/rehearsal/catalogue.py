"""All checks, in the order in which they are shown, and the choice of some."""

import difflib
from collections.abc import Sequence

from greenroom.rehearsal.check import Check
from greenroom.rehearsal.checks import (
    access,
    chat,
    errors,
    health,
    isolation,
    load,
    records,
    retries,
    sessions,
    streaming,
    users,
)
from greenroom.rehearsal.options import Options, WrongOption

CHECKS: tuple[Check, ...] = (
    *health.CHECKS,
    *chat.CHECKS,
    *sessions.CHECKS,
    *retries.CHECKS,
    *errors.CHECKS,
    *streaming.CHECKS,
    *users.CHECKS,
    *records.CHECKS,
    *access.CHECKS,
    *isolation.CHECKS,
    *load.CHECKS,
)


def chosen(options: Options) -> list[Check]:
    """The checks that these options ask for. Raises `WrongOption` for a word that is no check, group or id."""
    known = {word for check in CHECKS for word in _words(check)}
    for word in (*options.only, *options.skip):
        if word.lower() not in known:
            near = difflib.get_close_matches(word.lower(), known, n=1)
            hint = f"; did you mean {near[0]}?" if near else "; `greenroom check --list` shows them"
            raise WrongOption(f"{word} is no check, no group of checks and no id of the contract{hint}")
    kept = [check for check in CHECKS if not options.only or _meant(check, options.only)]
    kept = [check for check in kept if not _meant(check, options.skip)]
    if not kept:
        raise WrongOption("no check is left to be played")
    return kept


def _words(check: Check) -> set[str]:
    return {check.name, check.group, *(name.lower() for name in check.ids)}


def _meant(check: Check, words: Sequence[str]) -> bool:
    return any(word.lower() in _words(check) for word in words)
