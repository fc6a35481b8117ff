"""A graph, prepared for turns, and its run in one of them."""

import copy
import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import is_dataclass
from typing import Any

from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    HumanMessage,
    RemoveMessage,
    SystemMessage,
    ToolMessage,
)
from langgraph.graph.message import add_messages
from langgraph.pregel import Pregel
from langgraph.types import Command
from pydantic import BaseModel

from greenroom.agents.adapters.langgraph.saver import StateSaver
from greenroom.agents.adapters.langgraph.shape import Shape
from greenroom.agents.adapters.langgraph.store import SessionStore
from greenroom.agents.adapters.langgraph.tools import ToolsOfGraph
from greenroom.agents.adapters.langgraph.watch import Watch
from greenroom.agents.adapters.memory import Memory
from greenroom.agents.adapters.speech import Speech
from greenroom.agents.adapters.system import system_texts
from greenroom.agents.adapters.tools import as_json
from greenroom.sdk import Message, Reply, Tool, Turn

CONTEXT_ID = "greenroom-context"
"""Of the message in a graph's memory that has the turn's system texts: each turn's replaces the last one's."""
_END = "__end__"


class Staged:
    """A graph whose tools go through the turn's toolbox."""

    def __init__(self, graph: Any, tools: ToolsOfGraph, speaks: frozenset[str]) -> None:
        self.graph = graph
        self.tools: Sequence[Tool[..., Any]] = tools.tools
        self.speaks = speaks
        """Nodes after which the graph may end."""


def staged(graph: Any) -> Staged:
    """The graph that was given stays as it is."""
    tools = ToolsOfGraph()
    return Staged(tools.through(graph), tools, frozenset(_last_nodes(graph)))


def copied(one: Staged) -> Staged:
    """Nothing of a graph changes in a run but its checkpointer, which is the turn's."""
    other = copy.copy(one)
    other.graph = copy.copy(one.graph)
    return other


def mismatch(one: Staged, shape: Shape) -> str:
    """What of the graph cannot be served, or of the shape does not fit it; "" for nothing."""
    if stops := dict.fromkeys(_stops(one.graph)):
        return (
            f"the graph is compiled to stop ({', '.join(stops)}), which asks nobody anything: compile it without, and call "
            "interrupt(…) in a node"
        )
    channels = one.graph.channels
    for role, key in (("input", shape.input), ("output", shape.output or shape.input)):
        if isinstance(key, str) and key not in channels:
            known = ", ".join(sorted(name for name in channels if not name.startswith(("__", "branch:"))))
            keys = f"one of {known}, or a function" if known else "a function"
            return f"the graph's state has no {key!r}, say what is the {role}: Shape({role}=…), {keys}"
    return ""


def asked(interrupts: Sequence[Any]) -> str:
    """What interrupts ask, as text."""
    values = [interrupt.value for interrupt in interrupts]
    return "\n\n".join(value if isinstance(value, str) else json.dumps(as_json(value)) for value in values)


def _stops(graph: Any) -> Iterator[str]:
    """Where a graph, or one inside it, stops by itself: "interrupt_before tools"."""
    for when in ("interrupt_before", "interrupt_after"):
        nodes = getattr(graph, f"{when}_nodes") or ()
        yield from (f"{when} {node}" for node in ([nodes] if isinstance(nodes, str) else nodes))
    for node in graph.nodes.values():
        yield from itertools.chain.from_iterable(_stops(one) for one in node.subgraphs or () if isinstance(one, Pregel))


def _last_nodes(graph: Any, above: str = "") -> Iterator[str]:
    drawn = graph.get_graph()
    last = {edge.source for edge in drawn.edges if edge.target == _END}
    for name, node in graph.nodes.items():
        if name in last:
            yield above + name
            for subgraph in node.subgraphs or ():
                if isinstance(subgraph, Pregel):
                    yield from _last_nodes(subgraph, f"{above}{name}/")


