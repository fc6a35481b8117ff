"""What everything is compared with: a bare FastAPI app that takes and gives the same bodies, the textbook way.

One uvicorn worker, uvloop and httptools, no middleware, no access log; it stores nothing.
"""

from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel


class Message(BaseModel):
    role: str
    content: str | None = None


class Request(BaseModel):
    messages: list[Message]
    user_id: str | None = None
    session_id: str | None = None
    metadata: dict[str, Any] | None = None
    stream: bool = False


class Function(BaseModel):
    name: str
    arguments: str
    result: Any = None


class ToolCall(BaseModel):
    id: str
    type: str = "function"
    function: Function


class ReplyMessage(BaseModel):
    role: str = "assistant"
    content: str | None
    tool_calls: list[ToolCall] | None = None


class Choice(BaseModel):
    index: int = 0
    message: ReplyMessage
    finish_reason: str = "stop"


class Answer(BaseModel):
    id: str
    object: str = "chat.completion"
    created: int
    model: str
    choices: list[Choice]
    usage: dict[str, int]
    session_id: str | None
    chat_id: str
    metadata: dict[str, Any]
    evaluation_metadata: dict[str, Any]


app = FastAPI()

_ORDER = {"order_id": "12345", "status": "preparing", "estimated_ship_time": "2 hours", "tracking_number": None}


@app.post("/v1/chat/completions", response_model=Answer)
async def chat(request: Request) -> Answer:
    call = ToolCall(
        id="call_abc123",
        function=Function(name="get_order_status", arguments='{"order_id": "12345"}', result=_ORDER),
    )
    text = "I found your order! Order #12345 is currently being prepared and will be shipped within 2 hours."
    return Answer(
        id="chatcmpl-1",
        created=1,
        model="bench",
        choices=[Choice(message=ReplyMessage(content=text, tool_calls=[call]))],
        usage={"prompt_tokens": 40, "completion_tokens": 24, "total_tokens": 64},
        session_id=request.session_id,
        chat_id="chat_456def",
        metadata={"agent_confidence": 0.95, "response_time_ms": 1, "tools_used": ["get_order_status"]},
        evaluation_metadata={"tool_called": "get_order_status", "tool_success": True, "customer_informed": True},
    )
