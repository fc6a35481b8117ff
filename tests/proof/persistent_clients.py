"""Clients that repeat a message until it is answered, and then say the next: the load of the kill proof."""

import asyncio
import itertools
import json
import random
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import httpx2
from verdict import Answer, History

_PATIENCE = 20.0
_HASTE = 0.03
"""How many attempts, as a share, are given up after a few milliseconds: their turns go on without their client."""


class Door(Protocol):
    """Where the servers are, as long as they are."""

    @property
    def urls(self) -> Sequence[str]: ...


class Tally:
    """What all clients together have seen."""

    def __init__(self) -> None:
        self.answered = 0
        self.repeated = 0
        self.replayed = 0
        self.statuses: dict[str, int] = {}

    def saw(self, outcome: str) -> None:
        self.statuses[outcome] = self.statuses.get(outcome, 0) + 1


class Client:
    """One session. Two neighbours share a user; every other client carries the whole history with each request, and every
    third reads its replies as streams."""

    def __init__(self, number: int, seed: int, door: Door, tally: Tally) -> None:
        self.history = History(f"proof-{number}")
        self._number = number
        self._chance = random.Random(f"{seed}/{number}")
        self._door = door
        self._tally = tally
        self._carries_history = number % 2 == 1
        self._streams = number % 3 == 0
        self._messages: list[dict[str, str]] = []
        self._http = httpx2.AsyncClient(timeout=_PATIENCE, verify=False, trust_env=False)

    async def talk(self, over: asyncio.Event, deadline: float) -> None:
        """Until `over`, and until what was said by then is answered; gives up at `deadline`, by the loop's clock."""
        async with self._http:
            for number in itertools.count(1):
                if over.is_set() or self.history.refused:
                    return
                text = f"message {number} of {self.history.session}"
                if not await self._say(text, deadline):
                    self.history.unanswered = text
                    return

    async def _say(self, text: str, deadline: float) -> bool:
        said = {"role": "user", "content": text}
        body = {
            "messages": [*self._messages, said] if self._carries_history else [said],
            "session_id": self.history.session,
            "user_id": f"user-{self._number // 2}",
            "stream": self._streams,
        }
        for count in itertools.count():
            answer = await self._attempt(body, count)
            reply = None if answer is None or answer.status_code != 200 else self._read(answer)
            if answer is not None and reply is not None:
                self.history.answers.append(Answer(text, reply))
                self._messages += [said, {"role": "assistant", "content": reply}]
                self._tally.answered += 1
                self._tally.replayed += "idempotency-replayed" in answer.headers
                return True
            if answer is not None and 400 <= answer.status_code < 500 and answer.status_code not in (408, 429):
                self.history.refused = f"{text!r} was refused: {answer.status_code} {answer.text[:200]}"
                return False
            if asyncio.get_running_loop().time() > deadline:
                return False
            self._tally.repeated += 1
            await asyncio.sleep(self._pause(answer))
        return False

    async def _attempt(self, body: Mapping[str, Any], count: int) -> httpx2.Response | None:
        url = self._chance.choice(self._door.urls)
        patience = self._chance.uniform(0.002, 0.05) if self._chance.random() < _HASTE else _PATIENCE
        try:
            answer = await self._http.post(
                f"{url}/v1/chat/completions",
                json=body,
                headers={"x-stainless-retry-count": str(count)},
                timeout=patience,
            )
        except httpx2.TransportError as error:
            self._tally.saw(type(error).__name__)
            return None
        self._tally.saw(str(answer.status_code))
        return answer

    def _read(self, answer: httpx2.Response) -> str | None:
        """The reply; None for a stream that did not come to its end."""
        if not self._streams:
            text: str = answer.json()["choices"][0]["message"]["content"]
            return text
        *events, end = [line[6:] for line in answer.text.splitlines() if line.startswith("data: ")] or [""]
        if end != "[DONE]":
            self._tally.saw("broken stream")
            return None
        return "".join(json.loads(event)["choices"][0]["delta"].get("content", "") for event in events)

    def _pause(self, answer: httpx2.Response | None) -> float:
        """As the answer asks, but no longer than a client in a hurry would."""
        pause = self._chance.uniform(0.02, 0.3)
        asked = answer.headers.get("retry-after-ms", "") if answer is not None else ""
        return max(pause, min(0.5, int(asked) / 1000)) if asked.isdecimal() else pause


async def read_back(history: History, door: Door) -> None:
    """What is stored of a session, from whichever server answers."""
    async with httpx2.AsyncClient(timeout=_PATIENCE, verify=False, trust_env=False) as http:

        async def get(path: str) -> Any:
            for attempt in range(50):
                url = door.urls[attempt % len(door.urls)]
                try:
                    answer = await http.get(f"{url}/v1/sessions/{history.session}{path}")
                except httpx2.TransportError:
                    answer = None
                if answer is not None and answer.status_code in (200, 404):
                    return answer.json() if answer.status_code == 200 else {}
                await asyncio.sleep(0.2)
            raise RuntimeError(f"{history.session}{path} cannot be read back")

        history.record, history.world = await get(""), (await get("/world")).get("world", {})
        turns: list[Any] = []
        token = ""
        while True:
            page = await get(f"/turns?page_size=500&page_token={token}")
            turns += page.get("turns", [])
            token = page.get("next_page_token", "")
            if not token:
                break
        history.turns = turns
