"""The same turns through every door: HTTP, HTTP streamed, gRPC, and gRPC's stream of lists. One table, one right answer."""

import json
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import pytest
from whole_sandbox import CHAT, PATIENCE, Sandbox

from greenroom.v1 import History, Message, Reply, RunTurnRequest, RunTurnsRequest, TurnItem


class Answer(NamedTuple):
    """What a door gives back of a turn."""

    text: str
    turn: int
    history: str
    tools: tuple[str, ...]


class Step(NamedTuple):
    """What is sent ("u: …", "a: …", "s: …") and what must come back."""

    said: tuple[str, ...]
    answer: Answer


ADD = ("add",)
CASES: dict[str, list[Step]] = {
    "only what is new": [
        Step(("u: add",), Answer("1", 1, "new", ADD)),
        Step(("u: add",), Answer("2", 2, "next", ADD)),
        Step(("u: hello",), Answer("hello", 3, "next", ())),
    ],
    "the whole conversation": [
        Step(("u: add",), Answer("1", 1, "new", ADD)),
        Step(("u: add", "a: 1", "u: add"), Answer("2", 2, "continued", ADD)),
        Step(("u: add", "a: 1", "u: add", "a: 2", "u: add"), Answer("3", 3, "continued", ADD)),
    ],
    "an edit goes back, with its world": [
        Step(("u: add",), Answer("1", 1, "new", ADD)),
        Step(("u: add", "a: 1", "u: add"), Answer("2", 2, "continued", ADD)),
        Step(("u: add", "a: 1", "u: add add"), Answer("2 3", 3, "went_back", ADD)),
    ],
    "a start over": [
        Step(("u: add",), Answer("1", 1, "new", ADD)),
        Step(("u: add", "a: 1", "u: add"), Answer("2", 2, "continued", ADD)),
        Step(("u: add",), Answer("1", 3, "started_over", ADD)),
    ],
    "a past that was never here": [
        Step(("u: hi", "a: hello", "u: add"), Answer("1", 2, "adopted", ADD)),
        Step(("u: hi", "a: hello", "u: add", "a: 1", "u: add"), Answer("2", 3, "continued", ADD)),
    ],
    "a failing tool leaves no trace": [
        Step(("u: add",), Answer("1", 1, "new", ADD)),
        Step(("u: spoil",), Answer("RuntimeError", 2, "next", ("spoil",))),
        Step(("u: add",), Answer("2", 3, "next", ADD)),
    ],
    "several messages in a row are one turn": [
        Step(("s: be kind", "u: add", "u: add"), Answer("1 2", 1, "new", ADD)),
        Step(("u: add",), Answer("3", 2, "next", ADD)),
    ],
    "the agent opens": [
        Step(("s: greet",), Answer("hello", 1, "new", ())),
        Step(("a: hello", "u: add"), Answer("1", 2, "continued", ADD)),
    ],
}
ROLES = {"u": "user", "a": "assistant", "s": "system"}


def told(said: str) -> tuple[str, str]:
    role, _, text = said.partition(": ")
    return ROLES[role], text


async def over_http(whole: Sandbox, said: tuple[str, ...]) -> Answer:
    body = (await whole.post(http_body(said))).json()
    return http_answer(body["choices"][0]["message"]["content"], body["metadata"])


async def over_http_streamed(whole: Sandbox, said: tuple[str, ...]) -> Answer:
    response = await whole.http.post(CHAT, json={**http_body(said), "stream": True})
    events = [line.removeprefix("data: ") for line in response.text.splitlines() if line.startswith("data: ")]
    assert events.pop() == "[DONE]"
    chunks = [json.loads(event) for event in events]
    text = "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks)
    return http_answer(text, chunks[-1]["metadata"])


def http_body(said: tuple[str, ...]) -> dict[str, Any]:
    return {"messages": [{"role": role, "content": text} for role, text in map(told, said)], "session_id": "case"}


def http_answer(text: str, metadata: Any) -> Answer:
    return Answer(text, metadata["turn"], metadata["history"], tuple(metadata["tools_used"]))


async def over_grpc(whole: Sandbox, said: tuple[str, ...]) -> Answer:
    return grpc_answer((await whole.agents.RunTurn(grpc_request(said), timeout=PATIENCE)).reply)


async def over_grpc_in_lists(whole: Sandbox, said: tuple[str, ...]) -> Answer:
    call = whole.agents.RunTurns(timeout=PATIENCE)
    await call.write(RunTurnsRequest(turns=[TurnItem(sequence=7, turn=grpc_request(said))]))
    await call.done_writing()
    [outcome] = [outcome async for response in call for outcome in response.outcomes]
    assert outcome.sequence == 7
    return grpc_answer(outcome.reply)


def grpc_request(said: tuple[str, ...]) -> RunTurnRequest:
    messages = [Message(role=role, content=text) for role, text in map(told, said)]
    return RunTurnRequest(messages=messages, session_id="case")


def grpc_answer(reply: Reply) -> Answer:
    history = History.Name(reply.history).removeprefix("HISTORY_").lower()
    return Answer(reply.text, reply.number, history, tuple(dict.fromkeys(call.name for call in reply.tool_calls)))


Door = Callable[[Sandbox, tuple[str, ...]], Awaitable[Answer]]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("door", [over_http, over_http_streamed, over_grpc, over_grpc_in_lists])
async def test_the_same_turns_have_the_same_answers_through_every_door(whole: Sandbox, door: Door, case: str) -> None:
    assert [await door(whole, step.said) for step in CASES[case]] == [step.answer for step in CASES[case]]
