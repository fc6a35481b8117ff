"""A core in memory behind a real gRPC server: just enough to see what the edge sends and to answer what a test scripts."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import grpc
from google.protobuf import any_pb2, duration_pb2, timestamp_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_status import rpc_status

from greenroom.v1 import (
    agent_pb2,
    agent_pb2_grpc,
    session_pb2,
    session_pb2_grpc,
    tool_pb2_grpc,
    turn_pb2,
    user_pb2,
    user_pb2_grpc,
)

STAMP = timestamp_pb2.Timestamp(seconds=1_705_833_000)
Answer = turn_pb2.Reply | status_pb2.Status
Script = Callable[[agent_pb2.RunTurnRequest], Awaitable[Answer]]


def failure(
    code: grpc.StatusCode,
    reason: str,
    message: str = "as scripted",
    *,
    field: str | None = None,
    retry: float | None = None,
    domain: str = "greenroom.dev",
) -> status_pb2.Status:
    """A status as the core builds it (ERR-05)."""
    details = [error_details_pb2.ErrorInfo(domain=domain, reason=reason)]
    if field:
        violation = error_details_pb2.BadRequest.FieldViolation(field=field, description=message)
        details.append(error_details_pb2.BadRequest(field_violations=[violation]))
    if retry is not None:
        delay = duration_pb2.Duration(nanos=int(retry * 1e9) % 10**9, seconds=int(retry))
        details.append(error_details_pb2.RetryInfo(retry_delay=delay))
    packed = []
    for detail in details:
        packed.append(any_pb2.Any())
        packed[-1].Pack(detail)
    return status_pb2.Status(code=code.value[0], message=message, details=packed)


def reply_to(turn: agent_pb2.RunTurnRequest, **changes: object) -> turn_pb2.Reply:
    """The published tool answer, for whoever asked."""
    reply = turn_pb2.Reply(
        session_id=turn.session_id or "minted_session",
        chat_id="chat_456def",
        completion_id=f"chatcmpl-{turn.attempt_id}",
        created_at=STAMP,
        agent="support",
        text="I found your order! Order #12345 is currently being prepared and will be shipped within 2 hours.",
        tool_calls=[published_call()],
        evaluation_json='{"tool_called":"get_order_status","tool_success":true}',
        number=1,
        history=turn_pb2.HISTORY_NEW,
        scenario=turn_pb2.Scenario(id="default", found=False),
        usage=turn_pb2.Usage(prompt_tokens=9, completion_tokens=21),
        duration_us=12_400,
        user_id=turn.user_id,
    )
    reply.MergeFrom(turn_pb2.Reply(**changes))
    return reply


def published_call() -> turn_pb2.ToolCall:
    return turn_pb2.ToolCall(
        id="call_abc123",
        name="get_order_status",
        arguments_json='{"order_id": "12345"}',
        result_json='{"order_id":"12345","status":"preparing","estimated_ship_time":"2 hours","tracking_number":null}',
        ok=True,
        started_us=100,
        duration_us=900,
    )


async def _published(turn: agent_pb2.RunTurnRequest) -> Answer:
    return reply_to(turn)


def started(reply: turn_pb2.Reply) -> agent_pb2.StreamTurnResponse:
    """How the stream of this reply begins."""
    return agent_pb2.StreamTurnResponse(
        started=agent_pb2.StreamStarted(
            session_id=reply.session_id,
            chat_id=reply.chat_id,
            completion_id=reply.completion_id,
            started_at=reply.created_at,
            agent=reply.agent,
            replayed=reply.replayed,
        )
    )


def said(text: str) -> agent_pb2.StreamTurnResponse:
    return agent_pb2.StreamTurnResponse(text_delta=text)


def events(sequence: int, *told: agent_pb2.StreamTurnResponse) -> agent_pb2.RunTurnsResponse:
    """What one streamed turn has told."""
    return agent_pb2.RunTurnsResponse(told=[agent_pb2.TurnEvents(sequence=sequence, events=told)])


@dataclass
class FakeCore(
    agent_pb2_grpc.AgentServiceServicer,
    session_pb2_grpc.SessionServiceServicer,
    tool_pb2_grpc.ToolServiceServicer,
    user_pb2_grpc.UserServiceServicer,
):
    """All four services. `script` answers turns; what was asked is kept."""

    script: Script = _published
    deltas: Sequence[str] = ()
    turns: list[agent_pb2.RunTurnRequest] = field(default_factory=list)
    lists: list[int] = field(default_factory=list)
    cancelled: list[int] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    streamed: list[bool] = field(default_factory=list)
    """Of each turn: whether it is told while it is made."""
    read: list[tuple[int, int]] = field(default_factory=list)
    """What the edge has said of how far streamed turns are out."""
    parted: int = 0
    """Streams of turns that their edge has ended in good order."""
    opened: list[session_pb2.CreateSessionRequest] = field(default_factory=list)
    metadata: list[dict[str, str | bytes]] = field(default_factory=list)
    users: dict[str, user_pb2.User] = field(default_factory=dict)
    sessions: dict[str, session_pb2.Session] = field(default_factory=dict)
    stored: dict[str, list[session_pb2.Turn]] = field(default_factory=dict)
    refusal: status_pb2.Status | None = None
    """What every unary call ends with, while set."""
    stream_cancelled: asyncio.Event = field(default_factory=asyncio.Event)
    break_after: int | None = None
    """Ends the stream of turns after so many messages, once."""
    target: str = ""

    async def start(self, address: str = "127.0.0.1:0") -> str:
        """Listens; returns what the edge dials."""
        self.server = grpc.aio.server(options=[("grpc.max_receive_message_length", 8 * 1024 * 1024)])
        agent_pb2_grpc.add_AgentServiceServicer_to_server(self, self.server)
        session_pb2_grpc.add_SessionServiceServicer_to_server(self, self.server)
        tool_pb2_grpc.add_ToolServiceServicer_to_server(self, self.server)
        user_pb2_grpc.add_UserServiceServicer_to_server(self, self.server)
        self.health = health.aio.HealthServicer()
        for service in ("", "database", "agent"):
            await self.health.set(service, health_pb2.HealthCheckResponse.SERVING)
        health_pb2_grpc.add_HealthServicer_to_server(self.health, self.server)
        port = self.server.add_insecure_port(address)
        await self.server.start()
        self.target = address if address.startswith("unix:") else f"127.0.0.1:{port}"
        return self.target

    async def stop(self) -> None:
        await self.server.stop(None)

    # AgentService

    async def RunTurns(
        self,
        requests: AsyncIterator[agent_pb2.RunTurnsRequest],
        context: grpc.aio.ServicerContext[agent_pb2.RunTurnsRequest, agent_pb2.RunTurnsResponse],
    ) -> AsyncIterator[agent_pb2.RunTurnsResponse]:
        self._seen(context)
        messages: asyncio.Queue[agent_pb2.RunTurnsResponse | None] = asyncio.Queue()
        tasks: dict[str, asyncio.Task[None]] = {}

        async def one(item: agent_pb2.TurnItem) -> None:
            told: list[agent_pb2.StreamTurnResponse] = []
            if item.stream and self.deltas:
                told = [started(reply_to(item.turn)), *(said(delta) for delta in self.deltas)]
                for event in told:
                    await messages.put(events(item.sequence, event))
            try:
                answer = await self.script(item.turn)
            except asyncio.CancelledError:
                self.stream_cancelled.set()
                raise
            if item.stream and isinstance(answer, turn_pb2.Reply):
                await messages.put(events(item.sequence, *self._rest(answer, told)))
            outcome = agent_pb2.TurnOutcome(sequence=item.sequence)
            if isinstance(answer, turn_pb2.Reply):
                outcome.reply.CopyFrom(answer)
            else:
                outcome.error.CopyFrom(answer)
            await messages.put(agent_pb2.RunTurnsResponse(outcomes=[outcome]))

        async def read() -> None:
            async for request in requests:
                self.lists.append(len(request.turns))
                self.cancelled.extend(request.cancel)
                self.left.extend(request.left)
                self.read.extend((progress.sequence, progress.characters) for progress in request.read)
                for item in request.turns:
                    self.turns.append(item.turn)
                    self.streamed.append(item.stream)
                    tasks[item.turn.attempt_id] = asyncio.create_task(one(item))
                for attempt_id in request.left:
                    if self.streamed and self.streamed[-1]:
                        tasks[attempt_id].cancel()
            self.parted += 1
            await messages.put(None)

        reading = asyncio.create_task(read())
        try:
            while (message := await messages.get()) is not None:
                yield message
                if self.break_after is not None:
                    self.break_after -= 1
                    if self.break_after <= 0:
                        self.break_after = None
                        await context.abort(grpc.StatusCode.UNAVAILABLE, "scripted break")
        finally:
            reading.cancel()
            for task in tasks.values():
                task.cancel()

    def _rest(
        self, answer: turn_pb2.Reply, told: Sequence[agent_pb2.StreamTurnResponse]
    ) -> list[agent_pb2.StreamTurnResponse]:
        """A script's deltas come before its reply's tool calls, and are the beginning of its text."""
        already = "".join(event.text_delta for event in told)
        assert answer.text.startswith(already)
        first = [] if told else [started(answer)]
        calls = [agent_pb2.StreamTurnResponse(tool_call=call) for call in answer.tool_calls]
        return [*first, *calls, *([said(answer.text[len(already) :])] if answer.text != already else [])]

    async def ListAgents(self, request: agent_pb2.ListAgentsRequest, context: grpc.aio.ServicerContext):  # type: ignore[no-untyped-def, type-arg]  # noqa: ANN201
        await self._check(context)
        return agent_pb2.ListAgentsResponse(agents=[agent_pb2.AgentInfo(id="support", description="Helps.")])

    # UserService

    async def CreateUser(self, request, context):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
        await self._check(context)
        created = self.users[request.user_id].created_at if request.user_id in self.users else STAMP
        user = user_pb2.User(
            user_id=request.user_id,
            created_at=created,
            status="active",
            metadata_json=request.metadata_json,
            profile_json=request.profile_json,
        )
        self.users[request.user_id] = user
        return user_pb2.CreateUserResponse(user=user)

    async def GetUser(self, request, context):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
        await self._check(context)
        user = await self._found(self.users.get(request.user_id), "USER_NOT_FOUND", context)
        return user_pb2.GetUserResponse(user=user)

    async def DeleteUser(self, request, context):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
        await self._check(context)
        await self._found(self.users.pop(request.user_id, None), "USER_NOT_FOUND", context)
        return user_pb2.DeleteUserResponse()

    # SessionService

    def open_session(self, session_id: str, turns: Sequence[session_pb2.Turn] = ()) -> session_pb2.Session:
        """As if it had been talked to."""
        session = session_pb2.Session(
            session_id=session_id,
            chat_id=f"chat_of_{session_id}",
            agent="support",
            created_at=STAMP,
            updated_at=STAMP,
            turn_count=len(turns),
            head=len(turns),
            metadata_json='{"z":1.0,"a":9007199254740993}',
            scenario=turn_pb2.Scenario(id="default", found=False),
        )
        self.sessions[session_id] = session
        self.stored[session_id] = list(turns)
        return session

    async def CreateSession(self, request, context):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
        await self._check(context)
        self.opened.append(request)
        session_id = request.session_id or "minted_session"
        created = session_id not in self.sessions
        if request.HasField("origin"):
            await self._found(self.sessions.get(request.origin.session_id), "SESSION_NOT_FOUND", context)
        session = self.open_session(session_id) if created else self.sessions[session_id]
        if request.HasField("origin"):
            origin = request.origin
            turn = origin.turn if origin.HasField("turn") else self.sessions[origin.session_id].head
            session.origin.CopyFrom(session_pb2.Origin(session_id=origin.session_id, turn=turn))
        return session_pb2.CreateSessionResponse(session=session, created=created)

    async def GetSession(self, request, context):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
        await self._check(context)
        by_chat = {session.chat_id: session for session in self.sessions.values()}
        found = self.sessions.get(request.session_id) or by_chat.get(request.chat_id)
        return session_pb2.GetSessionResponse(session=await self._found(found, "SESSION_NOT_FOUND", context))

    async def ListSessions(self, request, context):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
        await self._check(context)
        return session_pb2.ListSessionsResponse(sessions=self.sessions.values(), next_page_token="more")

    async def GetTurn(self, request, context):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
        await self._check(context)
        turns = {turn.number: turn for turn in self.stored.get(request.session_id, ())}
        found = await self._found(turns.get(request.number), "TURN_NOT_FOUND", context)
        return session_pb2.GetTurnResponse(turn=found)

    async def ListTurns(self, request, context):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
        await self._check(context)
        await self._found(self.sessions.get(request.session_id), "SESSION_NOT_FOUND", context)
        failed = session_pb2.FailedTurn(failed_at=STAMP, reason="AGENT_FAILED", detail="ValueError: no")
        return session_pb2.ListTurnsResponse(turns=self.stored[request.session_id], failed=[failed])

    async def GetWorld(self, request, context):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
        await self._check(context)
        await self._found(self.sessions.get(request.session_id), "SESSION_NOT_FOUND", context)
        turn = request.turn if request.HasField("turn") else 7
        head = session_pb2.WorldHead(session_id=request.session_id, turn=turn, sha256="ab" * 32)
        yield session_pb2.GetWorldResponse(head=head, world_json=b'{"orders":{"1":{"total":1.0,')
        change = turn_pb2.Change(collection="orders", key="1", after_json='{"total": 1.0}')
        yield session_pb2.GetWorldResponse(world_json='"n":"é"}}}'.encode(), changes=[change])

    async def CloseSession(self, request, context):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
        await self._check(context)
        session = await self._found(self.sessions.get(request.session_id), "SESSION_NOT_FOUND", context)
        session.closed_at.CopyFrom(STAMP)
        return session_pb2.CloseSessionResponse(session=session)

    async def DeleteSession(self, request, context):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
        await self._check(context)
        await self._found(self.sessions.pop(request.session_id, None), "SESSION_NOT_FOUND", context)
        return session_pb2.DeleteSessionResponse()

    async def _check(self, context) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
        self._seen(context)
        if self.refusal is not None:
            await context.abort_with_status(rpc_status.to_status(self.refusal))

    async def _found(self, found, reason, context):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        if found is None:
            await context.abort_with_status(
                rpc_status.to_status(failure(grpc.StatusCode.NOT_FOUND, reason, "There is no such thing"))
            )
        return found

    def _seen(self, context) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
        self.metadata.append(dict(context.invocation_metadata() or ()))
