"""One run: is it there, the checks round by round, and the tidying up."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Protocol

import httpx2

from greenroom.rehearsal.catalogue import CHECKS, chosen
from greenroom.rehearsal.check import Check, DoesNotHold, Evidence, Level, NotOffered, NotTold, Outcome, Result, When
from greenroom.rehearsal.endpoint import Answer, Endpoint, Gone, Limited, NoAnswer, trusted
from greenroom.rehearsal.names import Names
from greenroom.rehearsal.options import Options, WrongOption, auth_headers
from greenroom.rehearsal.preflight import look, speaks_of_model
from greenroom.rehearsal.report import Report
from greenroom.rehearsal.stage import Stage
from greenroom.rehearsal.tidying import tidy

_SIDE_BY_SIDE = 6
"""Checks of one round."""
_LONGEST = 60.0
"""Seconds for one check, beside the time for which the load is held."""
_CHATLESS = ("health", "errors", "access")
"""Groups that are played where it does not chat."""
_TOLD_BY = "chat.published"
"""The check that finds that it does not chat."""


class Watcher(Protocol):
    """Is told how a run goes on."""

    def began(self, checks: int) -> None:
        """Once, when the endpoint answers."""

    def finished(self, result: Result) -> None:
        """A check was played."""

    def advance(self, what: str, done: int, total: int) -> None:
        """Within a long one."""


async def run(options: Options, watcher: Watcher) -> Report:
    """Checks an endpoint. Raises `WrongOption`, and `CannotCheck` where nothing that could be checked is at the address."""
    checks, auth = chosen(options), auth_headers(options)
    names, began, started = Names(), datetime.now(UTC), time.perf_counter()
    async with _client(options) as client:
        stage = Stage(options, Endpoint(client, auth), names, watcher.advance)
        silent = await look(stage)
        if silent and any(_needs_chat(check) for check in checks):
            checks = [check for check in CHECKS if check in checks or check.name == _TOLD_BY]
        watcher.began(len(checks))
        results: list[Result] = []
        try:
            for when in When:
                playing = [check for check in checks if check.when is when]
                results += await _round(stage, playing, silent, watcher)
        finally:
            watcher.advance("tidying up", 0, 1)
            left = await tidy(stage) if stage.replies or not silent else ""  # what never replied has kept nothing
    order = {check.name: number for number, check in enumerate(checks)}
    results.sort(key=lambda result: order[result.check.name])
    return Report(
        options=options,
        run=names.prefix,
        started_at=began,
        seconds=time.perf_counter() - started,
        requests=stage.endpoint.requests,
        results=results,
        load=stage.load,
        model=stage.model,
        left_behind=left,
    )


@asynccontextmanager
async def _client(options: Options) -> AsyncIterator[httpx2.AsyncClient]:
    try:
        verify = trusted(options.url, options.ca, insecure=options.insecure)
    except OSError as problem:
        raise WrongOption(f"--ca {options.ca}: {problem.strerror or problem}") from None
    connections = max(options.sessions, 1_000)
    async with httpx2.AsyncClient(
        base_url=options.url,
        verify=verify,
        headers={"User-Agent": "greenroom-check"},
        timeout=options.timeout,
        limits=httpx2.Limits(max_connections=connections, max_keepalive_connections=connections),
        follow_redirects=False,
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),  # they would be all sessions' together
    ) as client:
        yield client


async def _round(stage: Stage, checks: Sequence[Check], silent: Answer | None, watcher: Watcher) -> list[Result]:
    """In the round of those that run together some run side by side; in the others each runs alone."""
    places = asyncio.Semaphore(_SIDE_BY_SIDE if checks and checks[0].when is When.TOGETHER else 1)

    async def one(check: Check) -> Result:
        async with places:
            result = _unplayed(stage, check, silent) if silent and _needs_chat(check) else await _play(stage, check)
            watcher.finished(result)
            return result

    return list(await asyncio.gather(*(one(check) for check in checks)))


def _needs_chat(check: Check) -> bool:
    return check.group not in _CHATLESS and check.name != "chat.minimal"


def _unplayed(stage: Stage, check: Check, silent: Answer) -> Result:
    """Where it does not chat one check fails of it, so that it is a finding whatever was chosen; the rest is not told."""
    note = f"a first message was answered {silent.status}"
    if check.name != _TOLD_BY:
        return Result(check, Outcome.NOT_TOLD, f"it does not chat: {note} ({_TOLD_BY})", None, 0.0)
    wants_model = not stage.options.model and speaks_of_model(silent)
    hint = "; it speaks of a model, and --agent-model NAME sends one" if wants_model else ""
    return Result(check, Outcome.FAILS, note, DoesNotHold(note, f"200 and a reply{hint}", silent).evidence, 0.0)


async def _play(stage: Stage, check: Check) -> Result:
    started = time.perf_counter()
    limit = _LONGEST + (stage.options.seconds if check.when is When.LOAD else 0.0)
    evidence: Evidence | None = None
    try:
        async with asyncio.timeout(limit):
            outcome, note = Outcome.HOLDS, await check.play(stage)
    except DoesNotHold as problem:
        outcome, note, evidence = Outcome.FAILS, problem.evidence.found, problem.evidence
    except NotOffered as why:
        outcome, note = Outcome.NOT_OFFERED, str(why)
    except NotTold as why:
        outcome, note = Outcome.NOT_TOLD, str(why)
    except Gone as why:
        note = f"the endpoint cannot be reached any more: {why}"
        outcome = Outcome.NOT_TOLD if stage.gone else Outcome.FAILS
        evidence = None if stage.gone else Evidence(note, "it can be reached until the end of the run")
        stage.gone = stage.gone or check.level is not Level.EXTRA
    except Limited as why:
        outcome, note = Outcome.NOT_TOLD, str(why)
    except NoAnswer as why:
        outcome, note = Outcome.FAILS, str(why)
        evidence = Evidence(str(why), f"an answer within {stage.options.timeout:g} s")
    except TimeoutError:
        outcome, note = Outcome.NOT_TOLD, f"it took longer than {limit:g} s"
    return Result(check, outcome, note, evidence, time.perf_counter() - started)
