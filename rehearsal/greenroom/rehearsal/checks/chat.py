"""One chat request and its reply: the published shapes."""

import json
from typing import Any

from greenroom.rehearsal.check import DoesNotHold, Level, NotOffered, NotTold, When, check, demand
from greenroom.rehearsal.endpoint import Answer
from greenroom.rehearsal.replies import Reply, answered, is_number, is_whole, turn
from greenroom.rehearsal.stage import Message, Stage, user_says

_SYSTEM = {"role": "system", "content": "You are a helpful customer service agent."}
_CHOICE = '{"index": 0, "message": {"role": "assistant", "content": "…"}, "finish_reason": "stop"}'
_CALL = (
    '{"id": "call_abc123", "type": "function", "function": {"name": "…", "arguments": "{…}" as a string, "result": …}}'
)


def _published(stage: Stage, *, full: bool) -> dict[str, Any]:
    """The page's request, in this run's own session."""
    metadata = {
        "scenario_id": "financial_stress_delivery",
        "persona": "delivery_worker_bengaluru",
        "stress_level": "high",
        "location": "bengaluru",
    }
    messages: list[Message] = [*([_SYSTEM] if full else []), user_says("I need help with my order #12345")]
    named = {"user_id": stage.names.user(), "session_id": stage.names.session()}
    return stage.body(messages, **named, **({"metadata": metadata} if full else {}))


@check("chat.minimal", "CHAT-01", Level.REQUIRED, "a request with nothing but messages is answered", when=When.FIRST)
async def minimal(stage: Stage) -> str:
    body = {"messages": [user_says("Hello, I need help")]}
    right = "200: the page's minimal request has only messages"
    if stage.model and not stage.options.model:
        right += f" (it is answered with a model, {stage.model!r}, which the page does not send)"
    await answered(stage, body, right)
    return "answered 200"


@check("chat.published", "CHAT-02 CHAT-03", Level.REQUIRED, "the published requests with ids and metadata are answered")
async def published(stage: Stage) -> str:
    for full in (False, True):
        await answered(stage, _published(stage, full=full), "200: it is the page's own request")
    return "answered 200"


@check("chat.choices", "CHAT-05", Level.REQUIRED, "choices[0] is the assistant's message, as published")
async def choices(stage: Stage) -> str:
    reply = await turn(stage, [user_says("Hello, I need help")], session_id=stage.names.session())
    listed = reply.body.get("choices")
    first = listed[0] if isinstance(listed, list) and listed else None
    if not isinstance(first, dict):
        raise DoesNotHold("the reply has no choices[0]", _CHOICE, reply.answer)
    message = first.get("message")
    if not isinstance(message, dict):
        raise DoesNotHold("choices[0] has no message", _CHOICE, reply.answer)
    demand(message.get("role") == "assistant", f"role is {message.get('role')!r}", _CHOICE, reply.answer)
    content = message.get("content")
    demand(isinstance(content, str), f"content is {content!r}", "a string", reply.answer)
    demand(first.get("index") == 0, f"index is {first.get('index')!r}", "0", reply.answer)
    finish = first.get("finish_reason")
    demand(finish == "stop", f"finish_reason is {finish!r}", "stop: tools run inside", reply.answer)
    return f"{str(content)[:60]!r}"


@check(
    "chat.envelope",
    "CHAT-05 CHAT-08 CHAT-09",
    Level.REQUIRED,
    "session_id, chat_id, metadata and evaluation_metadata stand beside choices",
)
async def envelope(stage: Stage) -> str:
    reply = await turn(stage, [user_says(stage.options.lines[0])], session_id=stage.names.session())
    wanted = {"session_id": str, "chat_id": str, "metadata": dict, "evaluation_metadata": dict}
    wrong = [name for name, kind in wanted.items() if not isinstance(reply.body.get(name), kind)]
    right = "session_id and chat_id are strings, metadata and evaluation_metadata objects, at top level"
    demand(not wrong, f"no {', '.join(wrong)}", right, reply.answer)
    return "all four"


@check("chat.openai", "CHAT-05", Level.EXTRA, "id, object, created, model and usage are there for OpenAI's clients")
async def openai_fields(stage: Stage) -> str:
    replies = [await turn(stage, [user_says("Hello")], session_id=stage.names.session()) for _ in range(2)]
    first = replies[0]
    wanted = {
        "id": isinstance(first.body.get("id"), str),
        'object: "chat.completion"': first.body.get("object") == "chat.completion",
        "created (whole seconds)": is_whole(first.body.get("created")),
        "model": isinstance(first.body.get("model"), str),
        "usage (three counts)": _counts(first.body.get("usage")),
    }
    wrong = [name for name, right in wanted.items() if not right]
    if len(wrong) == len(wanted):
        raise NotOffered("replies have none of them")
    demand(not wrong, f"wrong or missing: {', '.join(wrong)}", "OpenAI's chat.completion object", first.answer)
    demand(replies[0].body["id"] != replies[1].body.get("id"), "two turns have one id", "an id per turn", first.answer)
    return str(first.body["id"])


def _counts(usage: Any) -> bool:
    names = ("prompt_tokens", "completion_tokens", "total_tokens")
    return isinstance(usage, dict) and all(is_whole(usage.get(name)) for name in names)


