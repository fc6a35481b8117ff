"""Brings the memory up to date with the conversation: from `turn.state`, and from the transcript for what was said
elsewhere (CHAT-12). What it learns from a carried exchange it learns as in a live one."""

import re
from dataclasses import replace

from greenroom.agents.support.customer import Customer, customer_of
from greenroom.agents.support.entities import order_numbers
from greenroom.agents.support.intents import ABOUT_AN_ORDER, EFFECTS, Intent
from greenroom.agents.support.memory import Asked, Memory, Task, exchanges_of
from greenroom.agents.support.plan import Plan, make_plan
from greenroom.agents.support.spelling import plain
from greenroom.agents.support.tone import soothe
from greenroom.agents.support.understanding import Heard, understand
from greenroom.sdk import Turn

_SENTENCES = re.compile(r"(?<=[.!?])\s+|\n")
_FOR_NUMBER = re.compile(r"\b(?:order|tracking|reference)\b.{0,20}\b(?:number|id)\b|\bwhich (?:order|one)\b")
_FOR_ADDRESS = re.compile(r"\b(?:what|which|provide|give|share|send|tell)\b.{0,40}\baddress\b")
_FOR_RETRY = re.compile(r"\btry (?:it |that )?again\b")
_FOR_YES = re.compile(
    r"\b(?:shall|should|may|can|could) i\b|\b(?:would|do) you (?:like|want)\b|\bwant me to\b|\bconfirm\b"
    r"|\bproceed\b|\bgo ahead\b|\bare you sure\b|\bis that (?:right|correct|okay)\b"
)
_NOT_FOUND = re.compile(
    r"\b(?:can ?not|could not|unable to|not able to|no)\b.{0,20}\b(?:find|locate|order)\b.{0,30}\border\b"
    r"|\bi can ?not find order\b|\bno (?:such )?order\b"
)
_LOST = re.compile(r"\bdid not quite understand\b|\bstill do not understand\b|\bwhat went wrong\b")
_SHOWN = re.compile(r"^- #(\w+) \(([^)]*)\)", re.MULTILINE)
_MISSED = re.compile(r"\bcannot find order #(\w+)")
_SENT = re.compile(r"\bI have sent .{1,250} on, but it is not confirmed yet\b")
_QUOTED = re.compile(r"“([^”]{5,200})”|\"([^\"]{5,200})\"")


def recall(turn: Turn) -> Memory:
    """What is known before this turn."""
    memory = Memory.load(turn.state)
    if turn.number == 1 or (memory.turn and memory.turn + 1 == turn.number):
        return memory
    customer = customer_of(turn)
    past = list(exchanges_of(iter(turn.messages)))
    for user, reply in past[memory.exchanges :]:
        _relive(memory, customer, user, reply)
    return memory


def expects_order(memory: Memory) -> bool:
    """Whether our open question is for an order number."""
    return memory.asked is not None and memory.asked.wants == "order"


def follow(memory: Memory, heard: Heard, plan: Plan) -> None:
    """Keeps up with what the turns are about. Called on each turn, before it is answered."""
    memory.exchanges += 1
    memory.name = heard.name or memory.name
    about = plan.tasks[-1] if plan.tasks else plan.dropped or (plan.ask_again.task if plan.ask_again else None)
    if about is None:
        return
    matter = about.order_id or memory.order or about.intent.value
    memory.step = (
        1 if memory.settled or (memory.matter and matter != memory.matter and about.order_id) else memory.step + 1
    )
    memory.matter = matter
    named = [task.order_id for task in plan.tasks if task.order_id]
    if named:
        memory.order = named[-1]


def conclude(memory: Memory, plan: Plan, reply: str, asked: Asked | None) -> None:
    """Keeps what the reply leaves open. Called on each turn, after it was answered."""
    memory.asked = asked
    memory.dropped = plan.dropped
    if shown := dict(_SHOWN.findall(reply)):
        memory.shown = shown
    if missed := _MISSED.findall(reply):
        memory.missed = missed[-1]
    if _SENT.search(reply):
        memory.sent += [task for task in plan.tasks if task.confirmed and task.intent in EFFECTS]
    if plan.tasks:
        memory.last = plan.tasks[-1].intent
        memory.lost = 0
    if plan.tasks or plan.dropped:
        memory.settled = asked is None and not any(task.intent is Intent.HELP for task in plan.tasks)


def _relive(memory: Memory, customer: Customer, user: str, reply: str) -> None:
    heard = understand(user, expecting_order=expects_order(memory))
    plan = make_plan(memory, heard)
    follow(memory, heard, plan)
    soothe(memory, customer, heard)
    text = plain(reply).text
    memory.lost = memory.lost + 1 if _LOST.search(text) else 0
    if _NOT_FOUND.search(text):
        memory.order = ""
    conclude(memory, plan, reply, question_in(reply, memory, heard, plan))
    effects = [task for task in plan.tasks if task.intent in EFFECTS and not task.confirmed]
    if effects and memory.asked and memory.asked.wants == "yes" and effects[0].intent is memory.asked.task.intent:
        memory.queue = effects[1:]


def question_in(reply: str, memory: Memory, heard: Heard, plan: Plan) -> Asked | None:
    """The question that a reply of the past ends with, whoever worded it."""
    questions = [sentence for sentence in _SENTENCES.split(reply.strip()) if sentence.rstrip("”\"')").endswith("?")]
    if not questions:
        return None
    quoted = _QUOTED.search(questions[-1])
    text = plain(_QUOTED.sub("", questions[-1])).text
    about = plan.tasks[-1] if plan.tasks else memory.asked.task if memory.asked else Task(Intent.HELP)
    if _FOR_RETRY.search(text):
        return Asked("again", about)
    if _FOR_NUMBER.search(text):
        open_task = plan.ask_again.task if plan.ask_again else about
        open_task = next(
            (task for task in plan.tasks if not task.order_id and task.intent in ABOUT_AN_ORDER), open_task
        )
        return Asked("order", replace(open_task, order_id=""))
    numbers = [number for _, number in order_numbers(text)]
    order_id = numbers[-1] if numbers else memory.order or about.order_id
    if _FOR_ADDRESS.search(text) and not quoted:
        return Asked("address", Task(Intent.ADDRESS, order_id))
    if not _FOR_YES.search(text):
        return None
    address = next(filter(None, quoted.groups()), "") if quoted else heard.address
    asked_for = {request.intent for request in understand(text).requests} & (EFFECTS | {Intent.HUMAN})
    if len(asked_for) != 1:
        return None
    return Asked("yes", Task(asked_for.pop(), order_id, address, about.reason))
