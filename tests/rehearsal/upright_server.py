"""Small chat servers of nobody's: one that does all that is asked of it, the same with one fault, and a foreign one.

They share no code with the sandbox. What they promise is what the published page and the contract say of the outside.
"""

import asyncio
import itertools
import json
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import uvicorn
from whole_sandbox import until

CHAT = "/v1/chat/completions"
KINDS = {
    400: ("invalid_request_error", "bad_request"),
    401: ("authentication_error", "invalid_api_key"),
    404: ("not_found_error", "not_found"),
    405: ("invalid_request_error", "method_not_allowed"),
    409: ("conflict_error", "conflict"),
    413: ("invalid_request_error", "body_too_large"),
    500: ("internal_error", "server_error"),
}
Headers = dict[str, str]
Answered = tuple[int, str | bytes, Headers]
Handle = Callable[[str, str, Headers, bytes], Awaitable[Answered]]


class Refused(Exception):
    """With this status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass
class Session:
    """Its turns as paths of user texts, and what was answered."""

    chat_id: str
    turns: int = 0
    paths: set[tuple[str, ...]] = field(default_factory=set)
    newest: tuple[str, ...] = ()
    last: tuple[bytes, dict[str, Any]] | None = None
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class Upright:
    """Does all that is asked of an endpoint but for reading back; `fault` is the one thing that it does wrong."""

    def __init__(self, fault: str = "", key: str = "") -> None:
        self.fault = fault
        self.key = key
        self.sessions: dict[str, Session] = {}
        self.users: dict[str, dict[str, Any]] = {}
        self.kept: dict[str, tuple[bytes, str]] = {}
        self.counts: defaultdict[str, int] = defaultdict(int)
        self.numbers = itertools.count(1)
        self.overheard: list[str] = []
        self.seen_models: set[str] = set()

    async def __call__(self, method: str, path: str, headers: Headers, body: bytes) -> Answered:
        try:
            return await self._route(method, path, headers, body)
        except Refused as problem:
            return self._error(problem.status, str(problem))

    async def _route(self, method: str, path: str, headers: Headers, body: bytes) -> Answered:
        if path == "/health" and method == "GET":
            return await self._health()
        if self.key and headers.get("authorization") != f"Bearer {self.key}" and self.fault != "takes any key":
            raise Refused(401, "A valid API key is required")
        if path == CHAT:
            if method != "POST":
                raise Refused(405, "Method not allowed")
            return await self._chat(headers, body)
        if path == "/users" and method == "POST":
            return self._user(_object(body))
        if path.startswith("/v1/sessions/") and method == "DELETE":
            known = self.sessions.pop(path.rpartition("/")[2], None)
            return (204, "", {}) if known else self._error(404, "There is no such session")
        raise Refused(404, "There is nothing here")

    def _error(self, status: int, message: str) -> Answered:
        kind, code = KINDS[status]
        if self.fault == "HTML errors":
            return status, "<html><body><h1>Bad Request</h1></body></html>", {"content-type": "text/html"}
        if self.fault == "other words for 400" and status == 400:
            kind = "bad_request_error"
        if self.fault == "shows traces" and status == 400:
            message = 'Traceback (most recent call last):\n  File "app.py", line 7, in chat'
        if self.fault == "flat errors":
            return status, json.dumps({"detail": message}), {}
        return status, json.dumps({"error": {"message": message, "type": kind, "code": code}}), {}

    async def _health(self) -> Answered:
        if self.fault == "slow health":
            await asyncio.sleep(0.55)
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S")
        status = "ok" if self.fault == "health says ok" else "healthy"
        stamp = now if self.fault == "a time of nowhere" else f"{now}Z"
        return 200, json.dumps({"status": status, "timestamp": stamp, "version": "1", "uptime": 1}), {}

    def _user(self, body: dict[str, Any]) -> Answered:
        user_id = body.get("user_id")
        if not isinstance(user_id, str) or not user_id.replace("-", "").replace("_", "").isalnum():
            raise Refused(400, "user_id: letters, digits, _ and -")
        created = f"2026-01-0{len(self.users) % 9 + 1}T10:30:00Z"
        if user_id not in self.users or self.fault == "users are made anew":
            self.users[user_id] = {"user_id": user_id, "created_at": created, "status": "active"}
        return 200, json.dumps(self.users[user_id]), {}

    async def _chat(self, headers: Headers, body: bytes) -> Answered:
        if len(body) > 2**20:
            raise Refused(413, "The body is too large")
        request = _object(body)
        if self.fault == "slow replies":
            await asyncio.sleep(0.02)
        messages = self._messages(request)
        self._stumble(messages[-1]["content"])
        session_id = request.get("session_id") or f"made-{next(self.numbers)}"
        session = self.sessions.setdefault(session_id, Session(f"chat-{next(self.numbers)}"))
        key, replayed = headers.get("idempotency-key", ""), {}
        async with session.lock:
            if key in self.kept and self.fault != "forgets keys":
                kept, reply = self.kept[key]
                if kept != body:
                    raise Refused(409, "The key was used for another body")
                return 200, reply, {"idempotency-replayed": "true"}
            again = "x-stainless-retry-count" in headers and session.last and session.last[0] == body
            if again and session.last and self.fault != "counts retries":
                document = session.last[1]
            else:
                document = self._turn(session, session_id, messages)
                session.last = (body, document)
        if self.fault == "forgets keys" and key in self.kept:
            replayed = {"idempotency-replayed": "true"}
        written = json.dumps(document)
        if key:
            self.kept[key] = (body, written)
        if request.get("stream"):
            return 200, self._events(document, request), {"content-type": "text/event-stream"}
        return 200, written, replayed

    def _messages(self, request: dict[str, Any]) -> list[dict[str, Any]]:
        messages = request.get("messages")
        if not isinstance(messages, list) or not messages:
            raise Refused(400, "messages: a list of at least one")
        ids = [request.get(name) or "" for name in ("session_id", "user_id")]
        if request.get("n", 1) != 1 or not isinstance(request.get("metadata") or {}, dict):
            raise Refused(400, "n: 1; metadata: an object")
        if any(len(one) > 128 or "/" in one for one in ids):
            raise Refused(400, "ids: up to 128 characters without /")
        for message in messages:
            if message.get("role") not in ("system", "developer", "user", "assistant", "tool"):
                raise Refused(
                    500 if self.fault == "falls over roles" and "role" in message else 400,
                    "messages: there is no such role",
                )
            content = message.get("content")
            if isinstance(content, list) and all(part.get("type") == "text" for part in content):
                message["content"] = "".join(part["text"] for part in content)
            elif not isinstance(content, str):
                raise Refused(400, "content: a string or a list of parts")
        return messages

    def _stumble(self, text: str) -> None:
        if text.startswith("What have other customers said"):
            self.counts["crowd"] += 1
        elif text.startswith("My reference is"):
            self.overheard.append(text)
            if self.fault == "drops a crowd" and len(self.overheard) % 2:
                raise Refused(500, "Internal server error")
        elif self.fault == "fails under load" and self.counts["crowd"]:
            self.counts["load"] += 1
            if self.counts["load"] % 2:
                raise Refused(500, "Internal server error")

    def _turn(self, session: Session, session_id: str, messages: list[dict[str, Any]]) -> dict[str, Any]:
        said = tuple(message["content"] for message in messages if message["role"] == "user")
        carried = any(message["role"] == "assistant" for message in messages)
        path = said if carried else (*session.newest, *said)
        if not carried:
            history = "next" if session.turns else "new"
        else:
            history = "continued" if path[:-1] == session.newest else "went_back"
        if self.fault == "loses the thread" and not carried:
            session.turns = 0
        session.turns, session.newest = session.turns + 1, path
        text, calls = self._answer(said[-1])
        message: dict[str, Any] = {"role": "assistant", "content": text, **({"tool_calls": calls} if calls else {})}
        evaluation = {"tool_called": "get_order_status", "tool_success": True} if calls else {"resolution_step": 1}
        tools = [call["function"]["name"] for call in calls]
        document = {
            "id": f"chatcmpl-{next(self.numbers)}",
            "object": "chat.completion",
            "created": 1795303156,
            "model": "upright",
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
            "session_id": session_id,
            "chat_id": session.chat_id,
            "metadata": {"response_time_ms": 1, "tools_used": tools, "turn": session.turns, "history": history},
            "evaluation_metadata": evaluation,
        }
        return self._spoil(document)

    def _answer(self, text: str) -> tuple[str, list[dict[str, Any]]]:
        if self.fault == "leaks" and text.startswith("What have other customers said") and self.overheard:
            return " ".join(self.overheard), []
        if "status of my order" not in text:
            return f"You said: {text}", []
        function = {"name": "get_order_status", "arguments": '{"order_id": "12345"}', "result": {"status": "preparing"}}
        if self.fault == "keeps results to itself":
            del function["result"]
        return "It is being prepared.", [{"id": f"call_{next(self.numbers)}", "type": "function", "function": function}]

    def _spoil(self, document: dict[str, Any]) -> dict[str, Any]:
        match self.fault:
            case "says nothing of index":
                del document["choices"][0]["index"]
            case "names sessions itself" if not document["session_id"].startswith("made-"):
                document["session_id"] = f"{document['session_id']}-x"
            case "one chat for all":
                document["chat_id"] = "chat"
            case "no evaluation":
                del document["evaluation_metadata"]
            case "tools in one word":
                document["metadata"]["tools_used"] = "get_order_status"
        return document

    def _events(self, document: dict[str, Any], request: dict[str, Any]) -> str:
        head = {name: document[name] for name in ("id", "created", "model", "session_id", "chat_id")}
        head["object"] = "chat.completion.chunk"
        message = document["choices"][0]["message"]
        calls = [{"index": index, **call} for index, call in enumerate(message.get("tool_calls", ()))]
        deltas = [{"role": "assistant", "content": ""}, *({"tool_calls": [call]} for call in calls)]
        deltas.append({"content": message["content"]})
        chunks = [{**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
        last = {**head, **{name: document[name] for name in ("metadata", "evaluation_metadata") if name in document}}
        chunks.append({**last, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        if (request.get("stream_options") or {}).get("include_usage") or self.fault == "usage unasked":
            chunks.append({**head, "choices": [], "usage": document["usage"]})
        if self.fault == "another id on each chunk":
            chunks = [{**chunk, "id": f"{number}"} for number, chunk in enumerate(chunks)]
        end = "" if self.fault == "streams without an end" else "data: [DONE]\n\n"
        return "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + end


async def foreign(method: str, path: str, headers: Headers, body: bytes) -> Answered:
    """Speaks OpenAI's format and no more: no sessions, no tools, no health, a model by name."""
    del headers
    if (method, path) == ("GET", "/v1/models"):
        return 200, json.dumps({"object": "list", "data": [{"id": "tiny", "object": "model"}]}), {}
    if (method, path) != ("POST", CHAT):
        return 404, json.dumps({"detail": "Not Found"}), {}
    try:
        request = _object(body)
    except Refused:
        request = {}
    messages = request.get("messages")
    if request.get("model") != "tiny" or not isinstance(messages, list) or not messages:
        kind = {"message": "model and messages are required", "type": "invalid_request_error", "code": "invalid"}
        return 400, json.dumps({"error": kind}), {}
    message = {"role": "assistant", "content": "How may I help you?"}
    reply = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "tiny",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
    }
    return 200, json.dumps(reply), {}


