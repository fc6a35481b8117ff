"""Conversations with an adapted agent that are recorded, and replayed in another session.

Its model calls the tool that the user names, with the word behind it as `city`, and tells what it was told then. So what the
model reads is in the replies, recorded and replayed. `TOOLS` are plain functions, to be made tools of a framework's.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from greenroom.agents.adapters import current_turn
from greenroom.sdk import Agent
from greenroom.sdk.testing import PlayedReply, play

ran: list[str] = []
"""Tools whose code was run."""


def look_up(city: str) -> dict[str, Any]:
    """Looks up."""
    ran.append("look_up")
    return {"city": f"{city} ü", "at": [1.5, None, True], "in": {"1": 2}}


def say(city: str) -> str:
    """Says."""
    ran.append("say")
    return f"{city} is far"


def quote(city: str) -> str:
    """Gives a text that is JSON."""
    ran.append("quote")
    return json.dumps({"city": city})


def listed(city: str) -> list[Any]:
    """Lists."""
    ran.append("listed")
    return [{"city": city}, {"city": "Rome"}]


def names(city: str) -> list[str]:
    """Names."""
    ran.append("names")
    return [city, "Rome"]


def count(city: str) -> int:
    """Counts."""
    ran.append("count")
    return len(city)


def nothing(city: str) -> None:
    """Gives nothing."""
    ran.append("nothing")


async def wait(city: str) -> str:
    """Is a coroutine."""
    ran.append("wait")
    return f"{city} has come"


def with_the_turn(city: str) -> str:
    """Does more with the turn than it returns."""
    ran.append("with_the_turn")
    current_turn().state["city"] = city
    return city


def gives_an_object(city: str) -> Any:
    """Gives what is no JSON."""
    ran.append("gives_an_object")
    return (city, city)


def fails(city: str) -> str:
    """Fails with an error of Python's own."""
    ran.append("fails")
    raise ValueError(f"{city} is closed")


def misses(city: str) -> str:
    """Fails with an error whose text is not what it was made of."""
    ran.append("misses")
    return {"Rome": "there"}[city]


class NoSuchCity(Exception):
    """The author's own."""


def fails_by_its_own(city: str) -> str:
    """Fails with an error of its author's."""
    ran.append("fails_by_its_own")
    raise NoSuchCity(f"no {city}")


PLAIN = (look_up, say, quote, listed, names, count, nothing, wait)
LIVE = (with_the_turn, gives_an_object)
FAILING = (fails, misses)
TOOLS: Sequence[Callable[..., Any]] = (*PLAIN, *LIVE, *FAILING, fails_by_its_own)


def evidence(replies: Sequence[PlayedReply]) -> list[Any]:
    """What the turns' evidence has of their calls."""
    return [
        [(call.name, call.ok, json.loads(call.arguments_json), call.result_json) for call in reply.tool_calls]
        for reply in replies
    ]


async def sees_tools_replayed(
    agent: Callable[[], Agent], folder: Path, replayed: Sequence[str], live: Sequence[str], seen: Sequence[Any] = ()
) -> None:
    """Of the tools that are called in a session, one a turn, some are replayed: nothing of the session differs but that their
    code does not run. `seen` is what the framework has told those who listen to it."""
    path = folder / "talk.jsonl"
    told = [f"{name} Oslo" for name in (*replayed, *live)]
    ran.clear()
    recorded = await play(agent(), told, record=path)
    heard, both = list(seen), list(ran)
    ran.clear()
    again = await play(agent(), told, replay=path, session_id="another")
    assert both == [*replayed, *live]
    assert ran == list(live), ran
    assert [reply.text for reply in again] == [reply.text for reply in recorded]
    assert evidence(again) == evidence(recorded)
    assert [reply.world for reply in again] == [reply.world for reply in recorded]
    assert [call.name for reply in again for call in reply.tool_calls if call.scripted_by] == list(replayed)
    assert list(seen)[len(heard) :] == heard


def names_of(*tools: Sequence[Callable[..., Any]]) -> tuple[str, ...]:
    return tuple(function.__name__ for functions in tools for function in functions)


def asked_for(text: str) -> tuple[str, str]:
    """The tool that a user names, and the city."""
    name, _, city = text.partition(" ")
    return name, city
