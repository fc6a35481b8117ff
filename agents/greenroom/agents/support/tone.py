"""The tone of a reply, and the words of sympathy that go with it."""

import re

from greenroom.agents.support.customer import Customer
from greenroom.agents.support.intents import Intent
from greenroom.agents.support.memory import Memory
from greenroom.agents.support.understanding import Heard

_BY_STORY = (
    ("calm", re.compile(r"angry|irate|furious|frustrat|aggressive|rude|hostile|abusive")),
    (
        "empathetic",
        re.compile(
            r"stress|worr|anxi|financ|hardship|grie|vulnerable|worker|driver|rider|parent|student|desperate"
            r"|struggl|emergency"
        ),
    ),
    ("patient", re.compile(r"elder|senior|grand|retire|first.time|novice|confus|not tech")),
    ("professional", re.compile(r"executive|business|lawyer|corporate|procurement|manager|professional|formal")),
)
"""What persona and scenario ask for; the first that fits."""


def tone_of(customer: Customer, heard: Heard) -> str:
    """calm, empathetic, patient, professional, concise or friendly. The customer's own words go before metadata."""
    if heard.moods & {"angry", "abusive"}:
        return "calm"
    if heard.moods & {"worried", "let_down"} or customer.stressed:
        return "empathetic"
    for tone, story in _BY_STORY:
        if story.search(customer.story):
            return tone
    if any(request.intent is Intent.HELP for request in heard.requests):
        return "empathetic"
    if in_a_hurry(customer):
        return "concise"
    return "friendly"


def in_a_hurry(customer: Customer) -> bool:
    """Whether the time of day asks for short replies."""
    return "rush" in customer.time_of_day or "busy" in customer.time_of_day


_WANT_SYMPATHY = (
    ("abusive", "I can hear how frustrated you are, and I am sorry for the trouble."),
    ("angry", "I am sorry about this, and I understand why you are upset."),
    ("worried", "I understand that this is stressful, and I am here to help."),
    ("let_down", "I am sorry that this did not go as it should."),
)


def voiced(heard: Heard) -> bool:
    """Whether the customer said something that a person would first respond to."""
    return any(mood in heard.moods for mood, _ in _WANT_SYMPATHY)


def soothe(memory: Memory, customer: Customer, heard: Heard) -> bool:
    """Whether sympathy is due now: not over and over, and a stress that only metadata tells of is met once."""
    if voiced(heard):
        memory.soothed += 1
        return memory.soothed <= 2
    memory.soothed = 0
    return customer.stressed and memory.exchanges == 1


def sympathy(heard: Heard) -> str:
    """The words for it."""
    return next((words for mood, words in _WANT_SYMPATHY if mood in heard.moods), _WANT_SYMPATHY[2][1])


def greeting(customer: Customer, name: str, said: str) -> str:
    """As the customer greets, else by the time of day, and by name: "Good morning, Rajesh!" """
    part = next((part for part in ("morning", "afternoon", "evening") if f"good {part}" in said), "")
    part = part or next((part for part in ("morning", "afternoon", "evening") if part in customer.time_of_day), "")
    word = f"Good {part}" if part else "Hello"
    return f"{word}, {name}!" if name else f"{word}!"