def _object(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body)
        json.dumps(document, allow_nan=False).encode()
    except (ValueError, RecursionError):
        raise Refused(400, "The body is no JSON") from None
    if not isinstance(document, dict) or "\\u0000" in json.dumps(document.get("session_id")):
        raise Refused(400, "The body is no JSON object")
    return document


@asynccontextmanager
async def serving(handle: Handle, **settings: Any) -> AsyncIterator[str]:
    """The address where a server like these is served."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        body, more = b"", True
        while more:
            event = await receive()
            body += event.get("body", b"")
            more = event.get("more_body", False)
        headers = {name.decode(): value.decode("latin-1") for name, value in scope["headers"]}
        status, text, told = await handle(scope["method"], scope["path"], headers, body)
        content = text if isinstance(text, bytes) else text.encode()
        sent = {"content-type": "application/json", **told}
        pairs = [(name.encode(), value.encode()) for name, value in sent.items()]
        await send({"type": "http.response.start", "status": status, "headers": pairs})
        await send({"type": "http.response.body", "body": content})

    config = uvicorn.Config(
        app, host="127.0.0.1", port=0, log_config=None, access_log=False, lifespan="off", **settings
    )
    server = uvicorn.Server(config)
    running = asyncio.create_task(server.serve())
    await until(lambda: server.started or running.done())
    try:
        scheme = "https" if config.is_ssl else "http"
        yield f"{scheme}://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        async with asyncio.timeout(20):
            await running
