"""Agents behind OpenAI-compatible endpoints: the whole history goes up, the reply comes through as it is made."""

import asyncio
import json
from typing import Any

import pytest
from stub_endpoint import Asked, Endpoint, Told, endpoint, events
from talk import Told as Heard
from talk import talking, until

from greenroom.agents.http import OpenAiAgent
from greenroom.core.errors import AgentDown, AgentFailed, ContextExceeded
from greenroom.core.records import Message
from greenroom.sdk.testing import play

CALL = {
    "id": "call_7",
    "type": "function",
    "function": {"name": "get_order", "arguments": '{"id": 7}', "result": {"status": "shipped"}},
}
FAILED = {
    "id": "call_8",
    "type": "function",
    "function": {"name": "notify", "arguments": "{", "result": {"error": {"type": "timeout", "message": "late"}}},
}


def completion(content: str | None = "hi", finish: str = "stop", **message: Any) -> dict[str, Any]:
    return {
        "object": "chat.completion",
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": content, **message}, "finish_reason": finish}
        ],
        "usage": {"prompt_tokens": 31, "completion_tokens": 4, "total_tokens": 35},
    }


def delta(finish: str | None = None, **parts: Any) -> dict[str, Any]:
    return {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": parts, "finish_reason": finish}]}


def agent_at(served: Endpoint, **options: Any) -> OpenAiAgent:
    return OpenAiAgent(f"{served.url}/v1", model="m", **options)


@pytest.fixture(autouse=True)
def no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


async def test_the_whole_history_goes_up_with_what_was_asked_of_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-env")
    async with endpoint(Told(completion(None, tool_calls=[CALL, FAILED])), Told(completion("bye"))) as served:
        agent = agent_at(served, instructions="Be kind.")
        async with talking(agent) as talk:
            context = (Message("system", "In stock: 3."), Message("user", "Where is it?"))
            first = (await talk.send(context, options={"temperature": 0.5, "model": "http"}, user_id="u")).turn
            second = await talk.say("Thanks")
    calls = [(call.id, call.name, call.arguments_json, call.result_json, call.ok) for call in first.tool_calls]
    assert calls == [
        ("call_7", "get_order", '{"id": 7}', '{"status":"shipped"}', True),
        ("call_8", "notify", '{"arguments": "{"}', '{"error":{"type":"timeout","message":"late"}}', False),
    ]
    assert (first.reply, second.reply) == ("", "bye")
    assert (second.prompt_tokens, second.completion_tokens) == (31, 4)
    one, two = served.asked
    assert (one.method, one.path, one.headers["authorization"]) == ("POST", "/v1/chat/completions", "Bearer sk-env")
    assert one.headers["x-session-id"] == "s1"
    system = [{"role": "system", "content": "Be kind."}, {"role": "system", "content": "In stock: 3."}]
    assert one.body == {
        "model": "m",
        "messages": [*system, {"role": "user", "content": "Where is it?"}],
        "temperature": 0.5,
        "user": "u",
    }
    assert [message["role"] for message in two.body["messages"]] == [
        *("system", "system"),
        *("user", "assistant", "tool", "tool", "assistant"),
        "user",
    ]


async def test_a_stream_comes_through_as_it_is_made() -> None:
    halfway = asyncio.Event()
    first, *rest = events(
        delta(role="assistant", content="It is "),
        delta(content="on its way"),
        delta(tool_calls=[{"index": 0, "id": "call_7", "function": {"name": "get_order", "arguments": '{"id"'}}]),
        delta(tool_calls=[{"index": 0, "function": {"arguments": ": 7}"}}]),
        delta("length", content="."),
        {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 3}, "metadata": {"agent_confidence": 0.5}},
    )
    heard = Heard()
    async with (
        endpoint(Told(pieces=(first, b": ping\n\n", *rest), pause=halfway)) as served,
        talking(agent_at(served)) as talk,
    ):
        saying = asyncio.ensure_future(talk.say("hi", told=heard))
        await until(lambda: heard.pieces == ["It is "])
        halfway.set()
        turn = await saying
    assert served.asked[0].body["stream"] is True
    assert served.asked[0].body["stream_options"] == {"include_usage": True}
    assert (heard.text, turn.reply) == ("It is on its way.", "It is on its way.")
    [call] = turn.tool_calls
    assert (call.id, call.name, json.loads(call.arguments_json), call.result_json) == (
        "call_7",
        "get_order",
        {"id": 7},
        "null",
    )
    assert [told.id for told in heard.calls] == ["call_7"]
    assert (turn.prompt_tokens, turn.completion_tokens, turn.confidence) == (9, 3, 0.5)
    assert json.loads(turn.reply_metadata_json) == {"finish_reason": "length"}


