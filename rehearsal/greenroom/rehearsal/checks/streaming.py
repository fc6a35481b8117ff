"""`stream: true`: server-sent events in OpenAI's form, where they are offered."""

import json
from dataclasses import dataclass
from typing import Any

from greenroom.rehearsal.check import DoesNotHold, Level, NotOffered, NotTold, check, demand
from greenroom.rehearsal.endpoint import Answer
from greenroom.rehearsal.replies import is_whole
from greenroom.rehearsal.stage import Stage, user_says

_EVENTS = "text/event-stream"


@dataclass(frozen=True, slots=True)
class Streamed:
    """An answer that came as events. `ended`: the last was `[DONE]`."""

    answer: Answer
    chunks: list[dict[str, Any]]
    ended: bool
    session_id: str

    @property
    def choices(self) -> list[dict[str, Any]]:
        """The first choice of each chunk that has one."""
        listed = (chunk.get("choices") for chunk in self.chunks)
        return [choices[0] for choices in listed if isinstance(choices, list) and choices]

    @property
    def deltas(self) -> list[dict[str, Any]]:
        found = (choice.get("delta") for choice in self.choices)
        return [delta for delta in found if isinstance(delta, dict)]

    @property
    def text(self) -> str:
        return "".join(delta.get("content") or "" for delta in self.deltas)


async def _stream(stage: Stage, line: str = "Hello", **fields: Any) -> Streamed:
    """Raises `NotOffered` where the endpoint answers in one piece or refuses to stream."""
    session = stage.names.session()
    body = stage.body([user_says(line)], session_id=session, stream=True, **fields)
    answer = await stage.endpoint.ask("POST", "/v1/chat/completions", body)
    if answer.media_type == "application/json" or answer.status in (400, 404, 422, 501):
        raise NotOffered(f"stream: true is answered {answer.status} in one piece")
    demand(answer.status == 200, f"answered {answer.status}", f"200 and {_EVENTS}", answer)
    chunks: list[dict[str, Any]] = []
    ended = False
    for line_ in answer.text.splitlines():
        if not line_.startswith("data:"):
            continue
        data = line_.removeprefix("data:").strip()
        ended = data == "[DONE]"
        if not ended:
            chunks.append(_chunk(data, answer))
    return Streamed(answer, chunks, ended, session)


def _chunk(data: str, answer: Answer) -> dict[str, Any]:
    try:
        chunk = json.loads(data)
    except ValueError:
        chunk = None
    if not isinstance(chunk, dict):
        raise DoesNotHold(f"an event is {data[:80]!r}", "data: and a chat.completion.chunk in JSON", answer)
    return chunk


@check(
    "streaming.chunks", "STREAM-01", Level.RECOMMENDED, "chunks in OpenAI's form, from role to finish_reason to [DONE]"
)
async def chunks(stage: Stage) -> str:
    got = await _stream(stage)
    kind = got.answer.media_type
    demand(kind == _EVENTS, f"its content type is {kind!r}", _EVENTS, got.answer)
    demand(bool(got.deltas), "no chunk has choices[0].delta", "chat.completion.chunk objects", got.answer)
    objects = {chunk.get("object") for chunk in got.chunks}
    demand(objects == {"chat.completion.chunk"}, f"object is {objects!r}", "chat.completion.chunk", got.answer)
    for name in ("id", "created", "model"):
        values = {json.dumps(chunk.get(name)) for chunk in got.chunks}
        demand(len(values) == 1, f"{name} differs between chunks", "the same on all", got.answer)
    role = got.deltas[0].get("role")
    demand(role == "assistant", f"the first delta's role is {role!r}", "assistant", got.answer)
    finish = got.choices[-1].get("finish_reason")
    demand(finish == "stop", f"the last finish_reason is {finish!r}", "stop", got.answer)
    demand(got.ended, "it does not end with [DONE]", "data: [DONE]", got.answer)
    return f"{len(got.chunks)} chunks"


