"""Replies that change something: asked about, confirmed, done, and only then claimed."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from greenroom.agents.support.desk import Desk, Outcome
from greenroom.agents.support.intents import Intent
from greenroom.agents.support.memory import Task
from greenroom.agents.support.orders import tell_failure
from greenroom.agents.support.states import label_of, obstacle
from greenroom.agents.support.tools import cancel_order, change_delivery_address, order_lookup, request_refund

_UNPAID = frozenset({"pending_payment", "payment_failed"})
_COLLEAGUE = "Shall I connect you with a human colleague?"


@dataclass(frozen=True, slots=True)
class Effect:
    """How one effect is talked about. `key` is its name in `states`."""

    key: str
    possible: str
    cannot: str
    question: str
    wish: str
    claim: str
    """Said once the tool's own answer says that it happened, and never else."""


EFFECT_WORDS: Mapping[Intent, Effect] = {
    Intent.CANCEL: Effect(
        "cancel",
        "I can cancel it",
        "I cannot cancel it",
        "Shall I cancel order #{order_id}?",
        "cancelling order #{order_id}",
        "Done: order #{order_id} is cancelled.",
    ),
    Intent.ADDRESS: Effect(
        "address",
        "I can change its address",
        "I cannot change its address",
        "Shall I change the delivery address of order #{order_id} to “{address}”?",
        "the address of order #{order_id}",
        "Done: order #{order_id} now goes to {address}.",
    ),
    Intent.REFUND: Effect(
        "refund",
        "I can request a refund for it",
        "I cannot request a refund for it",
        "Shall I request a refund for order #{order_id}?",
        "a refund for order #{order_id}",
        "Done: I have requested a refund{amount} for order #{order_id}.",
    ),
}


def question_for(task: Task) -> str:
    """The question whose yes lets the effect happen."""
    return EFFECT_WORDS[task.intent].question.format(order_id=task.order_id, address=task.address)


async def ask_first(desk: Desk, task: Task) -> None:
    """Looks whether it is possible; asks for what is missing, then for a yes. Or says why not, and what is."""
    found = await desk.call(order_lookup, order_id=task.order_id)
    if not found.ok:
        tell_failure(desk, task, found)
        return
    words = EFFECT_WORDS[task.intent]
    if reason := _refusal(found, task, words.key):
        refuse(desk, task, found, reason)
        return
    if already_sent(desk, task, found):
        return
    label = label_of(found.data.get("status"))
    told = f"Order #{task.order_id} is {label}" in desk.text
    desk.say(f"{words.possible}." if told else f"Order #{task.order_id} is {label}, so {words.possible}.", found)
    if task.intent is not Intent.ADDRESS and found.data.get("total") and found.data.get("status") not in _UNPAID:
        desk.say(f"You would get {found.data['total']} {found.data.get('currency', '')} back.")
    if task.intent is Intent.ADDRESS and not task.address:
        desk.ask("address", task, f"What is the complete new address for order #{task.order_id}?")
    else:
        desk.ask("yes", task, question_for(task))


def already_sent(desk: Desk, task: Task, found: Outcome | None = None) -> bool:
    """Whether it was done once and never confirmed; then says so. Doing it again might do it twice."""
    if not desk.memory.has_sent(task):
        return False
    wish = EFFECT_WORDS[task.intent].wish.format(order_id=task.order_id)
    desk.say(f"I have already sent {wish} on, and it is not confirmed yet, so I will not send it a second time.", found)
    desk.ask("yes", Task(Intent.HUMAN, task.order_id), f"A colleague can look into it. {_COLLEAGUE}")
    return True


async def after_problem(desk: Desk, task: Task) -> None:
    """Something arrived broken, wrong or not at all: offers the refund that the shop gives for it."""
    await ask_first(desk, replace(task, intent=Intent.REFUND, reason=task.reason or "damaged"))


def _refusal(found: Outcome, task: Task, effect: str) -> str:
    refused = found.data.get("refused")
    reason = refused.get(effect, "") if isinstance(refused, Mapping) else obstacle(found.data, effect)
    excused = effect == "refund" and task.reason and not obstacle(found.data, effect)
    return "" if excused else str(reason)


def refuse(desk: Desk, task: Task, outcome: Outcome, reason: str) -> None:
    """Says why not, and asks about what is possible instead."""
    reason = reason.rstrip(".")
    desk.say(
        f"Order #{task.order_id} is {label_of(outcome.data.get('status'))}. {EFFECT_WORDS[task.intent].cannot}: {reason}.",
        outcome,
    )
    offer_instead(desk, task, reason)


def offer_instead(desk: Desk, task: Task, reason: str) -> None:
    """Turns what a refusal says is possible into a question."""
    if "I can request a refund instead" in reason:
        refund = replace(task, intent=Intent.REFUND, address="")
        desk.ask("yes", refund, question_for(refund))
    elif "I can cancel it instead" in reason:
        cancel = replace(task, intent=Intent.CANCEL, address="")
        desk.ask("yes", cancel, question_for(cancel))
    elif "colleague" in reason:
        desk.ask("yes", Task(Intent.HUMAN, task.order_id), _COLLEAGUE)


async def cancel(desk: Desk, task: Task) -> None:
    done = await desk.call(cancel_order, order_id=task.order_id)
    if _fell_through(desk, task, done, "status", "cancelled"):
        return
    desk.say(_claim(task), done)
    if done.data.get("refund_amount"):
        desk.say(f"You get {done.data['refund_amount']} back to your payment method, within 5 business days.")


async def change_address(desk: Desk, task: Task) -> None:
    done = await desk.call(change_delivery_address, order_id=task.order_id, address=task.address)
    if not _fell_through(desk, task, done, "address", task.address):
        desk.say(_claim(task), done)


async def refund(desk: Desk, task: Task) -> None:
    done = await desk.call(request_refund, order_id=task.order_id, reason=task.reason)
    if _fell_through(desk, task, done, "status", "refund_requested"):
        return
    amount, days = done.data.get("amount"), done.data.get("business_days")
    desk.say(_claim(task, f" of {amount}" if amount else ""), done)
    priority = f"As a {desk.customer.tier} member you" if desk.customer.has_priority else "You"
    desk.say(f"{priority} should have it within {days} business days." if days else "")


def _claim(task: Task, amount: str = "") -> str:
    claim = EFFECT_WORDS[task.intent].claim
    return claim.format(order_id=task.order_id, address=task.address, amount=amount)


def _fell_through(desk: Desk, task: Task, done: Outcome, key: str, expected: str) -> bool:
    """Whether it did not happen; then says so. Only the tool's own answer counts."""
    if done.failure == "not_possible":
        reason = done.message.rstrip(".")
        desk.say(f"I am sorry, that is not possible: {reason}.", done)
        offer_instead(desk, task, reason)
    elif not done.ok:
        tell_failure(desk, task, done)
    elif done.data.get(key) != expected:
        desk.say(
            f"I have sent {EFFECT_WORDS[task.intent].wish.format(order_id=task.order_id)} on, but it is not confirmed yet.",
            done,
        )
        if done.data.get("status"):
            desk.say(f"Our system says that it is {label_of(done.data['status'])}.")
    else:
        return False
    return True
