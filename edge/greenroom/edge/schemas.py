"""The bodies, for the OpenAPI document. Requests are parsed by msgspec; a test holds the two together."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

SessionId = Annotated[
    str | None, Field(max_length=128, description="1 to 128 printable characters without / ? # %. Absent: minted.")
]
JsonObject = dict[str, Any]
ToolTrace = Literal["message", "metadata"]


class Accepting(BaseModel):
    """Unknown fields are accepted (CHAT-03)."""

    model_config = ConfigDict(extra="allow")


class Error(BaseModel):
    """What went wrong."""

    message: str
    type: str
    code: str
    param: str | None = Field(None, description="The field that is wrong.")
    request_id: str | None = None


class ErrorBody(BaseModel):
    """The one shape of every failure (ERR-01)."""

    error: Error


class Part(Accepting):
    """A part of a message's content."""

    type: Literal["text"]
    text: str


class Function(Accepting):
    """What a carried tool call called."""

    name: str
    arguments: str


class CarriedCall(Accepting):
    """A tool call on a carried assistant message."""

    id: str
    function: Function


class ChatMessage(Accepting):
    """One message of the conversation."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[Part] | None = Field(None, description="null only on an assistant message with tool calls.")
    name: str | None = None
    tool_calls: list[CarriedCall] | None = None
    tool_call_id: str | None = None


class StreamOptions(Accepting):
    """How a stream ends."""

    include_usage: bool | None = None


class ChatRequest(Accepting):
    """A turn to run. The last message is the user's, or all are system messages."""

    messages: list[ChatMessage] = Field(min_length=1)
    user_id: str | None = Field(None, max_length=128)
    session_id: SessionId = None
    metadata: JsonObject | None = Field(None, description="Any JSON object up to 64 KiB; comes back unaltered.")
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: Literal[1] | None = None
    sessionId: SessionId = None
    user: str | None = Field(None, max_length=128, description="Stands in for `user_id`.")
    model: Any = Field(
        None, description="The id of an agent, for a new session; one that is not served: the default one."
    )
    temperature: Any = None
    top_p: Any = None
    max_tokens: Any = None
    max_completion_tokens: Any = None
    presence_penalty: Any = None
    frequency_penalty: Any = None
    stop: Any = None
    seed: Any = None
    response_format: Any = None
    reasoning_effort: Any = None
    logit_bias: Any = None
    logprobs: Any = None
    top_logprobs: Any = None
    top_k: Any = None
    min_p: Any = None
    verbosity: Any = None
    prediction: Any = None
    tools: Any = None
    tool_choice: Any = None
    parallel_tool_calls: Any = None
    functions: Any = None
    function_call: Any = None


class CalledFunction(BaseModel):
    """What was called, with what, and what it returned."""

    name: str
    arguments: str = Field(description="A JSON string.")
    result: Any = Field(description='For a failed call `{"error": {"type", "message"}}`.')


class ToolCall(BaseModel):
    """One execution of a tool (CHAT-10)."""

    id: str
    type: Literal["function"]
    function: CalledFunction
    scripted_by: str | None = Field(
        None, description="The scenario's rule that scripted the call; absent on a real one."
    )


class ReplyMessage(BaseModel):
    """The agent's message."""

    role: Literal["assistant"]
    content: str
    tool_calls: list[ToolCall] | None = Field(None, description="In order of start; absent without calls.")


class Choice(BaseModel):
    """The one choice."""

    index: Literal[0]
    message: ReplyMessage
    finish_reason: Literal["stop"]


class Usage(BaseModel):
    """Tokens, counted by a documented rule."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class Scenario(BaseModel):
    """Where the session's world began (USER-06)."""

    id: str
    requested: str | None
    found: bool
    applied: bool | None = Field(None, description="false: another scenario was asked for in mid-session.")


class ReplyMetadata(BaseModel):
    """CHAT-08. More keys may follow."""

    agent_confidence: float | None = Field(None, ge=0, le=1)
    response_time_ms: int
    tools_used: list[str]
    turn: int
    history: Literal["new", "next", "continued", "went_back", "started_over", "adopted"] | None
    scenario: Scenario
    tool_trace: list[ToolCall] | None = None


class Completion(BaseModel):
    """The stored reply (CHAT-05)."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[Choice]
    usage: Usage
    session_id: str
    chat_id: str
    metadata: ReplyMetadata
    evaluation_metadata: JsonObject


class Model(BaseModel):
    """One agent."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    description: str


class Models(BaseModel):
    """The agents."""

    object: Literal["list"]
    data: list[Model]


class UserRequest(Accepting):
    """A user to create."""

    user_id: str = Field(pattern=r"^[A-Za-z0-9_.:@+-]{1,64}$")
    metadata: JsonObject | None = None
    profile: JsonObject | None = None


class UserCreated(BaseModel):
    """USER-01."""

    user_id: str
    created_at: str
    status: Literal["active"]


class User(UserCreated):
    """USER-04."""

    metadata: JsonObject
    profile: JsonObject


State = Literal["healthy", "degraded", "unhealthy"]


class HealthMetrics(BaseModel):
    """Measured over the last five minutes, and on the edge's own process."""

    response_time_avg: float = Field(description="Milliseconds.")
    error_rate: float = Field(description="Percent of responses that were 5xx.")
    memory_usage: float = Field(description="Percent of the machine's memory.")
    cpu_usage: float = Field(description="Percent of one processor.")


class Health(BaseModel):
    """HEALTH-01..03."""

    status: State
    timestamp: str
    version: str
    uptime: int = Field(description="Whole seconds.")
    dependencies: dict[str, State]
    metrics: HealthMetrics


class Probe(BaseModel):
    """HEALTH-04."""

    status: Literal["alive", "ready", "not_ready"]