async def test_an_endpoint_that_does_not_stream_is_read_whole() -> None:
    heard = Heard()
    async with endpoint(Told(completion("whole"))) as served, talking(agent_at(served)) as talk:
        assert (await talk.say("hi", told=heard)).reply == "whole"
    assert heard.text == ""


@pytest.mark.parametrize(
    ("told", "failure", "detail"),
    [
        (Told(pieces=events(delta(content="It"), done=False), cut=True), AgentDown, "RemoteProtocolError"),
        (Told(pieces=events(delta(content="It"), done=False)), AgentDown, "ended before"),
        (Told(pieces=events(delta(content="It"), {"error": {"message": "hunter2"}})), AgentDown, "hunter2"),
        (Told(pieces=(b"data: nonsense\n\n",)), AgentFailed, "no JSON"),
        (Told(pieces=events([1])), AgentFailed, "is an object"),
        (Told({"error": {"message": "hunter2"}}), AgentDown, "hunter2"),
        (Told({"error": {"code": "context_length_exceeded", "message": "hunter2"}}, 400), ContextExceeded, "hunter2"),
        (Told({"error": "hunter2: Input is too long"}, 422), ContextExceeded, "answered 422"),
        (Told({"error": {"message": "hunter2: the temperature is too high"}}, 400), AgentFailed, "answered 400"),
        (Told(pieces=events({"error": {"type": "exceed_context_size_error"}})), ContextExceeded, "is an error"),
        (Told("hunter2", 413), ContextExceeded, "answered 413"),
        (Told({"choices": []}), AgentFailed, "has choices"),
        (Told({"choices": ["a"]}), AgentFailed, "not of OpenAI's format"),
        (Told(completion(tool_calls=[{"id": "x"}])), AgentFailed, "without a name"),
        (Told("hunter2", 404), AgentFailed, "answered 404"),
    ],
)
async def test_what_goes_wrong_there_is_a_failure_here(told: Told, failure: type[Exception], detail: str) -> None:
    async with endpoint(Told(completion()), told) as served, talking(agent_at(served)) as talk:
        await talk.say("hi")
        error = await talk.fails("again", told=Heard() if told.pieces else None)
        assert type(error) is failure
        assert "hunter2" not in str(error)
        assert detail in (await talk.failures())[0].detail


async def test_without_a_name_the_first_model_is_asked() -> None:
    def answer(asked: Asked) -> Told:
        if asked.method == "GET":
            return Told({"data": [{"id": "first"}, {"id": "second"}]})
        return Told(completion(asked.body["model"]))

    async with endpoint(answer) as served:
        played = await play(OpenAiAgent(f"{served.url}/v1/chat/completions"), ["hi", "again"])
    assert [reply.text for reply in played] == ["first", "first"]
    assert [asked.path for asked in served.asked] == ["/v1/models", *["/v1/chat/completions"] * 2]


@pytest.mark.parametrize("address", ["/v1?version=2", "/v1/?version=2", "/v1/chat/completions?version=2"])
async def test_what_is_behind_the_question_mark_of_an_address_goes_with_every_request(address: str) -> None:
    async with endpoint(
        lambda asked: Told({"data": [{"id": "m"}]} if asked.method == "GET" else completion())
    ) as served:
        agent = OpenAiAgent(served.url + address)
        await play(agent, ["hi"])
    assert [asked.path for asked in served.asked] == ["/v1/models?version=2", "/v1/chat/completions?version=2"]
    assert "version" not in agent.name


async def test_an_endpoint_that_refuses_what_nobody_asked_for_is_asked_without() -> None:
    """As Mistral's does, which knows neither `user` nor `stream_options`."""

    def strict(asked: Asked) -> Told:
        extra = [name for name in ("user", "stream_options") if name in asked.body]
        if extra:
            told = {"type": "extra_forbidden", "loc": ["body", extra[-1]], "msg": "Extra inputs are not permitted"}
            return Told({"object": "error", "message": {"detail": [told]}}, status=422)
        return Told(completion()) if "stream" not in asked.body else Told(pieces=events(delta("stop", content="hi")))

    async with endpoint(strict) as served, talking(agent_at(served)) as talk:
        for heard in (Heard(), Heard(), None):
            assert (await talk.say("Hi", user_id="u", told=heard)).reply == "hi"
    sent = [("stream" in asked.body, "stream_options" in asked.body, "user" in asked.body) for asked in served.asked]
    assert sent == [(True, True, True), (True, False, True), *[(True, False, False)] * 2, (False, False, False)]


