"""Does one session of an agent ever see another's secrets? Finds out over HTTP alone, knowing nothing but the contract.

    python tests/proof/leak_proof.py http://127.0.0.1:8000 --sessions 2000 --key gr_…

Many sessions at once each plant secrets of their own: in what they say, in a system message, in the request's metadata, in
the user's profile and metadata, in the world (by asking the agent to store something). Then all of them ask for whatever
the agent can tell. No answer, and no record that can be read back, may show a session what another one planted.

An endpoint without `/users` or `/v1/sessions` is tested without them, and the report says so. A log of the server that was
written meanwhile (`--log`) is searched for lines that speak of two sessions.

Exit code: 0 no leak, 1 a leak, 2 it could not be found out.
"""

import argparse
import asyncio
import itertools
import json
import random
import secrets
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import httpx2
from canaries import Canaries
from leaks import Watch, as_json
from prompts import ANY_AGENT, Line, Prompts, read_prompts

NO_ROUTE = frozenset({404, 405, 501})
NOT_ALLOWED = frozenset({401, 403})
_PASSING = frozenset({408, 409, 429, 500, 502, 503, 504})
"""Statuses after which the same request may succeed."""
_ATTEMPTS = 8
_LONGEST_PAUSE = 5.0
_PLANTED = ("message", "world", "system message", "request metadata", "profile", "user metadata")


class Inconclusive(Exception):
    """It cannot be found out, for the reason given."""


@dataclass(frozen=True, slots=True)
class Options:
    """How much, how fast, and as whom."""

    url: str
    sessions: int = 200
    parallel: int = 32
    key: str = ""
    model: str = "agent"
    seed: int = 0
    same_keys: bool = False
    """All sessions send the same `Idempotency-Key` and `X-Request-Id`. Where such keys belong to their session, as the
    contract has it, nothing may be found by another session's."""


class Kind(Enum):
    """What a client sends besides what it says. Its value is which of the request's ids it names."""

    LAST_MESSAGE = ("session_id", "user_id")
    WHOLE_HISTORY = ("user_id", "session_id")
    NO_SESSION = ("user_id",)
    NO_NAMES = ()
    """Only what was said can tell such clients apart."""


@dataclass(slots=True)
class Person:
    """One session and who speaks in it."""

    number: int
    secrets: Mapping[str, str]
    kind: Kind
    messages: list[dict[str, str]] = field(default_factory=list)
    turns: int = 0
    session_id: str = ""
    """As the answers have it, which is how it is read back."""
    chat_id: str = ""

    @property
    def user_id(self) -> str:
        return f"sim_{self.secrets['user id']}"

    @property
    def ids(self) -> dict[str, str]:
        """What a request names."""
        ids = {"session_id": f"leak-{self.secrets['session id']}", "user_id": self.user_id}
        return {name: ids[name] for name in self.kind.value}


class Endpoint:
    """Requests, repeated while that can help, and their count."""

    def __init__(self, client: httpx2.AsyncClient) -> None:
        self._client = client
        self.statuses: Counter[str] = Counter()
        self.repeated = 0
        self.failed: list[str] = []

    async def send(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, headers: Mapping[str, str] | None = None
    ) -> httpx2.Response | None:
        """The answer; None when there was none after every attempt."""
        problem = ""
        for attempt in range(_ATTEMPTS):
            sent = {**(headers or {}), **({"x-stainless-retry-count": str(attempt)} if attempt else {})}
            pause = min(_LONGEST_PAUSE, 0.1 * 2**attempt)
            try:
                answer = await self._client.request(method, path, json=body, headers=sent)
            except httpx2.TransportError as error:
                problem = f"{type(error).__name__}: {error}"
            else:
                self.statuses[f"{answer.status_code}"] += 1
                if answer.status_code not in _PASSING or answer.headers.get("x-should-retry") == "false":
                    return answer
                problem = f"{answer.status_code}: {answer.text[:200]}"
                with suppress(ValueError):
                    pause = min(_LONGEST_PAUSE, float(answer.headers.get("retry-after-ms", "")) / 1000)
            self.repeated += 1
            await asyncio.sleep(pause)
        self.failed.append(f"{method} {path}: {problem}")
        return None


