"""A tool that is one request to an HTTP server."""

import json
from typing import Any, Literal
from urllib.parse import urlencode

from greenroom.sdk import AgentError, Call, Tool, ToolError, ToolSource
from greenroom.tools.http.answer import Selection
from greenroom.tools.http.credentials import Credential, Missing
from greenroom.tools.http.server import Request, Server
from greenroom.tools.http.url import UrlTemplate, encoded, pairs
from greenroom.tools.parameters import Parameters

Send = Literal["query", "json", "form"]


class HttpTool(ToolSource):
    """One tool: `tool` is its name. What of its arguments has no place in the URL goes as `send` says. Its result is what
    `result` selects of the answer, the first `max_bytes` of it."""

    def __init__(
        self,
        tool: str,
        server: Server,
        ask: "Ask",
        *,
        description: str = "",
        result: Selection | None = None,
        max_bytes: int = 64 * 1024,
    ) -> None:
        self._server = server
        server.hide(ask.credentials)
        self._ask = ask
        self._result = result
        self._max_bytes = max_bytes
        schema = ask.parameters.schema
        self._tools = (Tool.described(tool, self._call, description=description, parameters=schema),)

    @property
    def name(self) -> str:
        return self._server.name

    @property
    def tools(self) -> tuple[Tool[..., Any], ...]:
        return self._tools

    def problem(self) -> str:
        return self._ask.missing or self._server.problem

    async def startup(self) -> None:
        await self._server.open()

    async def shutdown(self) -> None:
        await self._server.close()

    async def _call(self, arguments: dict[str, Any], call: Call) -> Any:
        if self._ask.missing:
            raise ToolError(f"{self.name}: {self._ask.missing}", code="unauthorized")
        answer = await self._server.call(self._ask.request(arguments), call)
        return answer.result(self._result, self._max_bytes)


class Ask:
    """From a tool's arguments to a request. Raises `AgentError` where URL and parameters do not go together."""

    def __init__(
        self,
        method: str,
        url: UrlTemplate,
        parameters: Parameters,
        send: Send,
        credentials: list[Credential | Missing],
    ) -> None:
        self.parameters = parameters
        self._method = method
        self._url = url
        self._send = send
        self.credentials = [one for one in credentials if isinstance(one, Credential)]
        self.missing = "; ".join(one.text for one in credentials if isinstance(one, Missing))
        """Which credentials there are not; "" when there are all."""
        required = parameters.schema.get("required", ())
        for name in url.names:
            if name not in required:
                raise AgentError(f"url: {{{name}}} is no required parameter; there are {', '.join(required) or 'none'}")

    def request(self, arguments: dict[str, Any]) -> Request:
        """Raises `ToolError` for arguments that the tool does not take."""
        self.parameters.check(arguments)
        placed = {name: encoded(arguments[name]) for name in self._url.names}
        rest = {name: value for name, value in arguments.items() if name not in placed}
        request = Request(self._method, self._url.filled(placed))
        match self._send:
            case "query":
                request.query.extend(pairs(rest))
            case "form":
                request.headers["content-type"] = "application/x-www-form-urlencoded"
                request = request.sending(urlencode(pairs(rest), errors="replace").encode())
            case "json":
                request.headers["content-type"] = "application/json"
                request = request.sending(json.dumps(rest, ensure_ascii=False).encode(errors="replace"))
        return request.admitted(self.credentials)