async def test_what_was_refused_is_not_asked_again_as_it_was() -> None:
    refusal = Told({"error": {"message": "roles alternate: user, assistant"}}, status=400)
    async with endpoint(refusal) as served, talking(agent_at(served)) as talk:
        with pytest.raises(AgentFailed):
            await talk.say("Hi")
    assert len(served.asked) == 1


async def test_what_was_asked_for_is_never_left_out() -> None:
    refusal = Told({"error": {"message": "no temperature, dear user"}}, status=400)
    async with endpoint(refusal) as served, talking(agent_at(served)) as talk:
        for _turn in range(2):
            with pytest.raises(AgentFailed):
                await talk.say("Hi", user_id="u", options={"temperature": 1})
    assert [sorted(asked.body) for asked in served.asked] == [
        ["messages", "model", "temperature", "user"],
        ["messages", "model", "temperature"],
    ] * 2


async def test_what_an_endpoint_of_our_own_format_says_is_kept() -> None:
    told = completion("hi") | {
        "evaluation_metadata": {"intent": "greeting"},
        "metadata": {"agent_confidence": 0.9, "turn": 7},
    }
    async with endpoint(Told(told)) as served:
        [played] = await play(agent_at(served, api_key="sk-own"), ["hi"])
    assert (played.confidence, played.evaluation["intent"], played.metadata) == (0.9, "greeting", {})
    assert served.asked[0].headers["authorization"] == "Bearer sk-own"


def called(id: str | None, name: str | None, arguments: Any, **more: Any) -> dict[str, Any]:
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}, **more}


@pytest.mark.parametrize(
    ("chunks", "calls"),
    [
        pytest.param(
            [delta(tool_calls=[called("c1", "one", '{"a": 1}')]), delta(tool_calls=[called("c2", "two", "{}")])],
            [("c1", "one", {"a": 1}), ("c2", "two", {})],
            id="whole, without an index",
        ),
        pytest.param(
            [delta(tool_calls=[called(f"c{n}", "one", f'{{"a": {n}}}', index=0) for n in (1, 2)])],
            [("c1", "one", {"a": 1}), ("c2", "one", {"a": 2})],
            id="whole, all with the index 0",
        ),
        pytest.param(
            [delta(tool_calls=[called("", "one", '{"a": 1}')]), delta(tool_calls=[called(None, "one", '{"a": 2}')])],
            [("", "one", {"a": 1}), ("", "one", {"a": 2})],
            id="without index and id",
        ),
        pytest.param(
            [delta(tool_calls=[called("c1", "one", piece, index=1)]) for piece in ('{"a"', ": ", "1}")],
            [("c1", "one", {"a": 1})],
            id="id and name with every piece",
        ),
        pytest.param(
            [
                delta(tool_calls=[called("c1", "one", "", index=0), called("c2", "two", None, index=1)]),
                delta(tool_calls=[{"index": 1, "function": {"arguments": '{"b"'}}]),
                delta(tool_calls=[{"index": 0, "function": {"arguments": '{"a": 1}'}}]),
                delta(tool_calls=[{"index": 1, "id": None, "function": {"name": None, "arguments": ": 2}"}}]),
            ],
            [("c1", "one", {"a": 1}), ("c2", "two", {"b": 2})],
            id="two at a time",
        ),
        pytest.param([delta(tool_calls=[called("c1", "one", {"a": 1})])], [("c1", "one", {"a": 1})], id="no text"),
        pytest.param(
            [delta(function_call={"name": "one"}), delta(function_call={"arguments": '{"a": 1}'})],
            [("", "one", {"a": 1})],
            id="the older form",
        ),
    ],
)
async def test_tool_calls_come_in_many_ways(chunks: list[Any], calls: list[Any]) -> None:
    told = Told(pieces=events(*chunks, delta("tool_calls")))
    async with endpoint(told) as served, talking(agent_at(served)) as talk:
        turn = await talk.say("hi", told=Heard())
    shown = [(call.id, call.name, json.loads(call.arguments_json)) for call in turn.tool_calls]
    assert [
        (id if known else "", name, given) for (id, name, given), (known, _, _) in zip(shown, calls, strict=True)
    ] == calls


