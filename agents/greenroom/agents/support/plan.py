"""From a message and what was said before to what is to be done. Pure: the same for a live turn and a carried past."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from greenroom.agents.support.entities import clean_address, looks_like_address
from greenroom.agents.support.intents import ABOUT_AN_ORDER, EFFECTS, Intent
from greenroom.agents.support.memory import Asked, Memory, Task
from greenroom.agents.support.understanding import Heard, Request

_AND_THAT_ONE = re.compile(r"^\W*(?:and|what about|how about|also|same for|what of)\b")
_PLACES = tuple(
    re.compile(rf"\b(?:{words})\b(?: one| order)?")
    for words in ("first|latest|newest|most recent|1st", "second|2nd", "third|3rd", "fourth|4th")
)
_REASONS = (
    (
        "damaged",
        re.compile(
            r"\b(?:damaged|broken|defective|faulty|cracked|smashed|torn|leaking|scratched|spoiled|rotten"
            r"|expired|shattered|dented|not (?:\w+ )?work\w*|stopped working)\b"
        ),
    ),
    (
        "wrong item",
        re.compile(r"\b(?:wrong (?:item|items|product|size|colou?r|model|thing|order|one)|not what i ordered)\b"),
    ),
    ("missing item", re.compile(r"\b(?:missing|incomplete|empty)\b")),
    (
        "not arrived",
        re.compile(
            r"\b(?:never|not) (?:\w+ )?(?:arrived?|came|come|received?|delivered|got|gotten|get)\b"
            r"|\bstolen\b"
        ),
    ),
    ("late", re.compile(r"\b(?:late|delayed|too long|overdue)\b")),
    (
        "changed mind",
        re.compile(
            r"\b(?:changed my mind|no longer|do not (?:want|need|like)|mistake|accident|by accident"
            r"|cheaper)\b"
        ),
    ),
)


@dataclass(frozen=True, slots=True)
class Plan:
    """`tasks` in order. `dropped` is what the customer said no to; `ask_again` our question that stays open."""

    tasks: list[Task] = field(default_factory=list)
    dropped: Task | None = None
    ask_again: Asked | None = None


def make_plan(memory: Memory, heard: Heard) -> Plan:
    """What a message means after what was said before."""
    tasks = [_task(request, memory, heard) for request in heard.requests]
    asked = memory.asked
    if asked is None:
        again = memory.dropped if not tasks and heard.answer == "yes" else None
        if again is not None and again.intent not in (*EFFECTS, Intent.HUMAN):
            return Plan([again])  # a look at something needs no further yes
        return Plan(tasks, ask_again=Asked("yes", again) if again else None)
    if any(task.intent in (Intent.HUMAN, Intent.OFF_LIMITS) for task in tasks):
        return Plan(tasks)
    if Intent.GOODBYE in heard.chat and heard.answer != "yes" and not tasks:
        return Plan(dropped=asked.task)
    return _BY_QUESTION[asked.wants](memory, asked, heard, tasks)


def meant_by(text: str, shown: Mapping[str, str]) -> str:
    """Which of the orders that were shown is meant by its place or by what is in it; "" for none or several."""
    for place, pattern in enumerate(_PLACES):
        if len(shown) > place and pattern.search(text):
            return list(shown)[place]
    words = {_stem(word) for word in text.split()}
    named = [order for order, items in shown.items() if any(_names(words, item) for item in items.split(" and "))]
    return named[0] if len(named) == 1 else ""


def _names(words: set[str], item: str) -> bool:
    parts = [_stem(part) for part in item.lower().split()]
    return bool(parts) and (set(parts) <= words or (len(parts) > 1 and parts[-1] in words))


def _stem(word: str) -> str:
    return word.strip(".,!?'\"").removesuffix("s")


def reason_in(text: str) -> str:
    """Why the customer wants it, in a few words of ours."""
    return next((reason for reason, pattern in _REASONS if pattern.search(text)), "")


def _task(request: Request, memory: Memory, heard: Heard) -> Task:
    intent, order_id = request.intent, request.order_id
    if intent in ABOUT_AN_ORDER or intent is Intent.HUMAN:
        if not order_id and not heard.other_order:
            order_id = memory.order
        if intent is Intent.HELP and heard.orders and memory.last and _AND_THAT_ONE.match(heard.text):
            intent = memory.last
    address = heard.address if intent is Intent.ADDRESS else ""
    return Task(intent, order_id, address, reason_in(heard.text), request.clear)


def _after_confirmation(memory: Memory, asked: Asked, heard: Heard, tasks: list[Task]) -> Plan:
    task = asked.task
    same = [t for t in tasks if t.intent is task.intent and t.order_id in ("", task.order_id)]
    number = task.intent is Intent.HUMAN and bool(heard.orders) and not heard.answer
    others = [t for t in tasks if t not in same and (number or _is_more(t, task))]
    if same and same[0].address and same[0].address != task.address:
        return Plan([replace(task, address=same[0].address), *others])
    if (
        task.intent is Intent.ADDRESS
        and not any(other.clear for other in others)
        and looks_like_address(address := clean_address(heard.typed))
    ):
        return Plan([replace(task, address=address)])
    if heard.answer == "no":
        return Plan(ask_again=asked) if same else Plan(others, dropped=task)
    only_okay = heard.answer == "okay" and not others and not heard.question and not heard.chat
    agreed = (heard.answer == "yes" or only_okay) and not heard.hedged
    insisted = bool(same) and not heard.question and not heard.hedged
    if agreed or insisted:
        return Plan([replace(task, confirmed=True), *others])
    moved_on = task.intent is Intent.HUMAN or any(other.intent in EFFECTS for other in others)
    return Plan(others, ask_again=None if moved_on else asked)


def _is_more(task: Task, asked: Task) -> bool:
    """Whether a request is one of its own, not only part of the answer."""
    if task.intent in (Intent.HELP, Intent.LATE, Intent.PROBLEM):
        return bool(task.order_id) and task.order_id != asked.order_id
    return True


def _after_order_question(memory: Memory, asked: Asked, heard: Heard, tasks: list[Task]) -> Plan:
    clear = [task for task in tasks if task.clear and task.intent is not asked.task.intent]
    shown = meant_by(heard.text, memory.shown)
    if heard.orders:
        if any(task.order_id for task in clear):
            return Plan(tasks)
        return Plan([replace(asked.task, order_id=order) for order in heard.orders])
    if shown:
        return Plan([replace(asked.task, order_id=shown)])
    agreed = heard.answer in ("yes", "okay") and not heard.hedged and not clear
    if agreed or any(task.intent is Intent.LIST for task in tasks):
        return Plan([Task(Intent.LIST)], ask_again=asked)
    if clear:
        needs_order = any(task.intent in ABOUT_AN_ORDER for task in clear)
        return Plan(clear, ask_again=None if needs_order else asked)
    if heard.answer == "no":
        return Plan(dropped=asked.task)
    address = heard.address or asked.task.address
    return Plan(ask_again=replace(asked, task=replace(asked.task, address=address)))


def _after_address_question(memory: Memory, asked: Asked, heard: Heard, tasks: list[Task]) -> Plan:
    address = heard.address or clean_address(heard.typed)
    if looks_like_address(address):
        return Plan([replace(asked.task, address=address)])
    others = [task for task in tasks if task.clear and task.intent is not asked.task.intent]
    if others:
        effects = any(task.intent in EFFECTS for task in others)
        return Plan(others, ask_again=None if effects else asked)
    return Plan(dropped=asked.task) if heard.answer == "no" else Plan(ask_again=asked)


def _after_failure(memory: Memory, asked: Asked, heard: Heard, tasks: list[Task]) -> Plan:
    same = any(task.intent is asked.task.intent and task.order_id == asked.task.order_id for task in tasks)
    others = [task for task in tasks if task.intent is not asked.task.intent and _is_more(task, asked.task)]
    if heard.answer == "no":
        return Plan(others, dropped=asked.task)
    if (heard.answer in ("yes", "okay") or heard.retry or same) and not heard.hedged:
        return Plan([asked.task])
    return Plan(others, ask_again=None if others else asked)


_BY_QUESTION = {
    "yes": _after_confirmation,
    "order": _after_order_question,
    "address": _after_address_question,
    "again": _after_failure,
}
