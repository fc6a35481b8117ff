"""A turn as its agent sees it."""

import asyncio
import hashlib
import json
import random
import secrets
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar, Token
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from time import perf_counter_ns
from typing import Any, TypeVar, overload

import msgspec

from greenroom.core.cassettes.tape import TAPED_CALL, Tape
from greenroom.core.chance import Clock, Ids, turn_random
from greenroom.core.conversation import Conversation, conversation_of
from greenroom.core.errors import LimitExceeded, NotRecorded
from greenroom.core.feed import Feed
from greenroom.core.lazy import lazy
from greenroom.core.ledger import WRITER, Writer, leave
from greenroom.core.limits import Limits
from greenroom.core.notes import notes_json
from greenroom.core.plain import size_of, to_json
from greenroom.core.records import Message, TurnRecord
from greenroom.core.schema import Injectable
from greenroom.core.script import TurnScript
from greenroom.core.tool_rack import ToolRack
from greenroom.core.toolbox import OutsideCall, Toolbox
from greenroom.core.tools import Tool, User
from greenroom.core.tracing import AgentSpan
from greenroom.core.transcript import Exchange
from greenroom.core.turn_tools import TurnTools
from greenroom.core.user_memory import Recollection, UserMemory
from greenroom.core.world import World, WorldTurn

T = TypeVar("T")

_ACTING: ContextVar[object] = ContextVar("greenroom_acting", default=None)


