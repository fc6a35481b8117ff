"""Many sessions at once, each with secrets of its own: nothing of one may reach another."""

from greenroom.rehearsal.check import DoesNotHold, Level, NotTold, When, check, demand
from greenroom.rehearsal.crowd import Crowd, crowd
from greenroom.rehearsal.stage import Stage

_MOST_FAILED = 0.01


async def _held(stage: Stage) -> Crowd:
    if stage.crowd is None:
        stage.crowd = await crowd(stage)
    return stage.crowd


@check(
    "isolation.canaries",
    "CHAT-16",
    Level.REQUIRED,
    "what one session says never shows up in another",
    when=When.CROWD,
)
async def canaries(stage: Stage) -> str:
    held = await _held(stage)
    if held.leaks:
        leak = held.leaks[0]
        where = f"session {leak.seen_in} was shown what session {leak.said_in} said in its {leak.through}"
        found = f"{len(held.leaks)} leaks; {where} ({leak.text})"
        raise DoesNotHold(found, "nothing of another session", leak.answer)
    if not held.answered:
        raise NotTold("no session was answered")
    return f"{held.sessions} sessions, {held.answered} replies, no leak"


@check(
    "isolation.parallel",
    "SEC-05",
    Level.RECOMMENDED,
    "many sessions at once are all answered",
    when=When.CROWD,
)
async def parallel(stage: Stage) -> str:
    held = await _held(stage)
    asked = held.answered + held.failed
    found = f"{held.failed} of {asked} turns failed: {held.problem}"
    right = f"at most {_MOST_FAILED:.0%} of turns fail with {held.sessions} sessions at once"
    demand(held.failed <= _MOST_FAILED * asked, found, right, held.failure)
    return f"{held.sessions} at once, {held.answered} of {asked} turns answered in {held.seconds:.1f} s"


CHECKS = (canaries, parallel)