async def test_two_calls_of_one_id_are_told_apart() -> None:
    answer = completion(
        None, tool_calls=[called("c", "one", "{}"), called("c", "two", "{}"), called("\ud800", "x", "")]
    )
    async with endpoint(Told(answer)) as served, talking(agent_at(served)) as talk:
        turn = await talk.say("hi")
    assert turn.tool_calls[0].id == "c"
    assert len({call.id for call in turn.tool_calls}) == 3
    json.dumps([call.id for call in turn.tool_calls], ensure_ascii=False).encode()


def streamed(text: str) -> tuple[bytes, ...]:
    return (text.encode(),)


SAID = json.dumps(delta(content="hi"))


@pytest.mark.parametrize(
    "pieces",
    [
        pytest.param(streamed(f"data: {SAID}\r\n\r\ndata: [DONE]\r\n\r\n"), id="CRLF"),
        pytest.param(tuple(bytes([b]) for b in f"data: {SAID}\n\ndata: [DONE]\n\n".encode()), id="byte by byte"),
        pytest.param(streamed(f": a\n\nevent: x\nid: 1\nretry: 9\ndata:{SAID}\n\ndata:[DONE]\n\n"), id="comments"),
        pytest.param(streamed("data: " + SAID.replace(", ", ",\ndata: ") + "\n\ndata: [DONE] \n\n"), id="many lines"),
        pytest.param(
            events(delta(), delta(content=None), delta(content="hi"), delta("stop"), done=False), id="no DONE"
        ),
        pytest.param(
            events({"choices": []}, {"choices": None}, {}, {"choices": [{"delta": None}]}, delta(content="hi")),
            id="null",
        ),
        pytest.param(
            events(
                {"choices": [{"index": 1, "delta": {"content": "other"}, "finish_reason": "length"}]},
                {"choices": [{"index": 1, "delta": {"content": "x"}}, {"index": 0, "delta": {"content": "hi"}}]},
            ),
            id="several choices",
        ),
        pytest.param(events(delta(content=[{"type": "thinking"}, {"type": "text", "text": "hi"}])), id="parts"),
        pytest.param(events(delta(refusal="hi")), id="a refusal"),
        pytest.param(
            events(delta("stop", content="hi"), {"usage": {"prompt_tokens": -1, "completion_tokens": 1}}),
            id="usage < 0",
        ),
        pytest.param(
            events(delta("stop", content="hi"), {"usage": {"prompt_tokens": 1e9, "completion_tokens": True}}),
            id="odd usage",
        ),
        pytest.param(events(delta("stop", content="hi"), {"usage": [1, 2]}), id="usage that is none"),
    ],
)
async def test_a_stream_may_come_in_any_form(pieces: tuple[bytes, ...]) -> None:
    heard = Heard()
    async with endpoint(Told(pieces=pieces)) as served, talking(agent_at(served)) as talk:
        turn = await talk.say("hi", told=heard)
        assert (heard.text, turn.reply, turn.reply_metadata_json) == ("hi", "hi", "{}")
        assert (await talk.say("hi", session_id="not streamed")).reply == "hi"


async def test_a_content_in_parts_is_their_text() -> None:
    parts = [{"type": "text", "text": "It is "}, {"type": "image_url"}, {"type": "text", "text": "here."}]
    async with endpoint(Told(completion(parts))) as served:  # type: ignore[arg-type]
        [played] = await play(agent_at(served), ["hi"])
    assert played.text == "It is here."


async def test_a_dead_endpoint_is_not_asked_for_its_models_by_every_turn() -> None:
    async with endpoint(Told("", 500)) as served:
        agent = OpenAiAgent(f"{served.url}/v1")
        async with talking(agent) as talk:
            for number in range(7):
                assert type(await talk.fails(str(number))) is AgentDown
        assert len(served.asked) == 5


async def test_connections_of_streams_are_kept() -> None:
    async with endpoint(Told(pieces=events(delta("stop", content="hi")))) as served, talking(agent_at(served)) as talk:
        for number in range(3):
            await talk.say("hi", session_id=f"s{number}", told=Heard())
    assert (len(served.asked), served.connections) == (3, 1)


async def test_a_stream_that_stays_open_when_all_is_said_holds_nobody_up() -> None:
    never = asyncio.Event()
    said, done = b"".join(events(delta("stop", content="hi"))), b": on and on\n\n"
    async with endpoint(Told(pieces=(said, done), pause=never)) as served, talking(agent_at(served)) as talk:
        assert (await talk.say("hi", told=Heard())).reply == "hi"
        never.set()