class LeakProof:
    """One run: `run`, then read `watch` and `report`."""

    def __init__(self, options: Options, prompts: Prompts, client: httpx2.AsyncClient) -> None:
        self._options = options
        self._prompts = prompts
        self._chance = random.Random(options.seed)
        canaries = Canaries(self._chance)
        ways = (*_PLANTED, "session id", "user id")
        self.people = [
            Person(number, {way: canaries.new(number, way) for way in ways}, kind)
            for number, kind in zip(range(options.sessions), itertools.cycle(Kind), strict=False)
        ]
        self.watch = Watch(canaries)
        self.endpoint = Endpoint(client)
        self.skipped: dict[str, str] = {}
        self.turns = 0
        self.seconds = 0.0

    async def run(self) -> None:
        """Rounds: everybody says the same line before anybody says the next. Raises `Inconclusive`."""
        started = time.monotonic()
        if await self._offered("users", self._create_user):
            await self._everybody(self._create_user)
        greet = partial(self._chat, text="Hello", metadata=("note",))
        first = await greet(self.people[0])
        if first is None or first.status_code != 200:
            raise Inconclusive(f"it does not chat: {_excerpt(first) if first else self.endpoint.failed[-1]}")
        await self._everybody(greet, besides=1)
        for line in self._prompts.plant:
            await self._everybody(partial(self._plant, line=line))
        for question in self._prompts.ask:
            await self._everybody(partial(self._chat, text=question))
        await self._read_back()
        self.seconds = time.monotonic() - started

    async def _read_back(self) -> None:
        """Whatever is stored of each session, as far as there are routes for it that this key may use."""
        users = ("user record", lambda person: f"/users/{person.user_id}")
        sessions: list[tuple[str, Callable[[Person], str]]] = [
            ("session record", lambda person: f"/v1/sessions/{person.session_id}"),
            ("turn record", lambda person: f"/v1/sessions/{person.session_id}/turns?page_size=500"),
            ("world", lambda person: f"/v1/sessions/{person.session_id}/world"),
        ]
        if self.people[0].chat_id:
            sessions.append(("chat record", lambda person: f"/v1/chats/{person.chat_id}?page_size=500"))
        for where, path in [*([] if "users" in self.skipped else [users]), *sessions]:
            read = partial(self._read, where=where, path=path)
            if await self._offered(where, read):
                await self._everybody(read)

    async def _read(self, person: Person, where: str, path: Callable[[Person], str]) -> httpx2.Response | None:
        answer = await self.endpoint.send("GET", path(person))
        self._look(where, person, answer)
        return answer

    async def _offered(self, what: str, act: Callable[[Person], Awaitable[httpx2.Response | None]]) -> bool:
        """Whether the endpoint has a route and lets this key use it; if not, it is skipped, and the report says why."""
        answer = await act(self.people[0])
        if answer is not None and answer.status_code in NO_ROUTE:
            self.skipped[what] = f"there is no such route ({answer.status_code})"
        elif answer is not None and answer.status_code in NOT_ALLOWED:
            self.skipped[what] = f"this key may not ({answer.status_code})"
        return what not in self.skipped

    async def _everybody(self, act: Callable[[Person], Awaitable[Any]], besides: int = 0) -> None:
        """Once for each (besides the first so many), in an order of chance, so many at a time."""
        people = iter(self._chance.sample(self.people[besides:], len(self.people) - besides))

        async def worker() -> None:
            for person in people:
                await act(person)

        async with asyncio.TaskGroup() as workers:
            for _ in range(self._options.parallel):
                workers.create_task(worker())

    async def _create_user(self, person: Person) -> httpx2.Response | None:
        own = person.secrets
        body = {
            "user_id": person.user_id,
            "profile": {"name": own["profile"], "notes": [own["profile"]]},
            "metadata": {"account_note": own["user metadata"]},
        }
        answer = await self.endpoint.send("POST", "/users", body)
        self._look("user record", person, answer)
        return answer

    async def _plant(self, person: Person, line: Line) -> None:
        await self._chat(person, line.say.replace("{secret}", person.secrets[line.through]), ("note", "name"))

    async def _chat(self, person: Person, text: str, metadata: Sequence[str] = ()) -> httpx2.Response | None:
        """One turn. `metadata`: under which names the request's metadata carry a secret."""
        if not person.messages:
            file = f"The customer's file says: {person.secrets['system message']}"
            person.messages.append({"role": "system", "content": file})
        said, secret = {"role": "user", "content": text}, person.secrets["request metadata"]
        new = [*person.messages, said] if person.kind is not Kind.LAST_MESSAGE or not person.turns else [said]
        body = {
            "model": self._options.model,
            "messages": new,
            **person.ids,
            **({"metadata": dict.fromkeys(metadata, secret)} if metadata else {}),
        }
        person.turns += 1
        headers = {}
        if self._options.same_keys:
            headers["X-Request-Id"] = f"same-{person.turns}"
            if "session_id" in person.ids:
                headers["Idempotency-Key"] = f"same-{person.turns}"
        answer = await self.endpoint.send("POST", "/v1/chat/completions", body, headers)
        document = self._look("reply", person, answer, person.turns)
        if answer is not None and answer.status_code == 200:
            self.turns += 1
            person.messages += [said, {"role": "assistant", "content": _said(document)}]
            person.session_id = str(document.get("session_id") or person.ids.get("session_id", ""))
            person.chat_id = str(document.get("chat_id") or "")
        elif answer is not None:
            self.endpoint.failed.append(f"turn {person.turns}: {_excerpt(answer)}")
        return answer

    def _look(self, where: str, person: Person, answer: httpx2.Response | None, turn: int = 0) -> Any:
        """Searches an answer, also one that refuses. Gives back its JSON."""
        if answer is None:
            return None
        self.watch.headers(person.number, answer.headers, turn)
        try:
            document = answer.json()
        except ValueError:
            document = answer.text
        self.watch.document(where, person.number, document, turn)
        return document

    @property
    def planted(self) -> list[str]:
        """The ways of planting that were open."""
        lines = {line.through for line in self._prompts.plant if "{secret}" in line.say}
        users = set() if "users" in self.skipped else {"profile", "user metadata"}
        return [way for way in _PLANTED if way in lines | users | {"system message", "request metadata"}]

    @property
    def report(self) -> dict[str, Any]:
        """All that is known, for machines."""
        arrived = self.watch.arrived
        return {
            "url": self._options.url,
            "seed": self._options.seed,
            "sessions": len(self.people),
            "turns": self.turns,
            "requests": self.endpoint.statuses.total(),
            "statuses": dict(sorted(self.endpoint.statuses.items())),
            "repeated": self.endpoint.repeated,
            "failed": len(self.endpoint.failed),
            "failures": self.endpoint.failed[:10],
            "seconds": round(self.seconds, 1),
            "planted": {way: arrived.get(way, {}) for way in self.planted},
            "skipped": self.skipped,
            "leaks": as_json(self.watch.leaks),
        }


