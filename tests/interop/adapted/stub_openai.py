"""OpenAI's two endpoints, and Google's, as far as the examples of docs/frameworks.md need them: a tool is called once, then
told of."""

import json
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class StubOpenAI(ThreadingHTTPServer):
    """Calls `tool`, then says `words`. With `status` it refuses instead."""

    daemon_threads = True

    def __init__(self, tool: str, arguments: Mapping[str, Any], words: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.tool = tool
        self.arguments = json.dumps(arguments)
        self.words = words
        self.status = 200
        self.bodies: list[dict[str, Any]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"

    def __enter__(self) -> "StubOpenAI":
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        server = self.server
        assert isinstance(server, StubOpenAI)
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        server.bodies.append(body)
        google = "generateContent" in self.path
        streams = server.status == 200 and not google and body.get("stream", False)
        self.send_response(server.status)
        self.send_header("Content-Type", "text/event-stream" if streams else "application/json")
        self.end_headers()
        if server.status != 200:
            self.wfile.write(b'{"error": {"message": "SECRET"}}')
            return
        if not streams:
            self.wfile.write(json.dumps(_gemini(server, body) if google else _whole_chat(server, body)).encode())
            return
        events = _responses(server, body) if self.path.endswith("/responses") else _chat(server, body)
        for event in events:
            self.wfile.write(f"data: {json.dumps(event)}\n\n".encode())
        self.wfile.write(b"data: [DONE]\n\n")

    def log_message(self, *_: object) -> None:
        pass


def _responses(server: StubOpenAI, body: Mapping[str, Any]) -> list[dict[str, Any]]:
    done = any(item.get("type") == "function_call_output" for item in body["input"])
    item: dict[str, Any] = (
        {
            "id": "m1", "type": "message", "role": "assistant", "status": "completed",
            "content": [{"type": "output_text", "text": server.words, "annotations": []}],
        }
        if done
        else {
            "id": "f1", "type": "function_call", "call_id": "c1", "status": "completed",
            "name": server.tool, "arguments": server.arguments,
        }
    )  # fmt: skip
    usage = {
        "input_tokens": 10, "output_tokens": 5, "total_tokens": 15,
        "input_tokens_details": {"cached_tokens": 0}, "output_tokens_details": {"reasoning_tokens": 0},
    }  # fmt: skip
    response = {
        "id": "r1", "object": "response", "created_at": 0, "model": body["model"], "status": "completed", "output": [item],
        "tool_choice": "auto", "tools": [], "parallel_tool_calls": True, "usage": usage, "error": None,
        "incomplete_details": None, "instructions": None, "metadata": {},
    }  # fmt: skip
    started = {**response, "status": "in_progress", "output": [], "usage": None}
    place = {"output_index": 0, "sequence_number": 1}
    delta = {
        "type": "response.output_text.delta",
        "item_id": "m1",
        "content_index": 0,
        "delta": server.words,
        "logprobs": [],
    }
    return [
        {"type": "response.created", "response": started, "sequence_number": 0},
        {"type": "response.output_item.added", "item": item, **place},
        *([{**delta, **place}] if done else []),
        {"type": "response.output_item.done", "item": item, **place},
        {"type": "response.completed", "response": response, "sequence_number": 3},
    ]


def _gemini(server: StubOpenAI, body: Mapping[str, Any]) -> dict[str, Any]:
    done = any("functionResponse" in part for content in body["contents"] for part in content["parts"])
    call = {"functionCall": {"name": server.tool, "args": json.loads(server.arguments)}}
    content = {"role": "model", "parts": [{"text": server.words} if done else call]}
    usage = {"promptTokenCount": 10, "candidatesTokenCount": 5, "totalTokenCount": 15}
    return {"candidates": [{"index": 0, "content": content, "finishReason": "STOP"}], "usageMetadata": usage}


def _whole_chat(server: StubOpenAI, body: Mapping[str, Any]) -> dict[str, Any]:
    first, last = _chat(server, body)
    choice = {"index": 0, "message": first["choices"][0]["delta"], "finish_reason": last["choices"][0]["finish_reason"]}
    choice["message"].setdefault("content", None)
    return {**last, "object": "chat.completion", "choices": [choice]}


def _chat(server: StubOpenAI, body: Mapping[str, Any]) -> list[dict[str, Any]]:
    function = {"name": server.tool, "arguments": server.arguments}
    done = any(message["role"] == "tool" for message in body["messages"])
    delta: dict[str, Any] = (
        {"role": "assistant", "content": server.words}
        if done
        else {"role": "assistant", "tool_calls": [{"index": 0, "id": "c1", "type": "function", "function": function}]}
    )
    chunk = {"id": "x", "object": "chat.completion.chunk", "created": 0, "model": body["model"]}
    usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
    finish = "stop" if done else "tool_calls"
    return [
        {**chunk, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]},
        {**chunk, "choices": [{"index": 0, "delta": {}, "finish_reason": finish}], "usage": usage},
    ]
