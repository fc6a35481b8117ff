"""An agent of LlamaIndex, prepared for turns, and its run in one of them."""

import copy
import json
from collections.abc import Callable, Mapping
from typing import Any

from llama_index.core.agent.workflow import (
    AgentOutput,
    AgentStream,
    AgentWorkflow,
    CodeActAgent,
    FunctionAgent,
    ReActAgent,
)
from llama_index.core.llms import ChatMessage
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.workflow import Context, HumanResponseEvent, InputRequiredEvent, JsonSerializer

from greenroom.agents.adapters.llama_index.tools import ToolsFound, described, in_turn
from greenroom.agents.adapters.memory import Memory
from greenroom.agents.adapters.speech import Speech
from greenroom.agents.adapters.system import system_texts
from greenroom.agents.adapters.tokens import Tokens
from greenroom.agents.adapters.tools import as_json
from greenroom.sdk import Message, Reply, Tool, Turn

_ANSWER = "Answer:"
"""After this word a ReAct agent speaks to the user; before it, to itself."""


_STATELESS = frozenset({AgentWorkflow, CodeActAgent, FunctionAgent, ReActAgent})
_MADE_ANEW = frozenset(
    {
        "agents",
        "can_handoff_to",
        "early_stopping_method",
        "formatted_input_with_state",
        "handoff_output_prompt",
        "max_iterations",
        "memory",
        "num_iterations",
        "num_tool_calls",
        "user_msg_str",
    }
)
"""What a run puts into its store by itself."""


def agents_of(target: Any) -> list[Any]:
    """The agents of a workflow of agents; of a single one, itself."""
    return list(target.agents.values()) if isinstance(target, AgentWorkflow) else [target]


def tools_of(target: Any) -> list[Tool[..., Any]]:
    """Those that the agents were given, each name once. What a retriever finds is known only when it runs."""
    found: dict[str, Tool[..., Any]] = {}
    for agent in agents_of(target):
        for tool in agent.tools or ():
            found.setdefault(tool.metadata.get_name(), described(tool))
    return list(found.values())


def prepared(target: Any) -> Any:
    """The same agents with their tools in the turn's toolbox. What was given stays as it is."""
    return _changed(target, _with_tools)


def copied(target: Any) -> Any:
    """A copy; of LlamaIndex's own classes the object itself, for those keep nothing of a run."""
    if all(type(one) in _STATELESS for one in (target, *agents_of(target))):
        return target
    return _changed(target, lambda agent: {})


def _changed(target: Any, change: Callable[[Any], dict[str, Any]]) -> Any:
    """A copy, each of its agents with fields of its own."""
    if isinstance(target, AgentWorkflow):
        other = copy.copy(target)
        other.agents = {name: _changed(agent, change) for name, agent in target.agents.items()}
        return other
    return target.model_copy(update=change(target))


def _with_tools(agent: Any) -> dict[str, Any]:
    changed: dict[str, Any] = {"tools": [in_turn(tool) for tool in agent.tools or ()]}
    if agent.tool_retriever is not None:
        changed["tool_retriever"] = ToolsFound(agent.tool_retriever)
    return changed


