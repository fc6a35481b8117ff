"""An agent that is a command: any program that reads a turn as a line of JSON and writes what it replies as lines of JSON."""

import os
import secrets
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from greenroom.agents.remote.command.dialogue import Dialogue
from greenroom.agents.remote.command.lines import turn_line
from greenroom.agents.remote.command.processes import Processes
from greenroom.agents.remote.failure import RemoteFailed
from greenroom.sdk import Agent, AgentError, Reply, Tool, ToolSource, Turn
from greenroom.tools.child import Child, ended_with


class CommandAgent(Agent):
    """The program `command`, or one with arguments: `["node", "agent.mjs"]`. What it is told and may say is in
    docs/remote-agents.md; it gets this process's environment.

    `tools` and `world` are what it may call here. `workers` processes stay and have one turn at a time, others wait; 0: each
    turn has a process of its own. Raises `AgentError` when there is no such program.
    """

    def __init__(
        self,
        command: str | Sequence[str],
        *,
        name: str = "",
        tools: Sequence[Tool[..., Any] | ToolSource] = (),
        world: Mapping[str, Any] | str | Path | None = None,
        workers: int = 0,
    ) -> None:
        words = [command] if isinstance(command, str) else list(command)
        if not words or workers < 0:
            raise AgentError("a command agent has a program to run, and 0 or more workers")
        self._command = [_program(words[0]), *words[1:]]
        super().__init__(name or Path(words[0]).name, tools=tools, world=world)
        self._stays = workers > 0
        self._workers = workers
        self._processes: Processes | None = None
        self.reply(self._reply)
        self.on_startup(self._open)
        self.on_shutdown(self._close)
        self.on_health(self._is_gone)

    @property
    def description(self) -> str:
        """The command."""
        return " ".join([Path(self._command[0]).name, *self._command[1:]])

    async def _reply(self, turn: Turn) -> Reply:
        processes = self._processes or await self._open()
        async with processes.one() as child:
            turn_id = secrets.token_hex(8)
            child.send(turn_line(turn, turn_id))
            if not self._stays and not self.tools:
                child.close_input()  # for a program that reads all there is
            dialogue = Dialogue(turn, turn_id, child)
            return await dialogue.reply() or await self._ended(child, dialogue.has_spoken)

    async def _ended(self, child: Child, has_spoken: bool) -> Reply:
        """What a process has replied that ended without saying that it has."""
        if self._stays:
            child.kill()  # it may have closed its output alone
            raise RemoteFailed(f"a worker ended with {ended_with(await child.exit_code())} before it had replied")
        if code := await child.exit_code():
            raise RemoteFailed(f"it ended with {ended_with(code)}")
        if not has_spoken:
            raise RemoteFailed("it ended without a word; it writes at least a line of JSON with text")
        return Reply("")

    async def _open(self) -> Processes:
        processes = self._processes = Processes(self._command, self.name, self._workers)
        await processes.open()
        return processes

    async def _close(self) -> None:
        processes, self._processes = self._processes, None
        if processes is not None:
            await processes.close()

    def _is_gone(self) -> str:
        program = self._command[0]
        return "" if os.access(program, os.X_OK) else f"{program} cannot be run any more"


def _program(word: str) -> str:
    """Its path. A name without a slash is looked for where the shell looks."""
    found = shutil.which(word)
    if found is not None:
        return os.path.abspath(found)
    if os.path.isdir(word):
        raise AgentError(f"{word} is a folder; an agent is a program, or an object of a module: module:attribute")
    if not os.path.isfile(word):
        raise AgentError(f"there is no program {word}")
    raise AgentError(f"{word} cannot be run: chmod +x {word}")
