"""The official Python client beyond `.create`: raw and streamed responses, how it tries again (STREAM-07, ERR-03, CHAT-15)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
import openai
import pytest
from whole_sandbox import Sandbox, body_of, sandbox, until

from greenroom.core.limits import Limits

ASKED: dict[str, Any] = {"model": "puppet", **body_of("add b"), "extra_body": {"session_id": "s1"}}


class Answer(NamedTuple):
    """What one request was answered with, and when."""

    status: int
    retry: str
    headers: httpx2.Headers
    at: float


class Watched(NamedTuple):
    """A client, and the answers to its requests."""

    sdk: openai.AsyncOpenAI
    answers: list[Answer]


@asynccontextmanager
async def watched(whole: Sandbox, max_retries: int) -> AsyncIterator[Watched]:
    answers: list[Answer] = []

    async def note(response: httpx2.Response) -> None:
        retry = response.request.headers["x-stainless-retry-count"]
        answers.append(Answer(response.status_code, retry, response.headers, asyncio.get_running_loop().time()))

    http = openai.DefaultAsyncHttpxClient(event_hooks={"response": [note]})
    url = f"{whole.url}/v1"
    async with openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=max_retries, http_client=http) as sdk:
        yield Watched(sdk, answers)


async def test_a_raw_response_has_our_headers_and_parses_as_any_other(whole: Sandbox) -> None:
    async with watched(whole, 0) as client:
        raw = await client.sdk.chat.completions.with_raw_response.create(**ASKED)
        completion = raw.parse()
        assert raw.headers["content-type"] == "application/json"
        assert completion._request_id == raw.headers["x-request-id"] == raw.request_id
        assert completion.choices[0].message.content == "1 b"
        streamed = await client.sdk.chat.completions.with_raw_response.create(**ASKED, stream=True)
        assert streamed.headers["content-type"].startswith("text/event-stream")
        text = "".join([chunk.choices[0].delta.content or "" async for chunk in streamed.parse()])
        assert text == "2 b"


async def test_a_streamed_response_is_read_as_lines_bytes_or_json(whole: Sandbox) -> None:
    async with watched(whole, 0) as client:
        create = client.sdk.chat.completions.with_streaming_response.create
        async with create(**ASKED) as plain:
            assert (await plain.json())["choices"][0]["message"]["content"] == "1 b"
        async with create(**ASKED) as plain:
            body = b"".join([piece async for piece in plain.iter_bytes(7)])
            assert b'"content":"2 b"' in body
        async with create(**ASKED, stream=True) as streamed:
            lines = [line async for line in streamed.iter_lines()]
        assert [line[:6] for line in lines if line] == ["data: "] * (len(lines) // 2)
        assert [line for line in lines if line][-1] == "data: [DONE]"


async def test_the_client_that_waits_in_its_thread_is_served_too(whole: Sandbox) -> None:
    def ask() -> tuple[str | None, str]:
        with openai.OpenAI(base_url=f"{whole.url}/v1", api_key="none", max_retries=0) as sdk:
            raw = sdk.chat.completions.with_raw_response.create(**ASKED).parse()
            with sdk.chat.completions.stream(**ASKED) as stream:
                stream.until_done()
                folded = stream.get_final_completion()
        return raw.choices[0].message.content, folded.choices[0].message.content or ""

    assert await asyncio.to_thread(ask) == ("1 b", "2 b")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("limits", "session", "refused"),
    [
        pytest.param(Limits(session_waiting=0), "s1", (429, "session_busy"), id="session_busy"),
        pytest.param(Limits(max_in_flight=1, max_queued=0), "other", (503, "overloaded"), id="overloaded"),
    ],
)
async def test_what_is_refused_for_now_is_tried_again_when_we_said_and_runs_once(
    tmp_path: Path, limits: Limits, session: str, refused: tuple[int, str], stream: bool
) -> None:
    async with sandbox(tmp_path, limits=limits) as whole, watched(whole, 0) as first, watched(whole, 1) as client:
        busy = asyncio.ensure_future(whole.chat("wait", session_id=session))
        await until(lambda: whole.puppet.inside == 1)
        with pytest.raises(openai.APIStatusError) as raised:
            await first.sdk.chat.completions.create(**ASKED)
        assert (raised.value.status_code, raised.value.code) == refused
        asking = asyncio.ensure_future(client.sdk.chat.completions.create(**ASKED, stream=stream))
        await until(lambda: len(client.answers) == 1)
        whole.puppet.gate.set()
        await busy
        answer: Any = await asking
        if stream:
            text = "".join([chunk.choices[0].delta.content or "" async for chunk in answer])
        else:
            text = answer.choices[0].message.content
        assert text == "1 b"
        before, after = client.answers
        assert [(one.status, one.retry) for one in (before, after)] == [(refused[0], "0"), (200, "1")]
        assert after.at - before.at >= int(before.headers["retry-after-ms"]) / 1000
        turns = (await whole.read("/v1/sessions/s1/turns"))["turns"]
        assert [turn["reply"]["content"] for turn in turns][-1:] == ["1 b"]


async def test_what_a_retry_cannot_cure_is_asked_once_though_the_client_would_try_again(tmp_path: Path) -> None:
    """It does by itself after 409 and 504."""
    async with sandbox(tmp_path, limits=Limits(turn_timeout=0.05)) as whole, watched(whole, 2) as client:
        create = client.sdk.chat.completions.create
        with pytest.raises(openai.InternalServerError) as late:
            await create(model="puppet", **body_of("wait"))
        assert late.value.status_code == 504
        await whole.chat("a", session_id="s1", user_id="ann")
        with pytest.raises(openai.ConflictError):
            await create(model="puppet", **body_of("a"), extra_body={"session_id": "s1", "user_id": "bob"})
        with pytest.raises(openai.BadRequestError):
            await create(model="puppet", messages=[])
        assert [answer.status for answer in client.answers] == [504, 409, 400]


async def test_a_failed_turn_is_tried_again_and_counts_once(whole: Sandbox) -> None:
    async with watched(whole, 1) as client:
        with pytest.raises(openai.InternalServerError) as raised:
            await client.sdk.chat.completions.create(model="puppet", **body_of("add fail"))
        assert raised.value.code == "server_error"
        assert [(answer.status, answer.retry) for answer in client.answers] == [(500, "0"), (500, "1")]
        answer = await client.sdk.chat.completions.create(**ASKED)
        assert answer.choices[0].message.content == "1 b"
