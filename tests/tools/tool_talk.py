"""Tools called as an agent calls them: in a turn, through its toolbox."""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from greenroom.core.agents import Agents
from greenroom.core.core import Core
from greenroom.core.limits import Limits
from greenroom.core.memory import MemoryStore
from greenroom.core.records import Message
from greenroom.core.request import TurnRequest
from greenroom.core.served import Served
from greenroom.sdk import Agent, Tool, ToolFailed, ToolSource, Turn
from greenroom.tools.tools_file import read_tools_file


class Talk:
    """An agent with these tools, which calls what it is told."""

    def __init__(self, *tools: Tool[..., Any] | ToolSource, **limits: Any) -> None:
        self.agent = Agent("talk", tools=tools)
        self.agent.reply(self._reply)
        self._served = Served(self.agent, "talk", Limits(**limits))
        self.core = Core(Agents([self._served]), MemoryStore(), Limits(**limits))
        self._turns = 0

    async def call(self, tool: str, /, **arguments: Any) -> Any:
        """The call's result, or its error's type and message."""
        self._turns += 1
        request = TurnRequest(messages=(Message("user", json.dumps([tool, arguments])),), session_id=f"s{self._turns}")
        reply = await self.core.turns.run(request)
        return json.loads(reply.turn.reply)

    @property
    def names(self) -> list[str]:
        return [tool.name for tool in self.agent.tools]

    def problem(self) -> str:
        return self.agent.problem()

    async def _reply(self, turn: Turn) -> str:
        """Calls."""
        name, arguments = json.loads(turn.text)
        try:
            return json.dumps(await turn.call(name, **arguments))
        except ToolFailed as failed:
            return json.dumps([failed.type, failed.message])


@asynccontextmanager
async def talking(*tools: Tool[..., Any] | ToolSource, **limits: Any) -> AsyncIterator[Talk]:
    talk = Talk(*tools, **limits)
    await talk.core.start()
    try:
        yield talk
    finally:
        await talk.core.stop()


def sources(folder: Path, text: str) -> Sequence[ToolSource]:
    """Those of a tools file."""
    path = folder / "tools.toml"
    path.write_text(text, encoding="utf-8")
    return read_tools_file(path)


def table(name: str, settings: Mapping[str, Any]) -> str:
    """A table as TOML has it."""
    return f"[{name}]\n" + "".join(f"{key} = {_toml(value)}\n" for key, value in settings.items())


def _toml(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(key)} = {_toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    return json.dumps(value)
