"""JSON to protobuf and back, for whatever JSON there is."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from greenroom.edge import codec
from greenroom.edge.chat_request import parse
from greenroom.edge.turn_stream import one_turn
from greenroom.v1 import turn_pb2
from greenroom.v1.agent_pb2 import RunTurnRequest, RunTurnsRequest, TurnItem

TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=40)
NUMBERS = st.one_of(
    st.integers(), st.sampled_from([2**53 + 1, -(2**63), 10**30]), st.floats(allow_nan=False, allow_infinity=False)
)
FREE = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)
OBJECTS = st.dictionaries(TEXT, FREE, max_size=5)
CALLS = st.builds(
    lambda name, arguments, result: {
        "id": "call_" + name,
        "type": "function",
        "function": {"name": name, "arguments": json.dumps(arguments), "result": result},
    },
    TEXT,
    OBJECTS,
    FREE,
)
USERS = st.fixed_dictionaries({"role": st.just("user"), "content": TEXT}, optional={"name": TEXT.filter(bool)})
ASSISTANTS = st.fixed_dictionaries(
    {"role": st.just("assistant"), "content": st.none() | TEXT, "tool_calls": st.lists(CALLS, min_size=1, max_size=3)}
)
CONTEXT = st.fixed_dictionaries({"role": st.sampled_from(["system", "developer", "assistant"]), "content": TEXT})


def as_json(message: turn_pb2.Message) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "role": message.role,
        "content": message.content if message.HasField("content") else None,
    }
    if message.name:
        shown["name"] = message.name
    if message.tool_calls_json:
        shown["tool_calls"] = json.loads(message.tool_calls_json)
    return shown


@settings(deadline=None)
@given(
    messages=st.lists(USERS | ASSISTANTS | CONTEXT, max_size=5),
    last=USERS,
    metadata=OBJECTS,
    ascii_only=st.booleans(),
    indent=st.sampled_from([None, 2]),
    retry_count=st.integers(0, 9999),
    refused_at_us=st.integers(0, 2**62),
)
def test_a_turn_says_what_the_request_said(
    messages: list[Any],
    last: Any,
    metadata: dict[str, Any],
    ascii_only: bool,
    indent: int | None,
    retry_count: int,
    refused_at_us: int,
) -> None:
    body = json.dumps(
        {"messages": [*messages, last], "metadata": metadata, "session_id": "s"}, ensure_ascii=ascii_only, indent=indent
    )
    envelope = codec.Envelope(retry_count=retry_count, refused_at_us=refused_at_us)
    turn = codec.to_turn(parse(body.encode()), envelope)
    assert (turn.retry_count, turn.refused_at_us) == (retry_count, refused_at_us if retry_count else 0)
    assert [as_json(message) for message in turn.messages] == [*messages, last]
    assert turn.metadata_json == body_slice(body)
    assert json.loads(turn.metadata_json) == metadata
    assert list(json.loads(turn.metadata_json)) == list(metadata)


def body_slice(body: str) -> str:
    """The metadata as it stands in the body, byte for byte."""
    start = body.rindex('"metadata":') if body.count('"metadata":') == 1 else None
    if start is None:
        return codec.to_turn(parse(body.encode()), codec.Envelope()).metadata_json
    decoder = json.JSONDecoder()
    begin = start + len('"metadata":') + 1
    _, end = decoder.raw_decode(body, begin)
    return body[begin:end]


@settings(deadline=None)
@given(
    text=TEXT,
    calls=st.lists(st.tuples(TEXT, OBJECTS, FREE, TEXT), max_size=4),
    evaluation=OBJECTS,
    confidence=st.none() | st.floats(0, 1),
    added=OBJECTS,
)
def test_a_reply_says_what_the_core_said(
    text: str,
    calls: list[tuple[str, Any, Any, str]],
    evaluation: dict[str, Any],
    confidence: float | None,
    added: dict[str, Any],
) -> None:
    reply = turn_pb2.Reply(
        text=text,
        confidence=confidence,
        evaluation_json=json.dumps(evaluation),
        metadata_json=json.dumps({**added, "turn": "not ours"}),
        history=turn_pb2.HISTORY_WENT_BACK,
        scenario=turn_pb2.Scenario(id="default", requested="other", found=True, applied=False),
        tool_calls=[
            turn_pb2.ToolCall(
                id=f"c{n}",
                name=name,
                arguments_json=json.dumps(args),
                result_json=json.dumps(result),
                scripted_by=rule,
            )
            for n, (name, args, result, rule) in enumerate(calls)
        ],
    )
    body = json.loads(codec.from_reply(reply))
    [choice] = body["choices"]
    assert choice["message"]["content"] == text
    shown = [
        (
            call["function"]["name"],
            json.loads(call["function"]["arguments"]),
            call["function"]["result"],
            call.get("scripted_by", ""),
        )
        for call in choice["message"].get("tool_calls", [])
    ]
    assert shown == calls
    assert ("tool_calls" in choice["message"]) is bool(calls)
    assert body["evaluation_metadata"] == evaluation
    assert body["metadata"]["tools_used"] == list(dict.fromkeys(name for name, *_ in calls))
    assert body["metadata"].get("agent_confidence") == confidence
    assert body["metadata"]["history"] == "went_back"
    assert {**added, **body["metadata"]} == body["metadata"]
    assert body["metadata"]["turn"] == 0
    assert body["metadata"]["scenario"] == {"id": "default", "requested": "other", "found": True, "applied": False}
    in_metadata = json.loads(codec.from_reply(reply, trace_in_metadata=True))
    assert in_metadata["metadata"].get("tool_trace") == choice["message"].get("tool_calls")
    assert "tool_calls" not in in_metadata["choices"][0]["message"]


@settings(deadline=None)
@given(st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_garbage_is_refused_and_nothing_worse(body: bytes) -> None:
    for content in (body, b'{"messages":[{"role":"user","content":"x"}],"a":' + body + b"}"):
        try:
            codec.to_turn(parse(content), codec.Envelope())
        except Exception as error:
            assert type(error).__name__ == "EdgeError"  # noqa: PT017


@settings(deadline=None)
@given(
    sequences=st.lists(st.integers(1, 2**63), min_size=1, max_size=4),
    text=st.sampled_from(["", "x", "é" * 100, "y" * 20_000]),
)
def test_turns_one_after_the_other_are_a_list_of_turns(sequences: list[int], text: str) -> None:
    turn = RunTurnRequest(messages=[turn_pb2.Message(role="user", content=text)], session_id="s")
    message = RunTurnsRequest.FromString(b"".join(one_turn(sequence, turn) for sequence in sequences))
    assert message == RunTurnsRequest(turns=[TurnItem(sequence=sequence, turn=turn) for sequence in sequences])