class Run:
    """One turn of a graph."""

    def __init__(self, agent: Any, turn: Turn, one: Staged) -> None:
        self._agent = agent
        self._shape: Shape = agent.shape
        self._turn = turn
        self._graph = one.graph
        self._speaks = one.speaks if self._shape.speaks is None else frozenset(self._shape.speaks)
        self._watch = Watch(turn)
        self._speech = Speech(turn)
        self._known: set[Any] = set()
        """The ids of messages that are not to be told (again)."""
        self._states: list[Any] = []
        """The graph's states since that was last asked: their messages are known, too."""
        self._numbers = itertools.count()
        self._speaks_in_messages = self._says_messages()
        own = self._graph.checkpointer
        self._saver: StateSaver | None = None
        if self._shape.memory or (self._shape.memory is None and own):
            self._saver = StateSaver(serde=getattr(own, "serde", None))
        self._graph.checkpointer = self._saver

    async def reply(self) -> Reply:
        """Runs the graph on what is new. Its memory is in `turn.state` afterwards."""
        turn, saver = self._turn, self._saver
        memory = Memory(turn, "langgraph")
        kept: dict[str, Any] = memory.recall() or {}
        store = SessionStore(self._graph.store, kept.get("store", []), turn)
        self._graph.store = store.store
        if saver is not None:
            saver.restore(turn.session_id, kept.get("checkpoints"))
        given = self._input(kept)
        options: dict[str, Any] = {} if saver is None else {"durability": "exit"}
        if self._shape.context is not None:
            options["context"] = self._shape.context(turn)
        values: Any = None
        interrupts: Sequence[Any] = ()
        modes = ["updates", "values", *([] if turn.feed is None else ["messages"])]
        nested = any(node.subgraphs for node in self._graph.nodes.values())
        async for told in self._graph.astream(given, self._config(), stream_mode=modes, subgraphs=nested, **options):
            path, mode, data = told if nested else ((), *told)
            if mode == "messages":
                await self._piece(*data)
            elif mode == "updates":
                await self._update(path, data)
            elif not path:
                values = data
                interrupts = data.get("__interrupt__", ()) if isinstance(data, dict) else ()
                self._states.append(data)
        await self._asked_models()
        if interrupts:
            await self._speech.whole("interrupt", self._agent.question(list(interrupts)))
        elif not self._speech.begun or callable(self._shape.output):
            await self._speech.whole("output", self._output(values))
        if saver is not None:
            kept["checkpoints"] = saver.dump(turn.session_id, whole=bool(interrupts))
            kept["waiting"] = [{"id": one.id, "value": as_json(one.value)} for one in interrupts]
        if changed := store.dump():
            kept["store"] = changed
        else:
            kept.pop("store", None)
        if kept:
            memory.keep(kept)
        return Reply("", usage=self._watch.tokens.usage)

    def _config(self) -> dict[str, Any]:
        turn = self._turn
        ids = {"thread_id": turn.session_id, "session_id": turn.session_id, "user_id": turn.user.id}
        return {"configurable": ids, "callbacks": [self._watch]}

    def _input(self, memory: dict[str, Any]) -> Any:
        turn, key = self._turn, self._shape.input
        if waiting := memory.get("waiting"):
            return Command(resume={one["id"]: self._agent.answer(turn, waiting) for one in waiting})
        if callable(key):
            return key(turn)
        channel = self._graph.channels[key]
        if _holds_text(channel):
            return {key: turn.text}
        if self._saver is None:
            return {key: _messages(turn)}
        if not memory.get("checkpoints"):
            memory["context"] = _context_of(turn)
            return {key: _messages(turn)}
        context, replaces = _context_of(turn), getattr(channel, "operator", None) is add_messages
        new: list[Any] = []
        if context != memory.get("context", ""):
            if context:
                new.append(SystemMessage(context, id=CONTEXT_ID))
            elif replaces:
                new.append(RemoveMessage(CONTEXT_ID))
            memory["context"] = context
        return {key: [*new, *([HumanMessage(turn.text)] if turn.text else [])]}

    async def _piece(self, message: Any, metadata: dict[str, Any]) -> None:
        """A piece of what a model writes; whole messages come by other ways, as they do when nobody reads along."""
        if isinstance(message, AIMessageChunk) and self._hears(metadata["langgraph_checkpoint_ns"].split("|")):
            await self._speech.piece(str(message.id), message.text)

    async def _update(self, path: tuple[str, ...], update: Any) -> None:
        """What nodes have added to the state. Messages that it had before, as a subgraph gives them back, were heard."""
        await self._asked_models()
        for node, added in update.items() if isinstance(update, dict) else ():
            if node.startswith("__") or not self._hears((*path, node)):
                continue
            for message in _messages_in(added):
                if isinstance(message, AIMessage) and self._is_new(message.id):
                    self._known.add(message.id)
                    await self._speech.whole(message.id or f"message {next(self._numbers)}", message.text)

    def _is_new(self, message_id: str | None) -> bool:
        if message_id is None:
            return True
        if message_id not in self._known:
            self._known.update(one.id for state in self._states for one in _messages_in(state))
            self._states.clear()
        return message_id not in self._known

    async def _asked_models(self) -> None:
        """What models have said, also where it does not go into the state as a message."""
        while self._watch.heard:
            namespace, message = self._watch.heard.popleft()
            if isinstance(message, AIMessage) and self._hears(namespace.split("|")):
                self._known.add(message.id)
                await self._speech.whole(str(message.id), message.text)

    def _hears(self, path: Iterable[str]) -> bool:
        return "/".join(step.partition(":")[0] for step in path) in self._speaks and self._speaks_in_messages

    def _says_messages(self) -> bool:
        """An answer that is elsewhere than in messages is told when it is there, unless it is said who speaks."""
        key = self._shape.output or self._shape.input
        return self._shape.speaks is not None or (isinstance(key, str) and not _holds_text(self._graph.channels[key]))

    def _output(self, values: Any) -> str:
        read, key = self._shape.output, self._shape.output or self._shape.input
        if callable(read):
            return read(values)
        if callable(key):
            return str(values)
        answer = values.get(key) if isinstance(values, dict) else getattr(values, key, None)
        if isinstance(answer, list):
            said = [one for one in answer if isinstance(one, AIMessage)]
            answer = said[-1].text if said and answer[-1] is said[-1] else ""
        return "" if answer is None else answer if isinstance(answer, str) else json.dumps(as_json(answer))