@check("chat.metadata", "CHAT-08", Level.REQUIRED, "metadata: response_time_ms, tools_used, agent_confidence")
async def metadata(stage: Stage) -> str:
    reply = await turn(stage, [user_says(stage.options.lines[0])], session_id=stage.names.session())
    told = reply.metadata
    if not told:
        raise NotOffered("replies have no metadata")
    taken, used, confidence = (told.get(name) for name in ("response_time_ms", "tools_used", "agent_confidence"))
    measured = isinstance(taken, int) and is_whole(taken) and taken >= 0
    demand(measured, f"response_time_ms is {taken!r}", "measured, for instance 1200", reply.answer)
    right = "names of tools, none twice; [] when none ran"
    listed = isinstance(used, list) and all(isinstance(name, str) for name in used) and len(set(used)) == len(used)
    demand(listed, f"tools_used is {used!r}", right, reply.answer)
    sure = confidence is None or (is_number(confidence) and 0 <= float(confidence) <= 1)
    demand(sure, f"agent_confidence is {confidence!r}", "a number from 0 to 1, or left out", reply.answer)
    called = list(dict.fromkeys(_name(call) for call in reply.tool_calls))
    if called:
        demand(used == called, f"tools_used is {used!r}, but tool_calls {called!r}", "the same names", reply.answer)
    return f"{taken} ms, tools {', '.join(used) if used else 'none'}"


def _name(call: Any) -> Any:
    function = call.get("function") if isinstance(call, dict) else None
    return function.get("name") if isinstance(function, dict) else None


@check(
    "chat.tool_calls",
    "CHAT-10 CHAT-09",
    Level.REQUIRED,
    "tools run inside: each call is told with its arguments and its result",
    when=When.LAST,
)
async def tool_calls(stage: Stage) -> str:
    for line in stage.options.lines:
        await turn(stage, [user_says(line)], session_id=stage.names.session())
    seen: set[str] = set()
    for answer in stage.replies:
        reply = Reply(answer)
        calls = reply.tool_calls
        for call in calls:
            _judge_call(call, answer)
            seen.add(_name(call))
        ids = [call["id"] for call in calls]
        demand(len(set(ids)) == len(ids), "two calls have one id", "an id per call", answer)
        evaluation = reply.body.get("evaluation_metadata")
        if calls and isinstance(evaluation, dict) and "tool_called" in evaluation:
            first, said = _name(calls[0]), evaluation["tool_called"]
            demand(said == first, f"tool_called is {said!r}, the first call {first!r}", "the first call's name", answer)
    if not seen:
        raise NotTold("no reply had tool calls; --say TEXT makes a user say what your agent needs a tool for")
    return f"called: {', '.join(sorted(seen))}"


def _judge_call(call: Any, answer: Answer) -> None:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict) or not isinstance(call.get("id"), str) or call.get("type") != "function":
        raise DoesNotHold("a tool call has another shape", _CALL, answer)
    demand(isinstance(function.get("name"), str), "a call has no function.name", _CALL, answer)
    arguments = function.get("arguments")
    try:
        json.loads(arguments if isinstance(arguments, str) else "")
    except ValueError:
        raise DoesNotHold(f"arguments are {arguments!r}", "JSON, in a string", answer) from None
    demand("result" in function, f"the call of {function['name']} has no result", _CALL, answer)


@check("chat.system", "CHAT-04 CHAT-11", Level.REQUIRED, "a system message with context is taken")
async def system(stage: Stage) -> str:
    context = {"role": "system", "content": "Document 1: Orders ship within two hours."}
    body = stage.body([context, user_says("Hello")], session_id=stage.names.session())
    await answered(stage, body, "200: the page passes documents in system messages")
    return "answered 200"


@check("chat.parts", "CHAT-04", Level.RECOMMENDED, "content may be a list of text parts, and a role developer")
async def parts(stage: Stage) -> str:
    text = [{"type": "text", "text": "Hello"}]
    messages: list[Message] = [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": text}]
    await answered(stage, stage.body(messages, session_id=stage.names.session()), "200: OpenAI's clients send them")
    return "answered 200"


@check("chat.unknown_fields", "CHAT-03", Level.RECOMMENDED, "fields of OpenAI's that it does not know do no harm")
async def unknown_fields(stage: Stage) -> str:
    extra = {"temperature": 0.2, "top_p": 1, "seed": 7, "store": False, "stream": False, "user": stage.names.user()}
    body = stage.body([user_says("Hello")], session_id=stage.names.session(), **extra)
    await answered(stage, body, "200: what is not needed is passed over")
    return "answered 200"


@check("chat.nulls", "CHAT-02", Level.EXTRA, "null, and an empty id, mean that an optional field is absent")
async def nulls(stage: Stage) -> str:
    right = "200: null means absent"
    await answered(stage, stage.body([user_says("Hello")], user_id=None, session_id=None, metadata=None), right)
    await answered(stage, stage.body([user_says("Hello")], user_id="", session_id=""), "200: an empty id means absent")
    return "answered 200"


@check("chat.models", "CHAT-05", Level.EXTRA, "GET /v1/models lists the agents")
async def models(stage: Stage) -> str:
    answer = await stage.endpoint.ask("GET", "/v1/models")
    if answer.status in (404, 405, 501):
        raise NotOffered(f"answered {answer.status}")
    body = answer.json
    listed = body.get("data") if isinstance(body, dict) else None
    ids = [model.get("id") for model in listed if isinstance(model, dict)] if isinstance(listed, list) else []
    right = '{"object": "list", "data": [{"id": "…", "object": "model"}]}'
    demand(answer.status == 200 and bool(ids), f"answered {answer.status}", right, answer)
    return ", ".join(map(str, ids))


CHECKS = (
    minimal,
    published,
    choices,
    envelope,
    openai_fields,
    metadata,
    system,
    parts,
    unknown_fields,
    nulls,
    models,
    tool_calls,
)
