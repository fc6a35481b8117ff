"""A request through each door of the sandbox, and what came back in the same form whichever it was."""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import grpc
from whole_sandbox import CHAT, PATIENCE, Sandbox

from greenroom.edge.errors import from_rpc_error, from_status
from greenroom.v1 import History, Reply, RunTurnRequest, RunTurnsRequest, TurnItem
from greenroom.v1 import Message as CarriedMessage

Message = dict[str, Any]
"""As in OpenAI's chat format."""


def user(text: str) -> Message:
    return {"role": "user", "content": text}


def assistant(text: str) -> Message:
    return {"role": "assistant", "content": text}


@dataclass(frozen=True)
class Request:
    """What a client sends. `key` is its Idempotency-Key, `retry` its x-stainless-retry-count."""

    messages: tuple[Message, ...]
    session_id: str = ""
    user_id: str = ""
    key: str = ""
    retry: int = 0
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Call:
    """One tool call of a reply; `arguments` is JSON as text, `result` any JSON."""

    id: str
    name: str
    arguments: str
    result: Any


@dataclass(frozen=True)
class Answer:
    """A reply. `message` is the assistant's, as a client would keep it to send it back."""

    session_id: str
    chat_id: str
    text: str
    turn: int
    history: str
    calls: tuple[Call, ...]
    replayed: bool
    message: Message = field(compare=False)


@dataclass(frozen=True)
class Refusal:
    """No reply; the HTTP status that says why."""

    status: int


Door = Callable[[Sandbox, Request], Awaitable[Answer | Refusal]]


async def http(whole: Sandbox, request: Request) -> Answer | Refusal:
    response = await whole.http.post(CHAT, json=http_body(request), headers=http_headers(request))
    if response.status_code != 200:
        return Refusal(response.status_code)
    body = response.json()
    message = body["choices"][0]["message"]
    return http_answer(message, body, body["metadata"], replayed="idempotency-replayed" in response.headers)


async def http_streamed(whole: Sandbox, request: Request) -> Answer | Refusal:
    response = await whole.http.post(CHAT, json={**http_body(request), "stream": True}, headers=http_headers(request))
    if response.status_code != 200:
        return Refusal(response.status_code)
    events = [line.removeprefix("data: ") for line in response.text.splitlines() if line.startswith("data: ")]
    if (last := events.pop()) != "[DONE]":  # the reply had begun
        return Refusal({"server_error": 500}[json.loads(last)["error"]["code"]])
    chunks = [json.loads(event) for event in events]
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    calls = [call for delta in deltas for call in delta.get("tool_calls", ())]
    assert [call.pop("index") for call in calls] == list(range(len(calls)))
    message: Message = {"role": "assistant", "content": "".join(delta.get("content") or "" for delta in deltas)}
    if calls:
        message["tool_calls"] = calls
    return http_answer(message, chunks[0], chunks[-1]["metadata"], replayed="idempotency-replayed" in response.headers)


def http_body(request: Request) -> dict[str, Any]:
    """The body, with what is absent left out."""
    given = {"session_id": request.session_id, "user_id": request.user_id, "metadata": dict(request.metadata)}
    return {"messages": list(request.messages), **{name: value for name, value in given.items() if value}}


def http_headers(request: Request) -> dict[str, str]:
    headers = {"x-stainless-retry-count": str(request.retry)}
    return {**headers, "idempotency-key": request.key} if request.key else headers


def http_answer(message: Message, named: Any, metadata: Any, *, replayed: bool) -> Answer:
    calls = tuple(
        Call(call["id"], call["function"]["name"], call["function"]["arguments"], call["function"]["result"])
        for call in message.get("tool_calls", ())
    )
    # a reply that ends a loop of tool calls names its tools, and shows no calls
    assert not calls or metadata["tools_used"] == list(dict.fromkeys(call.name for call in calls))
    return Answer(
        named["session_id"],
        named["chat_id"],
        message["content"],
        metadata["turn"],
        metadata["history"],
        calls,
        replayed,
        message,
    )


async def grpc_turn(whole: Sandbox, request: Request) -> Answer | Refusal:
    try:
        return grpc_answer((await whole.agents.RunTurn(grpc_request(request), timeout=PATIENCE)).reply)
    except grpc.aio.AioRpcError as error:
        return Refusal(from_rpc_error(error).row.status)


async def grpc_list(whole: Sandbox, request: Request) -> Answer | Refusal:
    call = whole.agents.RunTurns(timeout=PATIENCE)
    await call.write(RunTurnsRequest(turns=[TurnItem(sequence=7, turn=grpc_request(request))]))
    await call.done_writing()
    [outcome] = [outcome async for response in call for outcome in response.outcomes]
    assert outcome.sequence == 7
    if outcome.HasField("error"):
        return Refusal(from_status(outcome.error).row.status)
    return grpc_answer(outcome.reply)


def grpc_request(request: Request) -> RunTurnRequest:
    return RunTurnRequest(
        messages=[
            CarriedMessage(
                role=message["role"],
                content=message["content"],
                tool_calls_json=as_sent(message["tool_calls"]) if "tool_calls" in message else "",
                tool_call_id=message.get("tool_call_id", ""),
            )
            for message in request.messages
        ],
        session_id=request.session_id,
        user_id=request.user_id,
        metadata_json=as_sent(dict(request.metadata)) if request.metadata else "",
        idempotency_key=request.key,
        retry_count=request.retry,
    )


def as_sent(value: Any) -> str:
    """As httpx writes it: the second request under a key must be the same body through any door."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def grpc_answer(reply: Reply) -> Answer:
    calls = tuple(
        Call(call.id, call.name, call.arguments_json, json.loads(call.result_json)) for call in reply.tool_calls
    )
    message: Message = {"role": "assistant", "content": reply.text}
    if calls:
        functions = [{"name": c.name, "arguments": c.arguments, "result": c.result} for c in calls]
        shown = zip(calls, functions, strict=True)
        message["tool_calls"] = [{"id": c.id, "type": "function", "function": function} for c, function in shown]
    history = History.Name(reply.history).removeprefix("HISTORY_").lower()
    return Answer(reply.session_id, reply.chat_id, reply.text, reply.number, history, calls, reply.replayed, message)


DOORS: Mapping[str, Door] = MappingProxyType(
    {"http": http, "http streamed": http_streamed, "grpc": grpc_turn, "grpc in lists": grpc_list}
)
