"""An MCP server as a source of tools."""

import asyncio
import importlib.util
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, Unpack
from urllib.parse import urlsplit

from greenroom.sdk import AgentError, Call, Tool, ToolError, ToolSource, Turn
from greenroom.tools.headers import Secrets
from greenroom.tools.mcp.catalog import Catalog
from greenroom.tools.mcp.settings import McpSettings
from greenroom.tools.tables import read_table

if TYPE_CHECKING:
    from mcp import types

    from greenroom.tools.mcp.pool import Pool

_STARTING = 10.0
"""Seconds that the agent's start waits for it."""

_KEY = "greenroom/idempotency-key"
_SESSION = "greenroom/session-id"


class Given(TypedDict, total=False):
    """As `McpSettings` describes them."""

    command: str | Sequence[str]
    url: str
    env: Mapping[str, str]
    env_from: Sequence[str]
    headers: Mapping[str, str]
    header_env: Mapping[str, str]
    bearer_env: str
    allow: Sequence[str]
    prefix: str
    timeout: float
    connections: int


class McpServer(ToolSource):
    """The tools of the MCP server `name`: a program that is started with the agent and stopped with it, in `folder`, or one
    behind a URL. What else may be given is in `McpSettings`.

    One connection serves the calls of all turns, or as many as are wanted; one that is lost is made anew. Raises
    `AgentError`.
    """

    def __init__(self, name: str, *, folder: str | Path | None = None, **given: Unpack[Given]) -> None:
        self._name = f"mcp.{name}"
        self._settings = read_table(McpSettings, given, self._name)
        if wrong := self._settings.mistake():
            raise AgentError(f"{self._name}: {wrong}")
        if importlib.util.find_spec("mcp") is None:
            raise AgentError(f"{self._name}: mcp is not installed; pip install 'greenroom[mcp]'")
        self._folder = None if folder is None else Path(folder)
        self._secrets = Secrets([])
        self._catalog = Catalog(self._settings.allow, self._settings.prefix, self._made)
        self._pool: Pool | None = None

    @property
    def name(self) -> str:
        return self._name

    @property
    def tools(self) -> tuple[Tool[..., Any], ...]:
        return self._catalog.tools

    def problem(self) -> str:
        trouble = "" if self._pool is None else self._pool.trouble
        return "; ".join(filter(None, (trouble, self._secrets.hidden_in(self._catalog.problem))))

    async def startup(self) -> None:
        from greenroom.tools.mcp.pool import Pool  # noqa: PLC0415  # an optional extra

        self._secrets = Secrets(_secrets_of(self._settings))
        hide = self._secrets.hidden_in
        door = partial(_opened, self._settings, self._folder, self._name, hide)
        self._pool = Pool(self._name, door, self._settings.connections, hide, self._catalog.list)
        await self._pool.settle(_STARTING)

    async def shutdown(self) -> None:
        pool, self._pool = self._pool, None
        if pool is not None:
            await pool.close()

    def _made(self, listed: "types.Tool", name: str) -> Tool[..., Any]:
        async def run(arguments: dict[str, Any], call: Call, turn: Turn) -> Any:
            return await self._call(listed.name, arguments, call, turn)

        return Tool.described(
            name,
            run,
            description=listed.description or listed.title or "",
            parameters=listed.input_schema,
            timeout=self._settings.timeout,
            replayable=True,  # it reads the turn, and does nothing to it
        )

    async def _call(self, tool: str, arguments: dict[str, Any], call: Call, turn: Turn) -> Any:
        if self._pool is None:
            raise ToolError(f"{self._name} is not available: it has not been started", code="unavailable")
        meta = {_KEY: call.key, _SESSION: turn.session_id}
        if call.traceparent:
            meta["traceparent"] = call.traceparent
        limit = self._settings.timeout
        try:
            # A little ahead of the toolbox, which does not know whose tool it is.
            async with asyncio.timeout(max(limit - 0.05, limit * 0.9)):
                return await self._pool.call(tool, _plain(arguments), meta, turn.limits.tool_result_bytes)
        except TimeoutError:
            raise TimeoutError(f"{self._name} did not answer within {limit:g} s") from None


def _opened(
    settings: McpSettings,
    folder: Path | None,
    name: str,
    hide: Callable[[str], str],
    lost: Callable[[str], None],
) -> AbstractAsyncContextManager[tuple[Any, Any]]:
    """A transport to the server. Raises `Lost` where what it needs of the environment is not there."""
    from greenroom.tools.mcp import fault, http, stdio  # noqa: PLC0415  # an optional extra

    missing = [variable for variable in settings.variables() if variable not in os.environ]
    if missing:
        raise fault.Lost(f"the environment has no {', '.join(missing)}")
    if settings.url:
        return http.over_http(http.Endpoint(settings.url, settings.all_headers()))
    words = [settings.command] if isinstance(settings.command, str) else settings.command
    return stdio.over_stdio(stdio.Program(words, settings.all_variables(), folder), name, hide, lost)


def _secrets_of(settings: McpSettings) -> Iterable[str]:
    yield from (os.environ.get(variable, "") for variable in settings.variables())
    yield from settings.env.values()
    yield from settings.headers.values()
    if settings.url:
        parts = urlsplit(settings.url)
        yield from (parts.password or "", parts.query)


def _plain(value: Any) -> Any:
    """Records of a world are mappings that no encoder understands."""
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)