@check("streaming.fields", "STREAM-04", Level.EXTRA, "session_id and chat_id on every chunk, metadata on the last")
async def fields(stage: Stage) -> str:
    got = await _stream(stage)
    if not any("session_id" in chunk for chunk in got.chunks):
        raise NotOffered("chunks have no session_id")
    for name in ("session_id", "chat_id"):
        everywhere = all(isinstance(chunk.get(name), str) for chunk in got.chunks)
        demand(everywhere, f"{name} is not on every chunk", "on every chunk", got.answer)
    last = [chunk for chunk in got.chunks if chunk.get("choices") and chunk["choices"][0].get("finish_reason")]
    full = bool(last) and all(isinstance(last[-1].get(name), dict) for name in ("metadata", "evaluation_metadata"))
    right = "metadata and evaluation_metadata on the chunk with finish_reason"
    demand(full, "the last chunk lacks metadata or evaluation_metadata", right, got.answer)
    return "there"


@check("streaming.usage", "STREAM-05", Level.EXTRA, "usage comes when it is asked for, and only then")
async def usage(stage: Stage) -> str:
    without = await _stream(stage)
    with_it = await _stream(stage, stream_options={"include_usage": True})
    uncalled = any(chunk.get("usage") for chunk in without.chunks)
    demand(not uncalled, "usage came without being asked for", "none", without.answer)
    last = with_it.chunks[-1] if with_it.chunks else {}
    counted = last.get("choices") == [] and isinstance(last.get("usage"), dict)
    right = 'a last chunk with "choices": [] and usage'
    demand(counted, "no usage came where it was asked for", right, with_it.answer)
    return f"{last['usage'].get('total_tokens')} tokens"


@check("streaming.tool_calls", "STREAM-03", Level.RECOMMENDED, "tool calls are deltas with index, sent once and whole")
async def tool_calls(stage: Stage) -> str:
    names: list[str] = []
    for line in stage.options.lines:
        got = await _stream(stage, line)
        calls = [call for delta in got.deltas for call in delta.get("tool_calls") or ()]
        indexes: list[Any] = [call.get("index") if isinstance(call, dict) else None for call in calls]
        right = "0, 1, 2, …, each call in one delta or more"
        in_order = all(map(is_whole, indexes)) and sorted(set(indexes)) == list(range(len(set(indexes))))
        demand(in_order, f"index goes {indexes}", right, got.answer)
        named = [call for call in calls if call.get("id")]
        demand(len(named) == len(set(indexes)), "an id is missing or sent twice", "once for each call", got.answer)
        told = {call["index"] for call in calls if "result" in (call.get("function") or {})}
        demand(told == set(indexes), "a call has no result", "function.result, whole", got.answer)
        names += [str((call.get("function") or {}).get("name")) for call in named]
    if not names:
        raise NotTold("no streamed reply had tool calls; --say TEXT makes a user say what needs one")
    return f"called: {', '.join(dict.fromkeys(names))}"


@check("streaming.whole", "STREAM-06", Level.RECOMMENDED, "what was streamed is what is kept of the turn")
async def whole(stage: Stage) -> str:
    got = await _stream(stage)
    read = await stage.endpoint.ask("GET", f"/v1/sessions/{got.session_id}/turns")
    if read.status != 200:
        raise NotTold(f"turns cannot be read back (answered {read.status})")
    turns = (read.json or {}).get("turns") or [{}]
    kept = json.dumps(turns[-1], ensure_ascii=False)
    found = json.dumps(got.text, ensure_ascii=False)[1:-1] in kept
    demand(found, f"the text {got.text[:80]!r} is not in the stored turn", "the same text", read)
    return "the same text"


@check("streaming.errors", "STREAM-06", Level.RECOMMENDED, "a request that is wrong gets a real error, no stream")
async def errors(stage: Stage) -> str:
    await _stream(stage)
    answer = await stage.chat({**stage.body([]), "stream": True})
    demand(answer.status == 400, f"answered {answer.status}", "400 before any event", answer)
    return "400"


CHECKS = (chunks, fields, usage, tool_calls, whole, errors)