class Scene(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """All a turn is made of, before its agent has done anything. JSON is text, read when the agent asks for it."""

    session_id: str
    chat_id: str
    number: int
    input: tuple[Message, ...]
    past: Sequence[TurnRecord | None]
    """The turns before it on its path; with `carried`, the one that is recognised in each exchange, if one is."""
    carried: tuple[Exchange, ...]
    """The history that the request carries; () for none."""
    context: Sequence[str]
    instructions: str
    user_id: str
    user_metadata_json: str
    user_profile_json: str
    metadata_json: str
    options_json: str
    state_json: str
    seed: bytes
    key_source: tuple[str, bytes]
    """What the keys of its calls are made from: what two calls have in common whose keys may be equal (their conversation,
    once there is one), and the turn's seed when it was first run."""
    clock: Clock
    world: WorldTurn
    time_left: float
    request_id: str = ""
    script: TurnScript | None = None
    """How the scenario has tools behave; nothing that the agent sees."""
    memory: Recollection | None = None
    """What is known of the user from earlier sessions; None where memory is off."""
    tape: Tape | None = None
    """What it records and replays; None where nothing is."""


@dataclass(frozen=True, slots=True)
class Backstage:
    """What the turns of one agent share."""

    tools: ToolRack
    limits: Limits
    executor: ThreadPoolExecutor
    tokens: dict[str, "Turn"]
    """Turns in flight that gave out a token (see `Turn.token`)."""


class Turn(Injectable):
    """One turn: what the user just said, all that is known, and the means to act. Valid until its agent returns."""

    reaches_further = True

    def __init__(
        self,
        scene: Scene,
        backstage: Backstage,
        feed: Feed | None = None,
        traceparent: str = "",
        span: AgentSpan | None = None,
    ) -> None:
        self.scene = scene
        self.feed = feed
        """Where the reply is told while it is made, if anybody reads along; None once the agent has answered."""
        self.span = span
        """This run in a trace, if somebody traces."""
        self.traceparent = traceparent if span is None else span.traceparent
        """W3C trace context, to be passed on to what the agent calls: the run's own where it is traced, else that of the
        request; "" for none."""
        self.limits = backstage.limits
        self.started_ns = perf_counter_ns()
        self.world_turn: WorldTurn = scene.world
        self.clock = scene.clock
        """The world's time: fixed by where the story starts, a minute a turn and a second a tool call."""
        self.session_id = scene.session_id
        self.chat_id = scene.chat_id
        self.number = scene.number
        """The turn's number in its session, from 1."""
        self.context = scene.context
        """System and developer texts that hold for this turn: instructions and retrieved documents (CHAT-11)."""
        self.instructions = scene.instructions
        """The agent's own instructions."""
        self.guidance: list[str] = []
        """The instructions of agents that it was delegated to, in order."""
        self.handed: tuple[str, str] | None = None
        """Whom the acting agent has handed it to, and why."""
        self._acting: object = None
        self.said: list[str] = []
        self._said_bytes = 0
        self.toolbox = Toolbox(backstage.tools, self, backstage.executor)
        self._tokens = backstage.tokens
        self._outside: Token[Writer | None] | None = WRITER.set(scene.world.ledger.own)
        self._loop = asyncio.get_running_loop()

    @classmethod
    def for_call(cls, running: Any) -> Any:
        return running.turn

    @lazy
    def text(self) -> str:
        """What the user just said; several messages in a row are joined by line breaks. "" when the agent opens."""
        return "\n".join(message.content or "" for message in self.scene.input if message.role == "user")

    @lazy
    def messages(self) -> Conversation:
        """The conversation up to and with what the user just said."""
        scene = self.scene
        return Conversation(conversation_of(scene.carried, scene.past, scene.input), self.system)

    @lazy
    def system(self) -> Sequence[str]:
        """What a model is told ahead of the conversation: the agent's own instructions, what is known of the user where
        memory is on, the context."""
        known = "" if self.scene.memory is None else self.memory.text()
        return [text for text in (self.instructions, known, *self.context) if text]

    @lazy
    def user(self) -> User:
        """Whom the agent talks to; `id` is "" for nobody."""
        scene = self.scene
        return User(scene.user_id, json.loads(scene.user_profile_json), json.loads(scene.user_metadata_json))

    @lazy
    def metadata(self) -> Mapping[str, Any]:
        """The user's metadata with the request's laid over it, top-level key by key (USER-05)."""
        own: dict[str, Any] = json.loads(self.scene.metadata_json)
        return {**self.user.metadata, **own} if self.user.metadata else own

    @lazy
    def options(self) -> Mapping[str, Any]:
        """Sampling options of the request: `temperature`, `max_tokens` and their like."""
        options: dict[str, Any] = json.loads(self.scene.options_json)
        return options

    @lazy
    def state(self) -> dict[str, Any]:
        """A JSON bag of the agent's own, as its previous turn on this path left it. Committed with the turn."""
        state: dict[str, Any] = json.loads(self.scene.state_json)
        return state

    @lazy
    def memory(self) -> UserMemory:
        """What is known of the user from earlier sessions; empty where memory is off, as it is by default (docs/memory.md)."""
        scene = self.scene
        return UserMemory(scene.user_metadata_json, scene.session_id, scene.memory)

    @lazy
    def world(self) -> World:
        """The session's data: see `World`."""
        return self.world_turn.world

    @lazy
    def _seed(self) -> bytes:
        """Two turns that say the same after the same turn differ in their number alone."""
        return hashlib.blake2b(self.number.to_bytes(8, "big"), key=self.scene.seed, digest_size=32).digest()

    @lazy
    def ids(self) -> Ids:
        """Ids that are the same on every run of this turn."""
        return Ids(self._seed)

    @lazy
    def random(self) -> random.Random:
        """Chance that is the same on every run of this turn."""
        return turn_random(self._seed)

    @lazy
    def key(self) -> str:
        """The same on every attempt of this turn, for the idempotency key of whatever it asks outside (CHAT-17)."""
        return self._keys.new("turn")

    @lazy
    def _keys(self) -> Ids:
        scope, seed = self.scene.key_source
        return Ids(hashlib.blake2b(scope.encode(errors="replace"), key=seed, digest_size=32).digest())

    @property
    def request_id(self) -> str:
        """The id of the request, for logs alone: those of what the agent asks outside, too. "" where nobody gave one."""
        return self.scene.request_id

    @property
    def streamed(self) -> bool:
        """Whether somebody reads the reply while it is made."""
        return self.feed is not None

    @lazy
    def token(self) -> str:
        """An unguessable token with which a process elsewhere can call this turn's tools (ToolService.InvokeTool)."""
        token = secrets.token_urlsafe(24)
        self._tokens[token] = self
        return token

    @lazy
    def tools(self) -> TurnTools:
        """The agent's tools, for a model."""
        return TurnTools(self)

    async def recorded(self, name: str, request: Any, ask: Callable[[], Awaitable[T]]) -> T:
        """What `ask` answers, as JSON, to this request, JSON too: for asking a model, or a service that is no tool. Where a
        cassette records the turn it is recorded; where one replays it `ask` is not called (docs/cassettes.md). `name` is the
        model's. Ids that change from session to session do not belong into the request. Raises what `ask` raises."""
        tape = self.scene.tape
        if tape is None or not self.is_taped:
            return await ask()
        try:
            answer: T = await tape.ask(name, request, ask)
        except NotRecorded as missing:
            self.toolbox.refused = missing
            raise
        return answer

    def stays_live(self) -> None:
        """Says from within a tool call that it does more than return plain JSON and write to the world: where the turn is
        recorded, a cassette keeps that it is to be called each time."""
        if (asked := TAPED_CALL.get()) is not None:
            asked.is_live = True

    @property
    def is_taped(self) -> bool:
        """Whether what is asked outside here is recorded or replayed."""
        return self.scene.tape is not None

    @property
    def time_left(self) -> float:
        """Seconds until the turn's deadline."""
        return self.scene.time_left - (perf_counter_ns() - self.started_ns) / 1e9

    @property
    def deadline(self) -> datetime:
        """When the turn must be over, by the machine's clock."""
        return datetime.now(UTC) + timedelta(seconds=self.time_left)

    @overload
    async def call(self, tool: Tool[..., Coroutine[Any, Any, T]], /, **arguments: Any) -> T: ...
    @overload
    async def call(self, tool: Tool[..., T], /, **arguments: Any) -> T: ...
    @overload
    async def call(self, tool: str, /, **arguments: Any) -> Any: ...
    async def call(self, tool: Tool[..., Any] | str, /, **arguments: Any) -> Any:
        """Calls a tool and returns what it returns. Raises `ToolFailed`; the call is recorded either way."""
        return await self.toolbox.call(tool, arguments)

    def call_sync(self, tool: Tool[..., T], /, **arguments: Any) -> T:
        """`call` for agents and tools that are plain functions (they run in a thread)."""
        result: T = self.wait_for(self.toolbox.call(tool, arguments))
        return result

    def wait_for(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of a coroutine that runs on the turn's event loop meanwhile: for code in a thread."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def outside(self, name: str, arguments: Mapping[str, Any], id: str = "") -> OutsideCall:
        """Records a tool call that runs elsewhere, from now until it is told how it ended. Scenarios do not script those.
        Raises `LimitExceeded` past the turn's bound."""
        return self.toolbox.outside(name, arguments, id)

    def hand_off(self, agent: str, why: str = "") -> None:
        """Has another agent of the same `Router` go on with this turn, once the one that replies now is done: a tool may say
        so as well as the agent itself."""
        self.handed = (agent, why)

    @contextmanager
    def acting(self, name: str, instructions: str, tools: Sequence[Tool[..., Any]]) -> Iterator[None]:
        """Another agent acts in this turn meanwhile. Raises `RuntimeError` where two would at the same time."""
        if _ACTING.get() is not self._acting:
            raise RuntimeError("one agent at a time replies in a turn; wait for the one before")
        before = (self.instructions, self.toolbox.tools, self.state, self._acting)
        own = before[2].setdefault("agents", {}).setdefault(name, {})
        self._acting = object()
        token = _ACTING.set(self._acting)
        self.instructions, self.toolbox.tools = instructions, tools
        self.__dict__["state"] = own
        if instructions:
            self.guidance.append(instructions)
        self.__dict__.pop("messages", None)
        try:
            yield
        finally:
            before[2]["agents"][name] = self.state
            self.instructions, self.toolbox.tools, self.__dict__["state"], self._acting = before
            self.__dict__.pop("messages", None)
            _ACTING.reset(token)

    def say(self, text: str) -> None:
        """Adds text to the reply, ahead of what the agent returns. Who reads the reply as a stream has it at once."""
        self.said.append(text)
        self._said_bytes += size_of(text)
        if self._said_bytes > self.limits.reply_bytes:
            self.toolbox.refused = LimitExceeded(f"a reply may be {self.limits.reply_bytes} bytes at most")
            raise self.toolbox.refused
        if self.feed is not None:
            self.feed.say(text)

    def remember(self, text: str, key: str = "") -> None:
        """Notes a fact about the user, for later sessions. It takes the place of an earlier one with the same key, or with
        the same text where it has none. Committed with the turn; nothing is noted where memory is off."""
        self.memory.remember(text, key)

    def forget(self, key: str) -> None:
        """Forgets the fact with this key (or with this text, where it has no key), whichever session noted it."""
        self.memory.forget(key)

    def summarise(self, text: str) -> None:
        """Says what later sessions are to be told of this one, in place of how it began and ended. The latest holds."""
        self.memory.summarise(text)

    async def keep_pace(self) -> None:
        """Returns when the reader of the stream has kept up with what was said; at once when nobody reads along."""
        if self.feed is not None:
            await self.feed.room()

    def call_key(self, number: int) -> str:
        """The key of the turn's n-th call: the same on every attempt."""
        return self._keys.new(f"key{number}")

    def end(self) -> None:
        """Cuts off whatever still holds the turn's world."""
        self.toolbox.end()
        self.world_turn.close()
        if self._outside is not None:
            leave(self._outside)
            self._outside = None
            if self.span is not None:
                self.span.end()
        if "token" in self.__dict__:
            self._tokens.pop(self.token, None)
        self.__dict__.pop("tools", None)  # it holds this turn

    def notes_after(self, reply: str) -> str:
        """What is noted of the user after this turn, as JSON text; "" where memory is off. Raises `LimitExceeded`."""
        if self.scene.memory is None:
            return ""
        notes = self.memory.notes(reply)
        if len(notes.all) > self.limits.memory_facts:
            raise LimitExceeded(f"a session may remember {self.limits.memory_facts} facts at most")
        if notes.size > self.limits.memory_bytes:
            raise LimitExceeded(f"what a session remembers may be {self.limits.memory_bytes} bytes at most")
        return notes_json(notes)

    def seen_of_memory(self) -> str:
        """What the agent saw of earlier sessions, as JSON text, where it is to be kept with the turn; else ""."""
        memory = self.scene.memory
        if memory is None:
            return ""
        was_read = "memory" in self.__dict__ and self.memory.was_read
        return memory.known_json if memory.begins or was_read else ""

    def state_after(self) -> str:
        """The state to store, as JSON text. Raises `WorldError` when it is no JSON object."""
        return to_json(self.state, "turn.state") if "state" in self.__dict__ else self.scene.state_json
