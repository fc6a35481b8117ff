"""Records the turns of support_recording.jsonl: the same requests again, with what the agent now answers. Run by hand when
it is meant to answer otherwise, and read the difference that it makes:

    python tests/agents/record_support.py && git diff --word-diff tests/agents/support_recording.jsonl

With `--plan` other requests are made first, from the conversations and scenarios of these tests: for new scenarios.
"""

import asyncio
import random
import sys
import tempfile

from conversations import CONVERSATIONS
from scenario_talks import TALKS
from support_recording import Asked, Session, play_sessions, read_recording, write_recording

TURNS = 500
SESSIONS = 72
SAID = sorted({step.text for conversation in CONVERSATIONS for step in conversation.steps})
USERS = (
    "",
    "sim_user_abc123",
    "priya.sharma",
    "rajesh.kumar",
    "daniel.okafor",
    "mei.chen",
    "lucas.moreau",
    "amina.yusuf",
)
PROFILES = ({}, {"name": "Rajesh Kumar", "tier": "gold"}, {"first_name": "Zoë", "language": "fr"}, {"tier": "standard"})
METADATA = (
    {},
    {"persona": "delivery_worker_bengaluru", "stress_level": "high"},
    {"time_of_day": "morning_rush", "run": 7},
    {"mood": "angry", "location": {"city": "Bengaluru", "pin": 560038}},
)


def plan() -> list[Session]:
    """The same on every run over the same conversations and scenarios."""
    chance = random.Random(20240121)
    talks = {"default": [[step.text for step in conversation.steps] for conversation in CONVERSATIONS]}
    talks |= {talk.scenario: [[step.text for step in talk.steps]] for talk in TALKS}
    sessions = []
    for number in range(SESSIONS):
        scenario = sorted(talks)[number % len(talks)]
        user, profile = chance.choice(USERS), chance.choice(PROFILES)
        session = f"rec-{number + 1:02}"
        user = f"{user}.{number + 1}" if user.startswith("sim_") else user
        first = not any(other.user == user for other in sessions)
        profile = profile if first else next(other.profile for other in sessions if other.user == user)
        texts = chance.choice(talks[scenario])
        length = (TURNS * (number + 1)) // SESSIONS - (TURNS * number) // SESSIONS
        client = trusting if number % 2 else carrying
        asked = client(chance, texts, length)
        sessions.append(Session(session, scenario, user, profile, chance.choice(METADATA), asked))
    return sessions


def trusting(chance: random.Random, texts: list[str], length: int) -> list[Asked]:
    """A client that sends its last message alone."""
    said = [*texts, *chance.sample(SAID, length)]
    return [Asked(text) for text in said[:length]]


def carrying(chance: random.Random, texts: list[str], length: int) -> list[Asked]:
    """A client that sends the whole history each time, and at times goes back, edits, or has a reply made anew."""
    asked: list[Asked] = []
    path: tuple[int, ...] = ()
    script = [*texts, *chance.sample(SAID, length)]
    while len(asked) < length:
        kind = chance.choices(("on", "back", "edit", "again"), (70, 12, 10, 8))[0] if path else "on"
        if kind == "back" and len(path) > 1:
            path = path[: chance.randrange(len(path))]
            say = chance.choice(SAID)
        elif kind == "edit":
            path, say = path[:-1], chance.choice(SAID)
        elif kind == "again":
            path, say = path[:-1], asked[path[-1] - 1].say
        else:
            say = script.pop(0)
        asked.append(Asked(say, path))
        path = (*path, len(asked))
    return asked


if __name__ == "__main__":
    sessions = plan() if "--plan" in sys.argv else read_recording()[0]
    with tempfile.TemporaryDirectory() as folder:
        answers = asyncio.run(play_sessions(f"sqlite:///{folder}/recording.db", sessions, together=1))
    write_recording(sessions, answers)