def _said(document: Any) -> str:
    try:
        return str(document["choices"][0]["message"].get("content") or "")
    except (LookupError, TypeError, AttributeError):
        raise Inconclusive(f"it does not answer as a chat completion: {str(document)[:200]}") from None


def _excerpt(answer: httpx2.Response) -> str:
    return f"{answer.status_code}: {answer.text[:200]}"


async def search_logs(watch: Watch, paths: Sequence[Path]) -> None:
    """Waits, bounded, until nothing more is written (lines may come up to a second late), then reads."""
    async with asyncio.timeout(30):
        sizes: list[int] = []
        while (now := [path.stat().st_size for path in paths]) != sizes:
            sizes = now
            await asyncio.sleep(1.0)
    for path in paths:
        with path.open(encoding="utf-8", errors="replace") as lines:
            watch.log(lines)


async def prove(options: Options, prompts: Prompts = ANY_AGENT, logs: Sequence[Path] = ()) -> LeakProof:
    """Runs it. Raises `Inconclusive`."""
    headers = {"Authorization": f"Bearer {options.key}"} if options.key else {}
    limits = httpx2.Limits(max_connections=options.parallel, max_keepalive_connections=options.parallel)
    async with httpx2.AsyncClient(base_url=options.url, headers=headers, timeout=60, limits=limits) as client:
        proof = LeakProof(options, prompts, client)
        await proof.run()
    await search_logs(proof.watch, logs)
    return proof


