"""The bodies of sessions and their turns, for the OpenAPI document. Requests are parsed by msgspec."""

from typing import Any, Literal

from pydantic import BaseModel, Field

from greenroom.edge.schemas import Accepting, JsonObject, Scenario, SessionId, ToolCall, Usage


class ForkFrom(Accepting):
    """A turn of a session, to fork from."""

    session_id: str = Field(min_length=1, max_length=128)
    turn: int | None = Field(
        None, ge=0, le=2**63 - 1, description="The fork's past, state and world are those after it. Absent: the newest."
    )


class SessionRequest(Accepting):
    """A session to open, or to fork."""

    session_id: SessionId = None
    user_id: str | None = Field(None, max_length=128)
    metadata: JsonObject | None = None
    model: Any = Field(None, description="The id of the agent that it is for. A fork keeps its origin's.")
    from_: ForkFrom | None = Field(None, alias="from", description="Forking takes a key with scope `inspect`.")


class Origin(BaseModel):
    """Where a fork begins."""

    session_id: str
    turn: int | None


class Session(BaseModel):
    """A session as stored."""

    session_id: str
    chat_id: str
    user_id: str | None
    agent: str
    created_at: str
    updated_at: str
    closed_at: str | None
    turn_count: int
    head: int = Field(description="The newest turn on the current path; 0 before the first.")
    transcript_mode: bool
    metadata: JsonObject
    scenario: Scenario
    from_: Origin | None = Field(alias="from", description="Of a fork.")


class SessionOpened(Session):
    """SESSION-03."""

    sessionId: str


class SessionPage(BaseModel):
    """Newest first."""

    sessions: list[Session]
    next_page_token: str = Field(description="Empty on the last page.")


class Change(BaseModel):
    """One record; `before` is absent when it was created, `after` when it was deleted."""

    collection: str
    key: str | None
    before: Any = None
    after: Any = None


class StoredCall(ToolCall):
    """A tool call with its timing and effects."""

    ok: bool
    started_ms: float
    duration_ms: float
    changes: list[Change]


class StoredMessage(BaseModel):
    """A message as it was sent."""

    role: str
    content: str | None
    name: str | None = None
    tool_calls: list[Any] | None = None
    tool_call_id: str | None = None


class StoredReply(BaseModel):
    """What the agent said."""

    id: str
    role: Literal["assistant"]
    content: str


class Saw(BaseModel):
    """What the agent saw."""

    system: list[str] = Field(description="The agent's own instructions, the scenario's, the context, in order.")
    user: JsonObject = Field(description="`profile` and `metadata`, the request's laid over the user's.")
    memory: JsonObject | None = Field(
        None,
        description="What earlier sessions of the user had left: `facts` and `sessions`. Only where memory is on: on a"
        " path's first turn, and where the agent asked for it.",
    )


class SawWhole(Saw):
    """What the agent saw, the conversation included."""

    messages: list[StoredMessage] = Field(description="Up to and with what the user said, tool calls included.")


class TurnRecord(BaseModel):
    """What is known of a turn, whether it is shown alone or among others."""

    turn: int
    parent: int
    superseded: bool
    adopted: bool
    created_at: str
    duration_ms: float
    waited_ms: float = Field(description="For the session and for a place to run.")
    agent_ms: float = Field(description="How long the agent ran.")
    retry_count: int = Field(description="How often the client had sent the request before.")
    messages: list[StoredMessage]
    reply: StoredReply
    tool_calls: list[StoredCall]
    agent_confidence: float | None
    evaluation_metadata: JsonObject
    history: str | None
    placed: str | None = Field(description="Why it stands where it does.")
    scenario: Scenario
    options: JsonObject = Field(description="The request's sampling options.")
    usage: Usage
    metadata: JsonObject
    state: Any
    noted: JsonObject | None = Field(
        None,
        description="What it noted of the user for later sessions: `facts`, `forgotten`, `summary`, each where there is"
        " any.",
    )
    changes: list[Change]
    request_id: str


class Turn(TurnRecord):
    """A stored turn."""

    saw: Saw


class WholeTurn(TurnRecord):
    """A stored turn with the conversation as the agent saw it."""

    saw: SawWhole


class FailedTurn(BaseModel):
    """An attempt that left nothing in the session."""

    failed_at: str
    reason: str
    detail: str
    duration_ms: float
    messages: list[StoredMessage]
    tool_calls: list[StoredCall]
    request_id: str


class TurnPage(BaseModel):
    """In commit order."""

    turns: list[Turn]
    next_page_token: str
    failed: list[FailedTurn]


class Chat(Session, TurnPage):
    """A session with its turns."""


class World(BaseModel):
    """The world after a turn (SESSION-02)."""

    session_id: str
    turn: int
    world: JsonObject
    sha256: str = Field(description="Over the world as JSON with sorted keys, no white space, numbers as stored.")
    changes: list[Change]
