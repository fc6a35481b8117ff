"""An app of ADK, prepared for turns, and its run in one of them."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from google.adk.agents import BaseAgent, RunConfig, SequentialAgent
from google.adk.agents.run_config import StreamingMode
from google.adk.apps import App
from google.adk.events import Event
from google.adk.runners import Runner
from google.genai import types

from greenroom.agents.adapters.adk.plugin import TurnPlugin
from greenroom.agents.adapters.adk.reading import events_reader
from greenroom.agents.adapters.adk.sessions import TurnSessions
from greenroom.agents.adapters.adk.tools import nodes_of, tools_of
from greenroom.agents.adapters.memory import Memory
from greenroom.agents.adapters.speech import Speech
from greenroom.sdk import Message, Reply, Turn

__all__ = ["Run", "as_app", "asked", "copied", "events_reader", "tools_of", "unheard"]

_WAITS = frozenset({"adk_request_confirmation", "adk_request_input"})


def as_app(target: Any) -> Any:
    """An app of an agent or a workflow; an app as it is."""
    return target if isinstance(target, App) else App(name=target.name, root_agent=target)


def copied(target: Any) -> Any:
    """ADK's own clone of an agent with all below it. Tools, models and plugins are shared; a workflow keeps its nodes."""
    if isinstance(target, App):
        return target.model_copy(update={"root_agent": copied(target.root_agent)})
    return target.clone() if isinstance(target, BaseAgent) else target.model_copy()


def unheard(root: Any) -> Iterator[str]:
    """The names of agents and nodes that others come after: what they say is for those."""
    for node in nodes_of(root):
        early: Sequence[Any] = ()
        if isinstance(node, SequentialAgent):
            early = node.sub_agents[:-1]
        elif getattr(node, "graph", None) is not None:
            last = {edge.to_node.name for edge in node.graph.edges} - {edge.from_node.name for edge in node.graph.edges}
            early = [one for one in node.graph.nodes if one.name not in last]
        for one in early:
            yield from (below.name for below in nodes_of(one))


def asked(waiting: Sequence[Mapping[str, Any]]) -> str:
    """What is waited for, as text."""
    return "\n\n".join(_question(one["args"]) for one in waiting)


def _question(args: Mapping[str, Any]) -> str:
    hint = args.get("message") or args.get("toolConfirmation", {}).get("hint")
    if hint:
        return str(hint)
    call = args.get("originalFunctionCall", {})
    return f"Please confirm: {call.get('name')} {json.dumps(call.get('args', {}))}" if call else json.dumps(dict(args))


class Run:
    """One turn of an app."""

    def __init__(self, agent: Any, turn: Turn, app: Any) -> None:
        self._agent = agent
        self._turn = turn
        self._speech = Speech(turn)
        self._plugin = TurnPlugin(turn)
        self._memory = Memory(turn, "adk")
        self._kept: dict[str, Any] = self._memory.recall() or {}
        # after the app's own plugins: what those decide holds
        self._app = app.model_copy(update={"plugins": [*app.plugins, self._plugin]})
        self._user = turn.user.id or "user"
        self._number = 0
        self._output: Any = None
        self._problem = ""
        self._waiting: list[dict[str, Any]] = []

    async def reply(self) -> Reply:
        """Runs the app on what is new. Its session is in `turn.state` then."""
        turn, app = self._turn, self._app
        sessions = TurnSessions(app.name, self._user, turn.session_id, self._kept, self._agent.reader)
        if not self._kept:
            sessions.session.events.extend(_told_before(self._memory, app.root_agent.name))
        runner = Runner(app=app, session_service=sessions)
        mode = StreamingMode.NONE if turn.feed is None else StreamingMode.SSE
        events = runner.run_async(
            user_id=self._user,
            session_id=turn.session_id,
            new_message=types.Content(role="user", parts=self._said()),
            run_config=RunConfig(streaming_mode=mode),
        )
        try:
            async for event in events:
                await self._hear(event)
        finally:
            await events.aclose()
        if self._waiting:
            await self._speech.whole("question", self._agent.question(self._waiting))
        elif not self._speech.begun and self._output is not None:
            output = self._output
            await self._speech.whole("output", output if isinstance(output, str) else json.dumps(output, default=str))
        elif not self._speech.begun and self._problem:
            raise RuntimeError(self._problem)
        self._memory.keep({**sessions.dump(), "waiting": self._waiting})
        return Reply("", usage=self._plugin.tokens.usage)

    def _said(self) -> list[Any]:
        """What the user said, as an answer to what was waited for, if anything was."""
        turn = self._turn
        waiting = self._kept.get("waiting")
        if not waiting:
            return [types.Part(text=turn.text)]
        return [
            types.Part(
                function_response=types.FunctionResponse(
                    id=one["id"], name=one["name"], response=self._agent.answer(turn, one)
                )
            )
            for one in waiting
        ]

    async def _hear(self, event: Any) -> None:
        if event.error_code:
            self._problem = f"{event.error_code}: {event.error_message}"
        if event.output is not None and self._agent.hears(event.node_info.name or event.author):
            self._output = event.output
        parts = event.content.parts if event.content and event.content.parts else []
        for call in (part.function_call for part in parts if part.function_call):
            if call.name in _WAITS and not event.partial:
                self._waiting.append({"id": call.id, "name": call.name, "args": call.args or {}})
        text = "".join(part.text for part in parts if part.text and not part.thought)
        if not self._agent.hears(event.author) or event.author == "user":
            return
        message = f"{event.author} {self._number}"
        if event.partial:
            await self._speech.piece(message, text)
        else:
            await self._speech.whole(message, text)
            self._number += 1


def _told_before(memory: Memory, author: str) -> Iterator[Any]:
    """A conversation that this app has not seen, as the events of its session."""
    names: dict[str, str] = {}
    for message in memory.before:
        parts = list(_parts(message, names))
        if parts:
            role = "model" if message.role == "assistant" else "user"
            who = "user" if message.role == "user" else author
            yield Event(author=who, invocation_id="before", content=types.Content(role=role, parts=parts))


def _parts(message: Message, names: dict[str, str]) -> Iterator[Any]:
    if message.role == "tool":
        name = names.get(message.tool_call_id, "tool")
        result = {"result": message.content}
        response = types.FunctionResponse(id=message.tool_call_id, name=name, response=result)
        yield types.Part(function_response=response)
        return
    if message.content:
        yield types.Part(text=message.content)
    for call in json.loads(message.tool_calls_json or "[]"):
        function = call["function"]
        names[call["id"]] = function["name"]
        args = json.loads(function["arguments"] or "{}")
        yield types.Part(function_call=types.FunctionCall(id=call["id"], name=function["name"], args=args))