class Run:
    """One turn of an agent."""

    def __init__(self, turn: Turn, target: Any, new_memory: Callable[[], Any] | None) -> None:
        self._turn = turn
        self._new_memory = new_memory
        self._memory = Memory(turn, "llama_index")
        self._target = target
        self._speech = Speech(turn)
        self._tokens = Tokens()
        self._kinds: dict[str, Any] = {agent.name: type(agent) for agent in agents_of(target)}
        self._number = 0

    async def reply(self) -> Reply:
        """Runs the agent on what is new. Its context is in `turn.state` then."""
        system = "\n\n".join(system_texts(self._turn))
        if system:
            self._target = _changed(
                self._target, lambda agent: {"system_prompt": "\n\n".join(filter(None, (system, agent.system_prompt)))}
            )
        handler = await self._begin(self._memory.recall() or {})
        question = ""
        async for event in handler.stream_events():
            if isinstance(event, InputRequiredEvent):
                question = str(event.get("prefix", "") or json.dumps(as_json(event.model_dump())))
                break
            await self._hear(event)
        if not question:
            await self._conclude(await handler)
        kept = await _kept(handler.ctx, waiting=bool(question))
        if question:
            await handler.cancel_run()
            await self._speech.whole("question", question)
        self._memory.keep(kept)
        return Reply("", usage=self._tokens.usage)

    async def _begin(self, kept: dict[str, Any]) -> Any:
        """The run, begun with what the last turn has left."""
        turn, target = self._turn, self._target
        remembered = await self._remembered(kept.get("messages", []))
        if "waiting" in kept:
            context = Context.from_dict(target, kept["waiting"], serializer=JsonSerializer())
            handler = target.run(ctx=context)
            await handler.ctx.store.set("memory", remembered)
            handler.ctx.send_event(HumanResponseEvent(response=turn.text))
            return handler
        context = Context(target)
        for key, value in kept.get("store", {}).items():
            await context.store.set(key, JsonSerializer().deserialize(value))
        history = None
        if not kept:
            history = [_message(message) for message in self._memory.before] or None
        return target.run(user_msg=turn.text, chat_history=history, memory=remembered, ctx=context)

    async def _remembered(self, messages: list[Any]) -> Any:
        """A memory with these messages: they are what is kept of one, which has no other form as JSON."""
        llm = agents_of(self._target)[0].llm
        memory = ChatMemoryBuffer.from_defaults(llm=llm) if self._new_memory is None else self._new_memory()
        await memory.aset([ChatMessage.model_validate(message) for message in messages])
        return memory

    async def _hear(self, event: Any) -> None:
        if not isinstance(event, AgentStream | AgentOutput):
            return
        kind: Any = self._kinds.get(event.current_agent_name, FunctionAgent)
        if isinstance(event, AgentOutput):
            self._count(event.raw)
            if issubclass(kind, FunctionAgent):
                await self._speech.whole(f"{self._number}", event.response.content or "")
                self._number += 1
        elif issubclass(kind, FunctionAgent):
            await self._speech.whole(f"{self._number}", event.response)
        elif issubclass(kind, ReActAgent) and _ANSWER in event.response:
            await self._speech.whole("answer", event.response.partition(_ANSWER)[2].lstrip())

    async def _conclude(self, output: Any) -> None:
        """What the agent came to, as far as it was not told."""
        kind: Any = self._kinds.get(output.current_agent_name, FunctionAgent)
        text = output.response.content or ""
        if not issubclass(kind, FunctionAgent):
            await self._speech.whole("answer", text)
        elif not self._speech.begun:
            await self._speech.whole("output", text)
        if not self._speech.begun and output.structured_response is not None:
            await self._speech.whole("output", json.dumps(as_json(output.structured_response)))

    def _count(self, raw: Any) -> None:
        """Providers put their count in the answer that is kept as `raw`, each by names of its own."""
        usage = _part(raw, "usage") or _part(raw, "usage_metadata")
        if usage is not None:
            self._tokens.add(
                _first(usage, "prompt_tokens", "input_tokens", "prompt_token_count"),
                _first(usage, "completion_tokens", "output_tokens", "candidates_token_count"),
            )


async def _kept(context: Any, *, waiting: bool) -> dict[str, Any]:
    """What the next turn needs of a run, as JSON: the messages and what was put into the store; of one that waits, all."""
    store = context.store
    memory = await store.get("memory")
    messages = [message.model_dump(mode="json", exclude_none=True) for message in await memory.aget_all()]
    if waiting:
        await store.set("memory", None)  # it has no form as JSON
        return {"messages": messages, "waiting": context.to_dict(serializer=JsonSerializer())}
    state = await store.get_state()
    kept = {key: state[key] for key in state.keys() if key not in _MADE_ANEW and state[key]}  # noqa: SIM118  # no dict
    return {"messages": messages, "store": {key: JsonSerializer().serialize(value) for key, value in kept.items()}}


def _part(whole: Any, name: str) -> Any:
    return whole.get(name) if isinstance(whole, Mapping) else getattr(whole, name, None)


def _first(whole: Any, *names: str) -> int | None:
    return next((value for name in names if isinstance(value := _part(whole, name), int)), None)


def _message(message: Message) -> Any:
    more: dict[str, Any] = {}
    if message.tool_calls_json:
        more["tool_calls"] = json.loads(message.tool_calls_json)
    if message.tool_call_id:
        more["tool_call_id"] = message.tool_call_id
    return ChatMessage(role=message.role, content=message.content, additional_kwargs=more)