def summary(report: Mapping[str, Any]) -> str:
    """One line of figures."""
    names = ("sessions", "turns", "requests", "repeated", "failed", "seconds")
    return f"leak proof: {', '.join(f'{report[name]} {name}' for name in names)}, leaks={len(report['leaks'])}"


def show(proof: LeakProof) -> None:
    """The report for people."""
    report = proof.report
    for what, why in report["skipped"].items():
        print(f"skipped {what}: {why}")
    for way, places in report["planted"].items():
        seen = ", ".join(f"{where} {count}" for where, count in places.items())
        print(f"planted through {way}: seen again by its own session in: {seen or 'nothing'}")
    for failure in report["failures"]:
        print(f"failed: {failure}")
    for leak in proof.watch.leaks:
        print(leak)
    print(summary(report))


def exit_code(report: Mapping[str, Any]) -> int:
    """1 a leak, 2 a request that was never answered as it should."""
    return 1 if report["leaks"] else 2 if report["failed"] else 0


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", help="where the agent is, without /v1")
    parser.add_argument("--sessions", type=int, default=200)
    parser.add_argument("--parallel", type=int, default=32, help="requests at a time")
    parser.add_argument("--key", default="", help="API key; reading back needs scope inspect")
    parser.add_argument("--model", default="agent", help="what to send as `model`")
    parser.add_argument("--prompts", type=Path, help="JSON file of what to say: " + str(read_prompts.__doc__))
    parser.add_argument("--log", type=Path, action="append", default=[], help="a log of the server; may be given again")
    parser.add_argument(
        "--same-keys", action="store_true", help="every session sends the same Idempotency-Key and X-Request-Id"
    )
    parser.add_argument("--seed", type=int, default=None, help="repeats a run's secrets and order")
    parser.add_argument("--deadline", type=float, default=900, help="seconds after which it gives up")
    parser.add_argument("--json", action="store_true", help="print the whole report as JSON")
    return parser


async def bounded(options: Options, prompts: Prompts, logs: Sequence[Path], deadline: float) -> LeakProof:
    async with asyncio.timeout(deadline):
        return await prove(options, prompts, logs)


def stop(why: str) -> NoReturn:
    print(f"leak proof: {why}", file=sys.stderr)
    sys.exit(2)


def main() -> None:
    parser = arguments()
    given = parser.parse_args()
    if given.sessions < 2 or given.parallel < 1:
        parser.error("two sessions at least, and one request at a time at least")
    seed = given.seed if given.seed is not None else secrets.randbits(32)
    options = Options(given.url, given.sessions, given.parallel, given.key, given.model, seed, given.same_keys)
    try:
        prompts = read_prompts(given.prompts) if given.prompts else ANY_AGENT
        proof = asyncio.run(bounded(options, prompts, given.log, given.deadline))
    except* TimeoutError:
        stop(f"not done within {given.deadline:g} s")
    except* (Inconclusive, OSError, ValueError, TypeError, httpx2.InvalidURL) as problems:
        stop(str(problems.exceptions[0]))
    if given.json:
        print(json.dumps(proof.report, indent=2))
    else:
        print(f"seed {seed}")
        show(proof)
    sys.exit(exit_code(proof.report))


if __name__ == "__main__":
    main()
