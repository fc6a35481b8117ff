"""`greenroom chat`: a conversation with an agent in the terminal, its tool calls shown as they run."""

import contextlib
import json
from collections.abc import Callable, Mapping
from typing import Any

from greenroom.cli.failures import failure_text
from greenroom.cli.notation import call_line, change_line, plain
from greenroom.cli.onlooker import Onlooker
from greenroom.cli.process import CannotStart
from greenroom.cli.screen import Screen
from greenroom.cli.sources import load
from greenroom.cli.stage import Stage
from greenroom.cli.talk import Talk
from greenroom.core.errors import GreenroomError
from greenroom.core.records import ToolCallRecord

_HELP = """\
/back           take the last turn back, with what it did to the world
/new [SCENARIO] begin a new session
/world [PLACE]  what changed in the world since the start; PLACE (orders, orders/12345) shows what is there now
/tools          the agent's tools
/quit           end, as Ctrl-D does
A line that begins with a space is said as it stands; Ctrl-C stops a turn."""


def chat_with(flags: Mapping[str, Any], *, user_id: str, scenario: str) -> None:
    """Until the input ends. Raises `WrongSetting` and `CannotStart`."""
    settings = load(flags)
    screen = Screen()
    onlooker = Onlooker()
    with Stage(settings, onlooker) as stage:
        stage.check_scenario(scenario)
        if screen.interactive:
            where = scenario or stage.served.scenarios.default.id
            screen.line(f"You talk to {settings.agent[0]}, scenario {where}. /help tells the commands, Ctrl-D ends.")
        if problem := stage.served.problem():
            screen.error(problem)
        chat = Chat(stage, Talk(stage.core, onlooker, user_id, scenario), screen)
        with contextlib.suppress(KeyboardInterrupt):
            for line in screen.lines():
                if line and not chat.took(line):
                    break


class Chat:
    """What is done with a line."""

    def __init__(self, stage: Stage, talk: Talk, screen: Screen) -> None:
        self._stage = stage
        self._talk = talk
        self._screen = screen
        self._commands: dict[str, Callable[[str], None]] = {
            "back": self._back,
            "new": self._new,
            "world": self._world,
            "tools": self._tools,
            "help": lambda _: screen.line(_HELP),
        }

    def took(self, line: str) -> bool:
        """False when it ends the conversation."""
        if not line.startswith("/"):
            self._say(line)
            return True
        name, _, rest = line[1:].partition(" ")
        if name in ("quit", "exit"):
            return False
        if name in self._commands:
            self._commands[name](rest.strip())
        else:
            self._screen.error(f"there is no command /{plain(name)}; /help tells those there are")
        return True

    def _say(self, text: str) -> None:
        try:
            turn = self._stage.run(self._talk.say(text, self._tell, self._screen.status))
        except GreenroomError as failed:
            self._screen.error(plain(failure_text(failed)))
        except KeyboardInterrupt:
            self._screen.error("stopped; the turn is not in the session")
        else:
            self._screen.finish()
            for change in turn.changes:
                self._screen.aside(f"changed {change_line(change)}")

    def _tell(self, event: str | ToolCallRecord) -> None:
        if isinstance(event, str):
            self._screen.text(event)
        else:
            for line in (call_line(event), *map(plain, self._stage.raised.of(event.id))):
                self._screen.aside(line)

    def _back(self, _: str) -> None:
        taken = self._talk.back()
        self._screen.line(f"took back: {plain(taken)}" if taken else "there is no turn to take back")

    def _new(self, scenario: str) -> None:
        try:
            self._stage.check_scenario(scenario)
        except CannotStart as problem:
            self._screen.error(str(problem))
            return
        self._talk.anew(scenario or None)
        self._screen.line(f"a new session{f', scenario {scenario}' if scenario else ''}")

    def _world(self, place: str) -> None:
        world, changes = self._stage.run(self._talk.world())
        if not place:
            for change in changes:
                self._screen.line(f"changed {change_line(change)}")
            if not changes:
                self._screen.line("nothing has changed")
            return
        found: Any = json.loads(world)
        for part in place.split("/", 1):
            if not isinstance(found, dict) or part not in found:
                there = ", ".join(found) if isinstance(found, dict) else "nothing"
                self._screen.error(plain(f"there is no {part}; there is {there}"))
                return
            found = found[part]
        self._screen.line(plain(json.dumps(found, indent=2, ensure_ascii=False)))

    def _tools(self, _: str) -> None:
        for tool in self._stage.core.tools.list():
            self._screen.line(plain(f"{tool.name}: {tool.description.partition(chr(10))[0]}"))
