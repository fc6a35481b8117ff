"""Replies about where orders stand and what is in them."""

from collections.abc import Mapping, Sequence
from typing import Any

from greenroom.agents.support.desk import Desk, Outcome
from greenroom.agents.support.intents import Intent
from greenroom.agents.support.memory import Task
from greenroom.agents.support.plan import meant_by
from greenroom.agents.support.policies import notes_on
from greenroom.agents.support.states import in_words, label_of, tell
from greenroom.agents.support.tone import in_a_hurry
from greenroom.agents.support.tools import get_order_status, list_orders, order_lookup

_ASK_NUMBER = {
    Intent.HELP: "I'd be happy to help you with your order. Could you give me the order number, please?",
    Intent.STATUS: "I can check that for you. What is the order number?",
    Intent.LATE: "I will check where it is. What is the order number?",
    Intent.CANCEL: "I can look into cancelling it. What is the order number?",
    Intent.ADDRESS: "I can look into changing the delivery address. What is the order number?",
    Intent.REFUND: "I can look into a refund. What is the order number?",
    Intent.REFUND_STATUS: "I can check on your refund. What is the order number?",
    Intent.PROBLEM: "Let us put that right. What is the order number?",
    Intent.EXPEDITE: "Let me see how far it is. What is the order number?",
    Intent.DETAILS: "I can look that up. What is the order number?",
}


def ask_for_number(desk: Desk, task: Task) -> None:
    """Runs no tool: a number is all that is missing."""
    desk.acknowledged = desk.acknowledged or task.intent is Intent.HELP
    desk.ask("order", task, _ASK_NUMBER[task.intent])


async def help_with(desk: Desk, task: Task) -> None:
    """ "I need help with my order #12345": looks it up and offers what can be done."""
    found = await desk.call(order_lookup, order_id=task.order_id)
    if not found.ok:
        tell_failure(desk, task, found)
        return
    desk.acknowledged = True
    desk.say(f"I'd be happy to help you with your order. Let me look up order #{task.order_id} for you.")
    contents = "" if in_a_hurry(desk.customer) else _contents(found.data)
    desk.say(f"Here it is{contents}: it is {tell(found.data)}.", found)
    desk.say(notes_on(desk.turn.context, found.data))
    desk.say("What can I do for you?")


async def status(desk: Desk, task: Task) -> None:
    """Where an order stands."""
    found = await desk.call(get_order_status, order_id=task.order_id)
    if not found.ok:
        tell_failure(desk, task, found)
        return
    again = desk.memory.last is Intent.STATUS and desk.order_before == task.order_id
    opening = (
        ""
        if len(desk.outcomes) > 1
        else "I checked again."
        if again
        else "I found your order!"
        if desk.tone != "calm"
        else "I found your order."
    )
    desk.say(f"{opening} Order #{task.order_id} is {tell(found.data)}.".strip(), found)
    desk.say(notes_on(desk.turn.context, found.data))
    _offer_after_status(desk, task, found)


def _offer_after_status(desk: Desk, task: Task, found: Outcome) -> None:
    state = found.data.get("status")
    if state in ("lost", "returned_to_sender", "returned"):
        refund = Task(Intent.REFUND, task.order_id, reason="not arrived")
        desk.ask("yes", refund, f"Shall I request a refund for order #{task.order_id}?")
    elif task.intent is Intent.EXPEDITE:
        desk.say("I cannot make it go faster from here, but a colleague can look into it.")
        desk.ask("yes", Task(Intent.HUMAN, task.order_id), "Shall I connect you with a human colleague?")
    elif state == "payment_failed":
        desk.say("You can try the payment again on the order's page, or I can cancel the order.")


async def refund_status(desk: Desk, task: Task) -> None:
    """Where a refund stands: told by the order's own state."""
    found = await desk.call(get_order_status, order_id=task.order_id)
    if not found.ok:
        tell_failure(desk, task, found)
        return
    state = found.data.get("status")
    desk.say(f"I found your order. Order #{task.order_id} is {tell(found.data)}.", found)
    if state == "cancelled":
        desk.say("What you paid goes back to your payment method by itself, within 5 business days.")
    elif state not in ("refund_requested", "refunded", "return_requested"):
        sent = desk.memory.has_sent(Task(Intent.REFUND, task.order_id))
        desk.say(_SENT_ON if sent else "No refund has been requested for it so far.")


async def details(desk: Desk, task: Task) -> None:
    """What is in an order, what it cost, where it goes."""
    found = await desk.call(order_lookup, order_id=task.order_id)
    if not found.ok:
        tell_failure(desk, task, found)
        return
    data = found.data
    desk.say(
        f"Order #{task.order_id}{_contents(data)} was placed on {in_words(data.get('placed_at', 'an unknown day'))}.",
        found,
    )
    if data.get("total") is not None:
        desk.say(f"It comes to {data['total']} {data.get('currency', '')}".rstrip() + ".")
    if data.get("address"):
        desk.say(f"The delivery address is {data['address']}.")
    desk.say(f"It is {tell(data)}.")


