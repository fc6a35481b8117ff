"""What everybody sees of tools from elsewhere that are not well: over HTTP, of a sandbox that serves."""

import asyncio
import logging
from pathlib import Path
from time import monotonic

import pytest
from stub_endpoint import Told, endpoint
from stub_tool_service import Elsewhere, serving
from tool_talk import sources, table
from whole_sandbox import Sandbox, sandbox

from greenroom.sdk import Agent, ToolFailed, Turn
from greenroom.tools.http import server

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def caller(folder: Path, tools: str) -> Agent:
    """Calls the tool that it is told the name of."""
    agent = Agent("desk", tools=sources(folder, tools))

    @agent.reply
    async def reply(turn: Turn) -> str:
        try:
            return str(await turn.call(turn.text))
        except ToolFailed as failed:
            return f"{failed.type}: {failed.message}"

    return agent


async def say(served: Sandbox, text: str, **headers: str) -> str:
    body = {"session_id": "s1", "messages": [{"role": "user", "content": text}]}
    response = await served.http.post("/v1/chat/completions", json=body, headers=headers)
    assert response.status_code == 200, response.text
    return str(response.json()["choices"][0]["message"]["content"])


async def shows(served: Sandbox, status: str) -> None:
    end = monotonic() + 15
    while (body := (await served.http.get("/health")).json())["status"] != status:
        assert monotonic() < end, body
        await asyncio.sleep(0.01)
    assert body["dependencies"] == {"core": "healthy", "database": "healthy", "agent": status}


async def test_a_source_that_is_away_degrades_its_agent_is_named_and_heals_while_nobody_calls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(server, "_FIRST_PAUSE", 0.01)
    caplog.set_level(logging.INFO, "greenroom.core.served")
    async with endpoint(Told(b"", status=503)) as there, endpoint(Told({"ok": 1})) as other:
        tools = table("http.stock", {"url": there.url}) + table("http.weather", {"url": other.url})
        async with sandbox(tmp_path, caller(tmp_path, tools)) as served:
            await shows(served, "healthy")
            assert await say(served, "stock") == "http_503: http.stock: 503 Service Unavailable"
            await shows(served, "degraded")
            assert (await served.http.get("/readyz")).status_code == 200
            assert "agent desk: tools of http.stock: 503 Service Unavailable" in caplog.text
            assert await say(served, "weather") == "{'ok': 1}"
            there.answers = [Told({"ok": True})]
            await shows(served, "healthy")
            assert "agent desk is well again" in caplog.text


async def test_an_agent_that_is_not_well_itself_is_unhealthy_whatever_its_tools(tmp_path: Path) -> None:
    agent = Agent("desk")
    agent.reply(lambda turn: "hi")
    agent.on_health(lambda: "its model is gone")
    async with sandbox(tmp_path, agent) as served:
        body = (await served.http.get("/health")).json()
        assert (body["status"], body["dependencies"]["agent"]) == ("degraded", "unhealthy")


async def test_the_callers_trace_goes_on_to_the_tools(tmp_path: Path) -> None:
    far = Elsewhere("count")
    async with endpoint(Told({})) as there, serving(far) as port:
        tools = table("http.stock", {"url": there.url}) + table("grpc.far", {"target": f"grpc://127.0.0.1:{port}"})
        async with sandbox(tmp_path, caller(tmp_path, tools)) as served:
            await say(served, "stock", traceparent=TRACE)
            await say(served, "count", traceparent=TRACE)
    sent = [there.asked[0].headers["traceparent"], far.metadata[0]["traceparent"]]
    assert [trace.split("-")[1] for trace in sent] == [TRACE.split("-")[1]] * 2
