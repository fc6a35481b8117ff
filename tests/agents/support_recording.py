"""A recording of 500 turns of the support agent: what was asked, and what came of it.

support_recording.jsonl holds a line for each session, and after it a line for each of its turns, in order:

    {"session": "rec-01", "scenario": "payment_service_down", "user": "priya.sharma", "profile": {…}, "metadata": {…}}
    {"say": "yes", "path": [1], "turn": 2, "reply": "…", "calls": ["request_refund call_5f0c…"], "dates": ["2024-01-21"],
     "world": "…", "rest": "…"}

`say` is what the user says. A client that carries the whole history has `path`: the turns whose texts and replies it sends
ahead, in order; a client that trusts the server has none. `dates` are those in the results and changes of tools, `world` is
the world's sha256 after the turn, `rest` a digest of all else that is promised to be the same (see `answer_to`).
"""

import asyncio
import hashlib
import json
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from greenroom.agents.support import agent
from greenroom.core.agents import Agents
from greenroom.core.core import Core
from greenroom.core.limits import Limits
from greenroom.core.records import Message
from greenroom.core.request import NOBODY, TurnReply, TurnRequest
from greenroom.core.served import Served
from greenroom.storage import open_store

FILE = Path(__file__).with_suffix(".jsonl")
_DATE = re.compile(r"\b20\d\d-\d\d-\d\d\b")


@dataclass(frozen=True)
class Asked:
    """What one request says. `path`: see above; None for a client that sends its last message alone."""

    say: str
    path: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Answer:
    turn: int
    reply: str
    calls: list[str]
    dates: list[str]
    world: str
    rest: str


@dataclass(frozen=True)
class Session:
    session: str
    scenario: str
    user: str
    profile: dict[str, Any]
    metadata: dict[str, Any]
    asked: list[Asked] = field(default_factory=list)


Answers = dict[str, list[Answer]]
"""By session."""


async def play_sessions(
    url: str, sessions: Sequence[Session], together: int, recorded: Answers | None = None
) -> Answers:
    """Plays the sessions in this order, so many at a time, on a store of their own. A client that carries its history
    sends the replies that it got, or with `recorded` those of the recording."""
    limits = Limits()
    core = Core(Agents([Served(agent, "support", limits)]), open_store(url), limits)
    await core.start()
    room = asyncio.Semaphore(together)

    async def play(session: Session) -> tuple[str, list[Answer]]:
        async with room:
            return session.session, await _play(core, session, (recorded or {}).get(session.session))

    try:
        for session in sessions:
            if session.user:
                await core.users.create(NOBODY, session.user, "{}", json.dumps(session.profile))
        return dict(await asyncio.gather(*map(play, sessions)))
    finally:
        await core.stop()


async def _play(core: Core, session: Session, recorded: list[Answer] | None) -> list[Answer]:
    answers: list[Answer] = []
    for asked in session.asked:
        history: list[Message] = []
        for turn in asked.path or ():
            reply = (recorded or answers)[turn - 1].reply
            history += [Message("user", session.asked[turn - 1].say), Message("assistant", reply)]
        request = TurnRequest(
            messages=(*history, Message("user", asked.say)),
            session_id=session.session,
            user_id=session.user,
            metadata_json=json.dumps({"scenario_id": session.scenario, **session.metadata}),
        )
        answers.append(await answer_to(core, await core.turns.run(request)))
    return answers


async def answer_to(core: Core, reply: TurnReply) -> Answer:
    """What a turn came to, as far as it is promised to be the same on every run."""
    turn = reply.turn
    changes = [[change.collection, change.key, change.before, change.after] for change in turn.changes]
    calls = [
        [call.name, call.arguments_json, call.result_json, call.ok, call.scripted_by, len(call.changes)]
        for call in turn.tool_calls
    ]
    rest = [turn.parent, turn.history.name, turn.confidence, turn.evaluation_json, turn.scenario.id, calls, changes]
    text = json.dumps(rest)
    world = await core.sessions.world(NOBODY, reply.session.session_id, turn.number, None)
    return Answer(
        turn=turn.number,
        reply=turn.reply,
        calls=[f"{call.name} {call.id}" for call in turn.tool_calls],
        dates=sorted(set(_DATE.findall(text))),
        world=world.sha256,
        rest=hashlib.sha256(text.encode()).hexdigest()[:32],
    )


def write_recording(sessions: Iterable[Session], answers: Answers) -> None:
    lines = []
    for session in sessions:
        lines.append({key: value for key, value in asdict(session).items() if key != "asked"})
        for asked, answer in zip(session.asked, answers[session.session], strict=True):
            path = {} if asked.path is None else {"path": asked.path}
            lines.append({"say": asked.say, **path, **asdict(answer)})
    FILE.write_text("".join(f"{json.dumps(line, ensure_ascii=False)}\n" for line in lines), encoding="utf-8")


def read_recording() -> tuple[list[Session], Answers]:
    sessions: list[Session] = []
    answers: Answers = {}
    for text in FILE.read_text(encoding="utf-8").splitlines():
        line = json.loads(text)
        if "session" in line:
            sessions.append(Session(**line))
            continue
        path = line.pop("path", None)
        sessions[-1].asked.append(Asked(line.pop("say"), None if path is None else tuple(path)))
        answers.setdefault(sessions[-1].session, []).append(Answer(**line))
    return sessions, answers


def differences(expected: Answers, found: Answers) -> list[str]:
    """In words, the first of each session."""
    told = []
    for session, answers in found.items():
        for number, (was, now) in enumerate(zip(expected[session], answers, strict=True)):
            old, new = asdict(was), asdict(now)
            if old != new:
                keys = [f"  {key}: {old[key]!r}\n  now: {new[key]!r}" for key in old if old[key] != new[key]]
                told.append("\n".join([f"{session}, request {number + 1}", *keys]))
                break
    return told


def replay(url: str, *, backwards: bool, together: int) -> str:
    """Plays the recording on a new store; "" when all came as recorded."""
    sessions, recorded = read_recording()
    order = sessions[::-1] if backwards else sessions
    found = asyncio.run(play_sessions(url, order, together, recorded))
    missing = sorted(recorded.keys() - found.keys())
    return "\n".join([*differences(recorded, found), *missing])


if __name__ == "__main__":
    # as another process, of another hash seed and time zone, for test_support_replay.py
    sys.exit(replay(sys.argv[1], backwards=True, together=16) or None)
