"""Replies that are about no order: policies, a human, small talk, and what was not understood."""

from collections.abc import Mapping
from typing import Any

from greenroom.agents.support.desk import Desk
from greenroom.agents.support.intents import Intent
from greenroom.agents.support.memory import Task
from greenroom.agents.support.orders import tell_failure
from greenroom.agents.support.policies import query_terms
from greenroom.agents.support.tone import in_a_hurry
from greenroom.agents.support.tools import escalate_to_human, search_policies

ABILITIES = (
    "I can look up an order, tell you where it is, cancel it, change its delivery address, request a refund,"
    " answer questions about our policies, or connect you with a human colleague."
)

_CHAT: Mapping[Intent, str] = {
    Intent.ABILITIES: ABILITIES,
    Intent.IDENTITY: "I am the shop's automated assistant, not a human. I can help with your orders, or connect you"
    " with a human colleague if you prefer.",
    Intent.HOW_ARE_YOU: "I am doing well, thank you for asking! What can I do for you?",
    Intent.SMALL_TALK: "That is a little outside my field, I am here for your orders. What can I do for you with those?",
    Intent.THANKS: "You're welcome! Is there anything else I can do for you?",
    Intent.GOODBYE: "Thank you for contacting us. Have a good day!",
}


async def policy(desk: Desk, task: Task) -> None:
    """A question about how the shop does things."""
    if not await answer_from_texts(desk, task):
        desk.doubts.append(0.35)
        desk.say("I could not find anything on that in our policies.", desk.outcomes[-1])
        desk.ask("yes", Task(Intent.HUMAN), "Shall I connect you with a human colleague who can tell you?")


async def answer_from_texts(desk: Desk, task: Task) -> bool:
    """Answers with the best passage. False when there is none; a search that broke has been told."""
    found = await desk.call(search_policies, query=" ".join(query_terms(desk.heard.text)))
    if not found.ok:
        tell_failure(desk, task, found)
        return True
    passages = found.data.get("passages")
    first: Any = passages[0] if isinstance(passages, list) and passages else None
    if not isinstance(first, Mapping) or not first.get("text"):
        return False
    if first.get("source") == "policy":
        desk.say(
            f"Here is what our policy says about {str(first.get('title', 'that')).lower()}: {first['text']}", found
        )
    else:
        desk.say(f"Here is what I have on that: {first['text']}", found)
    return True


HANDED_OVER = (
    "I have asked a human colleague to take over; they can read this conversation, so you need not repeat anything."
)


async def human(desk: Desk, task: Task) -> None:
    """A wish for a human is granted at once."""
    done = await desk.call(escalate_to_human, summary=_summary(desk), order_id=task.order_id)
    if not done.ok:
        desk.doubts.append(0.25)
        desk.say("I am sorry, I could not reach my colleagues just now, so you have not been handed over.")
        desk.say("I can still help you with your orders and our policies myself.")
        desk.ask("again", task, "Shall I try again?")
        return
    desk.acknowledged = True
    desk.say(f"I understand. {HANDED_OVER}", done)
    if desk.customer.has_priority:
        desk.say(f"As a {desk.customer.tier} member you are at the front of the queue.")


def _summary(desk: Desk) -> str:
    last = desk.memory.last
    before = f" Before that: {last.replace('_', ' ')}." if last and last not in (Intent.HUMAN, Intent.POLICY) else ""
    return f"The customer wrote: {desk.heard.typed[:300]}.{before}"


async def off_limits(desk: Desk, task: Task) -> None:
    """Other customers' data, the agent's own instructions."""
    desk.say(
        "I am sorry, I can only help with your own orders, and cannot share anything about other customers"
        " or how I work inside."
    )
    desk.say("What can I do for you with an order of yours?")


def welcome(desk: Desk) -> None:
    """The agent opens, or answers a greeting."""
    desk.acknowledged = True
    if desk.customer.has_priority and desk.memory.exchanges <= 1:
        desk.say(f"Thank you for being a {desk.customer.tier} member.")
    desk.say("How can I help?" if in_a_hurry(desk.customer) else "How can I help you with your order today?")


def chat(desk: Desk) -> None:
    """Nothing was asked for; something was said."""
    intent = desk.heard.chat[0]
    if intent is Intent.GREETING:
        welcome(desk)
        return
    desk.acknowledged = intent in (Intent.THANKS, Intent.HOW_ARE_YOU, Intent.GOODBYE)
    desk.say(_CHAT[intent])


async def not_understood(desk: Desk) -> None:
    """No request was heard: an answer to no question, a mood, or words that only a text may know."""
    heard, memory = desk.heard, desk.memory
    if "abusive" in heard.moods or "angry" in heard.moods:
        memory.lost += 1
        desk.say("I want to help you." if not memory.order else f"I want to help you with order #{memory.order}.")
        desk.ask(
            "yes",
            Task(Intent.HUMAN, memory.order),
            "Tell me what went wrong, or shall I connect you with a human colleague?",
        )
    elif heard.answer == "no":
        desk.say("All right. I am here if you need anything else.")
    elif heard.answer in ("yes", "okay") and len(heard.text) < 30:
        desk.say("Good. What can I do for you?")
    elif not (heard.question or desk.turn.context) or not await known_from_texts(desk):
        _lost(desk)


async def known_from_texts(desk: Desk) -> bool:
    """Tries the policies and documents for a question that is nothing else, if it has words to search for."""
    if len(query_terms(desk.heard.text)) < 2:
        return False
    desk.doubts.append(0.3)
    known = await answer_from_texts(desk, Task(Intent.POLICY))
    desk.memory.lost = 0 if known else desk.memory.lost
    return known


def _lost(desk: Desk) -> None:
    memory = desk.memory
    memory.lost += 1
    desk.doubts.append(0.6)
    if "worried" in desk.heard.moods and memory.lost == 1:
        desk.say("Tell me the order number and what happened, and I will see what can be done.")
    elif memory.lost > 1:
        desk.say("I am sorry, I still do not understand what you need.")
        desk.ask("yes", Task(Intent.HUMAN, memory.order), "Shall I connect you with a human colleague?")
    else:
        desk.say(f"I am sorry, I did not quite understand that. {ABILITIES} What would you like?")
