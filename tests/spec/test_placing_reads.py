"""What placing a request costs the store: nothing on the beaten track, one query off it, whatever the size of the tree."""

from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from placing_agent import Diarist
from placing_model import BUILT, Feature
from whole_sandbox import Sandbox, sandbox, text_of

from greenroom.core.ports import Store

READING = ("load_", "find_", "is_", "list_", "path_")
MANY = 120


@pytest.fixture
async def diary(tmp_path: Path) -> AsyncIterator[Sandbox]:
    async with sandbox(tmp_path, Diarist().agent) as whole:
        yield whole


def count_reads(store: Store, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Counts the calls of everything that reads, from now on."""
    calls: Counter[str] = Counter()

    def counted(name: str, read: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            calls[name] += 1
            return read(*arguments, **options)

        return call

    for name in dir(store):
        if name.startswith(READING):
            monkeypatch.setattr(store, name, counted(name, getattr(store, name)))
    return calls


async def grown(whole: Sandbox, starts: int) -> list[str]:
    """A session of 3 turns, then more starts with the same text, then the first branch again. The first three replies."""
    replies: list[str] = []
    said: list[str] = []
    for text in ("hi", "yes", "go"):
        said = [*said, text]
        replies.append(text_of(await whole.chat(*said, session_id="s")))
        said.append(replies[-1])
    for _ in range(starts):
        await whole.chat("hi", session_id="s")
    await whole.chat(*said[:6], "on", session_id="s")
    return replies


CLIENTS: dict[str, tuple[list[str], str, dict[str, int]]] = {
    "starts over": (["hi"], "started_over", {}),
    "carries all to the newest turn": (["hi", "@1", "yes", "@2", "go", "@3", "on", "@4", "x"], "continued", {}),
    "carries it reworded": (["hi", "", "yes", "", "go", "", "on", "", "x"], "continued", {"find_candidates": 1}),
    "sends a window": (["go", "@3", "on", "@4", "x"], "continued", {"find_candidates": 1}),
    "goes back": (["hi", "@1", "yes", "@2", "x"], "went_back", {"find_candidates": 1, "load_path": 1}),
    "carries what was never here": (["x", "y", "x"], "adopted", {"find_candidates": 1}),
}


@pytest.mark.parametrize("client", CLIENTS)
async def test_placing_is_one_query_at_most(diary: Sandbox, monkeypatch: pytest.MonkeyPatch, client: str) -> None:
    said, history, reads = CLIENTS[client]
    replies = await grown(diary, starts=5)
    newest = (await diary.read("/v1/sessions/s/turns", page_size=500))["turns"][-1]
    told = [*replies, newest["reply"]["content"]]
    texts = [told[int(text[1:]) - 1] if text.startswith("@") else text for text in said]
    calls = count_reads(diary.core.store, monkeypatch)
    reply = await diary.chat(*texts, session_id="s")
    assert (reply["metadata"]["history"], dict(calls)) == (history, reads)


async def test_a_client_that_sends_what_is_new_costs_no_read(diary: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    await diary.chat("hi", session_id="s")
    calls = count_reads(diary.core.store, monkeypatch)
    assert (await diary.chat("yes", session_id="s"))["metadata"]["history"] == "next"
    assert dict(calls) == {}


@pytest.mark.skipif(Feature.ANY_BRANCH not in BUILT, reason=Feature.ANY_BRANCH.value)
async def test_a_branch_is_found_by_its_replies_however_many_others_say_the_same(diary: Sandbox) -> None:
    replies = await grown(diary, MANY)
    await diary.chat("hi", session_id="s")
    reply = await diary.chat("hi", replies[0], "other", session_id="s")
    turns = (await diary.read("/v1/sessions/s/turns", page_size=500))["turns"]
    assert (reply["metadata"]["history"], turns[-1]["parent"]) == ("went_back", 1)


@pytest.mark.skipif(Feature.ANY_BRANCH not in BUILT, reason=Feature.ANY_BRANCH.value)
async def test_the_current_branch_is_found_however_many_others_say_the_same(diary: Sandbox) -> None:
    await grown(diary, MANY)
    reply = await diary.chat("hi", "reworded", "other", session_id="s")
    turns = (await diary.read("/v1/sessions/s/turns", page_size=500))["turns"]
    assert (reply["metadata"]["history"], turns[-1]["parent"]) == ("went_back", 1)
