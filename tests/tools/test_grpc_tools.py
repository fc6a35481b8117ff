"""Tools of another process, over ToolService."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from time import monotonic
from typing import Any

import grpc
import pytest
from stub_tool_service import SCHEMA, SECRET, Elsewhere, done, serving
from tool_talk import Talk, sources, table, talking

from greenroom.sdk import AgentError
from greenroom.v1 import tool_pb2


def far(port: int, **settings: Any) -> str:
    return table("grpc.far", {"target": f"grpc://127.0.0.1:{port}", **settings})


async def until(talk: Talk, holds: Callable[[str], bool]) -> None:
    end = monotonic() + 15
    while not holds(talk.problem()):
        assert monotonic() < end, talk.problem()
        await asyncio.sleep(0.02)


async def test_the_tools_of_another_process_are_listed_and_called(tmp_path: Path) -> None:
    there = Elsewhere("weather", "tides")
    async with serving(there) as port:
        told = table("grpc.far", {"target": f"grpc://127.0.0.1:{port}/sea", "prefix": "far_"})
        async with talking(*sources(tmp_path, told)) as talk:
            assert (talk.names, talk.problem()) == (["far_weather", "far_tides"], "")
            assert talk.agent.tools[0].openai()["function"] == {
                "name": "far_weather",
                "description": "Far.",
                "parameters": SCHEMA,
            }
            assert await talk.call("far_weather", city="Århus") == {"city": "Århus"}
            await talk.call("far_weather", city="Oslo")
    assert there.agents == ["sea"] * 3, "listed once, called twice"
    assert there.metadata[0]["idempotency-key"] != there.metadata[1]["idempotency-key"]


@pytest.mark.parametrize(
    ("answer", "failure"),
    [
        (
            done({"error": {"type": "no_such_city", "message": "Where?"}}, ok=False),
            ["no_such_city", "grpc.far: Where?"],
        ),
        (done("{", ok=True), ["bad_answer", "grpc.far: its result is no JSON: {"]),
        (done("", ok=False), ["failed", "grpc.far: it failed and does not say why"]),
        (grpc.StatusCode.INTERNAL, ["internal", "grpc.far: grpc://HERE: INTERNAL: no [redacted]"]),
        (grpc.StatusCode.UNAUTHENTICATED, ["unauthorized", "grpc.far: grpc://HERE: UNAUTHENTICATED: no [redacted]"]),
        (None, ["timeout", "grpc.far: grpc://HERE: DEADLINE_EXCEEDED: Deadline Exceeded"]),
    ],
)
async def test_a_failure_is_told_by_its_source_and_without_its_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: Any, failure: list[str]
) -> None:
    monkeypatch.setenv("FAR_KEY", SECRET)
    there = Elsewhere("weather", answer=lambda _: answer)
    async with serving(there) as port:
        told = far(port, key_env="FAR_KEY", timeout=0.2 if answer is None else 30)
        async with talking(*sources(tmp_path, told)) as talk:
            kind, message = await talk.call("weather", city="Oslo")
            assert [kind, message.replace(f"127.0.0.1:{port}", "HERE")] == failure
            is_unwell = failure[0] in ("unauthorized", "timeout")
            assert bool(talk.problem()) is is_unwell
            there.answer = lambda _: done(1)
            assert (await talk.call("weather", city="Oslo"), talk.problem()) == (1, "")
    assert there.metadata[0]["authorization"] == f"Bearer {SECRET}"


async def test_a_long_result_is_cut_and_says_so(tmp_path: Path) -> None:
    there = Elsewhere("weather", answer=lambda _: done(["x" * 10_000_000]))
    async with serving(there) as port, talking(*sources(tmp_path, far(port, max_bytes=1000))) as talk:
        result = await talk.call("weather", city="Oslo")
    assert result == {
        "truncated": "this is the beginning of 10000004 bytes; ask for less",
        "beginning": f'["{"x" * 998}',
    }


async def test_a_process_that_comes_goes_and_comes_back_with_other_tools_is_seen_as_it_is(tmp_path: Path) -> None:
    async with serving(Elsewhere("weather")) as port:
        pass
    async with talking(*sources(tmp_path, far(port))) as talk:
        assert talk.names == []
        assert talk.problem().startswith(f"tools of grpc.far: grpc://127.0.0.1:{port}: UNAVAILABLE")
        async with serving(Elsewhere("weather"), port):
            await until(talk, lambda problem: not problem)
            assert await talk.call("weather", city="Oslo") == {"city": "Oslo"}
        await until(talk, bool)
        assert talk.names == ["weather"]
        kind, message = await talk.call("weather", city="Oslo")
        assert (kind, message.startswith("grpc.far: ")) == ("unreachable", True)
        async with serving(Elsewhere("weather", "tides"), port):
            await until(talk, lambda problem: not problem)
            assert talk.names == ["weather", "tides"]


async def test_a_process_that_dies_in_the_middle_of_a_call_fails_that_call(tmp_path: Path) -> None:
    there = Elsewhere("weather", answer=lambda _: None)
    async with AsyncExitStack() as stack:
        port = await stack.enter_async_context(serving(there))
        async with talking(*sources(tmp_path, far(port))) as talk:
            calling = asyncio.ensure_future(talk.call("weather", city="Oslo"))
            await there.asked.wait()
            await stack.aclose()
            kind, message = await calling
    assert (kind, message.startswith(f"grpc.far: grpc://127.0.0.1:{port}: ")) == ("unreachable", True)


async def test_a_tool_that_is_none_is_left_out_and_told(tmp_path: Path) -> None:
    there = Elsewhere("weather")
    there.listed += [
        tool_pb2.Tool(name="odd", parameters_json='"text"'),
        tool_pb2.Tool(name="no name", parameters_json="{}"),
        tool_pb2.Tool(name="crooked", parameters_json='{"properties": {"city": "string"}}'),
    ]
    async with serving(there) as port, talking(*sources(tmp_path, far(port))) as talk:
        assert talk.names == ["weather"]
        assert talk.problem() == (
            "tools of grpc.far: odd is left out: its parameters are no JSON schema of an object;"
            " no name is left out: it is no name for a tool;"
            " crooked is left out: its parameters are no JSON schema of an object"
        )


async def test_a_key_that_is_missing_is_named(tmp_path: Path) -> None:
    async with talking(*sources(tmp_path, far(1, key_env="NO_SUCH_KEY"))) as talk:
        assert talk.problem() == "tools of grpc.far: NO_SUCH_KEY is not set in the environment"


async def test_a_key_that_cannot_be_sent_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAR_KEY", "sk-ä\nb")
    async with talking(*sources(tmp_path, far(1, key_env="FAR_KEY"))) as talk:
        wrong = "FAR_KEY holds what no key may have: other than printable ASCII"
        assert talk.problem() == f"tools of grpc.far: {wrong}"


async def test_a_key_from_a_file_may_end_its_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAR_KEY", f"{SECRET}\n")
    there = Elsewhere("weather")
    async with serving(there) as port, talking(*sources(tmp_path, far(port, key_env="FAR_KEY"))) as talk:
        await talk.call("weather", city="Oslo")
    assert there.metadata[0]["authorization"] == f"Bearer {SECRET}"


async def test_a_process_that_nobody_calls_is_well_again_once_it_lists_its_tools(tmp_path: Path) -> None:
    there = Elsewhere("weather", answer=lambda _: None)
    async with serving(there) as port, talking(*sources(tmp_path, far(port, timeout=0.2))) as talk:
        kind, _ = await talk.call("weather", city="Oslo")
        assert (kind, bool(talk.problem())) == ("timeout", True)
        await until(talk, lambda problem: not problem)


def test_a_target_that_is_none_is_told(tmp_path: Path) -> None:
    with pytest.raises(AgentError) as problem:
        sources(tmp_path, table("grpc.far", {"target": "http://x"}))
    assert f"{tmp_path / 'tools.toml'}: grpc.far.target: http://x: " in str(problem.value)