def _messages_in(update: Any) -> Iterator[Any]:
    """The messages among the values of a state, or of what a node adds to it."""
    values: Iterable[Any] = ()
    if isinstance(update, dict):
        values = update.values()
    elif isinstance(update, BaseModel) or is_dataclass(update):
        values = vars(update).values()
    elif isinstance(update, list | tuple):
        values = update
    for value in values:
        if isinstance(value, BaseMessage):
            yield value
        elif isinstance(value, list | tuple):
            yield from (one for one in value if isinstance(one, BaseMessage))
        elif isinstance(update, list | tuple):  # a node may give several updates
            yield from _messages_in(value)


def _context_of(turn: Turn) -> str:
    return "\n\n".join(system_texts(turn))


def _messages(turn: Turn) -> list[Any]:
    """The whole conversation, its system texts as one message that can be found again."""
    context = _context_of(turn)
    told = [_message(message, f"told-{number}") for number, message in enumerate(turn.messages)]
    return [SystemMessage(context, id=CONTEXT_ID), *told] if context else told


def _message(message: Message, number: str) -> BaseMessage:
    """By hand, for LangChain's own way from the wire's form takes twice as long, and so do the ids that it makes."""
    said: dict[str, Any] = {"content": message.content or "", "id": number}
    if message.name:
        said["name"] = message.name
    if message.role == "user":
        return HumanMessage(**said)
    if message.role == "tool":
        return ToolMessage(**said, tool_call_id=message.tool_call_id)
    if message.tool_calls_json:
        said["tool_calls"] = [_call(call) for call in json.loads(message.tool_calls_json)]
    return AIMessage(**said)


def _call(call: dict[str, Any]) -> dict[str, Any]:
    function = call["function"]
    return {"name": function["name"], "args": json.loads(function["arguments"] or "{}", strict=False), "id": call["id"]}


def _holds_text(channel: Any) -> bool:
    return getattr(channel, "typ", None) is str
