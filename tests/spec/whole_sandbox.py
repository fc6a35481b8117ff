"""The whole sandbox in one process: uvicorn, the edge, gRPC, the core, SQLite. What a client sees is what it gets."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import httpx2
import uvicorn

from greenroom.core.agent import Agent
from greenroom.core.agents import Agents
from greenroom.core.core import Core
from greenroom.core.limits import Limits
from greenroom.core.ports import Store
from greenroom.core.rpc.server import CoreServer, Listeners
from greenroom.core.served import Served
from greenroom.edge import CoreOptions, EdgeOptions, HttpOptions, create_app
from greenroom.sdk import Reply, ToolFailed, Turn, World, tool
from greenroom.storage import open_store
from greenroom.v1 import agent_pb2_grpc, session_pb2_grpc, user_pb2_grpc

EXAMPLES = Path(__file__).parent / "examples"
PATIENCE = 20.0
CHAT = "/v1/chat/completions"


def published(name: str) -> Any:
    return json.loads((EXAMPLES / f"{name}.json").read_text())


async def until(condition: Callable[[], bool] | Callable[[], Awaitable[bool]]) -> None:
    """Waits, bounded, for what another task will bring about."""
    async with asyncio.timeout(PATIENCE):
        while True:
            met = condition()
            if (await met) if isinstance(met, Awaitable) else met:
                return
            await asyncio.sleep(0.002)


@tool
async def add(world: World, by: int = 1) -> dict[str, int]:
    """Adds to the counter."""
    world["counters"]["n"] += by
    return {"n": world["counters"]["n"]}


@tool
async def spoil(world: World) -> None:
    """Changes the counter, then fails."""
    world["counters"]["n"] = -1
    raise RuntimeError("out of paper")


class Puppet:
    """An agent that does what its user says, word by word: "add", "spoil", "fail", "wait", "tell", "context"."""

    def __init__(self) -> None:
        self.agent = Agent("puppet", tools=[add, spoil], world={"counters": {"n": 0}})
        self.agent.reply(self._reply)
        self.gate = asyncio.Event()
        self.inside = 0

    async def _reply(self, turn: Turn) -> Reply:
        said: list[str] = []
        self.inside += 1
        try:
            for word in turn.text.split():
                said.append(await self._act(word, turn))
        finally:
            self.inside -= 1
        return Reply(" ".join(said) or "hello")

    async def _act(self, word: str, turn: Turn) -> str:
        match word:
            case "add":
                return str((await turn.call(add))["n"])
            case "spoil":
                try:
                    await turn.call(spoil)
                except ToolFailed as failed:
                    return failed.type
            case "fail":
                raise ValueError("sk-secret")
            case "wait":
                await self.gate.wait()
            case "tell":
                return json.dumps([turn.user.id, dict(turn.user.profile), dict(turn.metadata), turn.number])
            case "context":
                return json.dumps([list(turn.context), [message.content for message in turn.messages]])
        return word


@dataclass(slots=True)
class Sandbox:
    """Both doors of a running sandbox, and the puppet when it is the agent."""

    http: httpx2.AsyncClient
    url: str
    core: Core
    server: CoreServer
    agents: agent_pb2_grpc.AgentServiceStub
    sessions: session_pb2_grpc.SessionServiceStub
    users: user_pb2_grpc.UserServiceStub
    puppet: Puppet

    async def post(self, body: Any, **headers: str) -> httpx2.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.http.post(CHAT, json=body, headers=named)

    async def chat(self, *texts: str, **fields: Any) -> Any:
        """A request in which user and assistant take turns; the last text is the user's. The reply's body."""
        response = await self.post(body_of(*texts, **fields))
        assert response.status_code == 200, response.text
        return response.json()

    async def read(self, path: str, **query: Any) -> Any:
        response = await self.http.get(path, params=query)
        assert response.status_code == 200, response.text
        return response.json()


def body_of(*texts: str, **fields: Any) -> dict[str, Any]:
    last = len(texts) - 1
    roles = ("user", "assistant")
    return {"messages": [{"role": roles[(last - i) % 2], "content": text} for i, text in enumerate(texts)], **fields}


def text_of(reply: Any) -> str:
    return str(reply["choices"][0]["message"]["content"])


@asynccontextmanager
async def sandbox(
    folder: Path,
    agent: Agent | None = None,
    limits: Limits | None = None,
    database: str = "",
    http: HttpOptions | None = None,
    *,
    others: Sequence[Agent] = (),
    strict: bool = False,
    make: Callable[[Store], Core] | None = None,
    **options: Any,
) -> AsyncIterator[Sandbox]:
    """Serves the agent, or a puppet, until the context ends; on a SQLite file in the folder if no database is named. `make`
    makes the core instead."""
    puppet, limits = Puppet(), limits or Limits()
    agent = agent or puppet.agent
    store = open_store(database or f"sqlite:///{folder}/sandbox.db", wait_seconds=0.3)
    if make is None:
        served = [Served(one, one.name, limits) for one in (agent, *others)]
        core = Core(Agents(served, strict=strict), store, limits, **options)
    else:
        core = make(store)
    server = CoreServer(core, Listeners(port=0))
    await server.start()
    edge = EdgeOptions(
        core=CoreOptions(target=f"127.0.0.1:{server.port}", turn_timeout=limits.turn_timeout),
        version="1.2.3",
        http=http or HttpOptions(rate_limit=None),
        health_interval=0.02,
    )
    config = uvicorn.Config(create_app(edge, None), host="127.0.0.1", port=0, log_config=None, access_log=False)
    web = uvicorn.Server(config)
    serving = asyncio.create_task(web.serve())
    await until(lambda: web.started or serving.done())
    url = f"http://127.0.0.1:{web.servers[0].sockets[0].getsockname()[1]}"
    try:
        async with (
            httpx2.AsyncClient(base_url=url, timeout=PATIENCE) as http,
            grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel,
        ):
            yield Sandbox(
                http,
                url,
                core,
                server,
                agent_pb2_grpc.AgentServiceStub(channel),
                session_pb2_grpc.SessionServiceStub(channel),
                user_pb2_grpc.UserServiceStub(channel),
                puppet,
            )
    finally:
        web.should_exit = True
        async with asyncio.timeout(PATIENCE):
            await serving
        await server.stop()