async def overview(desk: Desk, task: Task) -> None:
    """The customer's orders. A single one answers the question which order was meant."""
    found = await desk.call(list_orders)
    if not found.ok:
        tell_failure(desk, task, found)
        return
    orders = [order for order in _sequence(found.data.get("orders")) if isinstance(order, Mapping)]
    if not orders:
        desk.say("I cannot see any orders under your account.", found)
        return
    if len(orders) == 1:
        desk.memory.order = str(orders[0].get("order_id"))
        desk.say(f"I can see one order under your account: {_line(orders[0])}.", found)
        if desk.memory.asked is None:
            desk.say("What can I do for you with it?")
        return
    shown = {str(order.get("order_id")): " and ".join(_sequence(order.get("items"))) for order in orders}
    if meant := meant_by(desk.heard.text, shown):
        desk.memory.order = meant
        desk.say(f"That is order #{meant} ({shown[meant]}).", found)
        if desk.memory.asked is None:
            desk.say("What can I do for you with it?")
        return
    lines = "".join(f"\n- {_line(order)}" for order in orders[:10])
    desk.say(f"These are your orders, newest first:{lines}\n", found)


def tell_failure(desk: Desk, task: Task, failed: Outcome) -> None:
    """Says what did not work and what is possible. An order of somebody else is told exactly as an unknown one."""
    number = f"order #{task.order_id}"
    if failed.failure == "not_found":
        desk.memory.order = ""
        desk.doubts.append(0.1)
        desk.say(f"I cannot find {number} under your account.", failed)
        if known := _from_documents(desk, task.order_id):
            desk.say(f"What I have been told about it is this: {known}")
        if desk.memory.missed == task.order_id:
            question = "A colleague can look for it. Shall I connect you with a human colleague?"
            desk.ask("yes", Task(Intent.HUMAN, task.order_id), question)
            return
        again = Task(task.intent, address=task.address, reason=task.reason)
        desk.ask("order", again, "Could you check the order number, or shall I list your orders?")
        return
    desk.doubts.append(0.25)
    what = _WHAT_FAILED.get(failed.tool, "that")
    before = desk.memory.asked
    tried = before is not None and before.wants == "again" and before.task == task
    state = "still not available" if tried else "not available right now"
    desk.say(f"I am sorry, {what} is {state}, so I could not {_aim(task)}. Nothing has been changed.")
    desk.acknowledged = True
    desk.ask("again", task, "Shall I try again, or would you rather have a human colleague take over?")


_SENT_ON = "The refund that I sent on is not confirmed yet."

_WHAT_FAILED = {
    "order_lookup": "our order system",
    "get_order_status": "our order system",
    "list_orders": "our order system",
    "cancel_order": "the cancellation service",
    "change_delivery_address": "the address service",
    "request_refund": "the refund service",
    "search_policies": "our policy search",
    "escalate_to_human": "the handover to a colleague",
}


def _aim(task: Task) -> str:
    number = f"order #{task.order_id}"
    if task.confirmed:
        return {
            Intent.CANCEL: f"cancel {number}",
            Intent.ADDRESS: f"change the address of {number}",
            Intent.REFUND: f"request the refund for {number}",
        }.get(task.intent, "do that")
    if task.intent is Intent.LIST:
        return "list your orders"
    if task.intent is Intent.POLICY:
        return "look that up"
    if task.intent is Intent.HUMAN:
        return "hand you over"
    return f"look up {number}"


def _contents(data: Mapping[str, Any]) -> str:
    names = [
        f"{item['quantity']} × {item['name']}" if item.get("quantity", 1) != 1 else str(item["name"])
        for item in _sequence(data.get("items"))
        if isinstance(item, Mapping) and "name" in item
    ]
    return f" ({' and '.join(names)})" if names else ""


def _line(order: Mapping[str, Any]) -> str:
    items = [str(item) for item in _sequence(order.get("items"))]
    contents = f" ({' and '.join(items)})" if items else ""
    return f"#{order.get('order_id')}{contents}, {label_of(order.get('status'))}"


def _sequence(value: object) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else ()


def _from_documents(desk: Desk, order_id: str) -> str:
    sentences = (s for document in desk.turn.context for s in document.replace("\n", " ").split(". "))
    found = [sentence.strip() for sentence in sentences if order_id in sentence and len(sentence) < 300]
    return ". ".join(found[:2]).rstrip(".") + "." if found else ""
