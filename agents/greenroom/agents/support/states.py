"""The states of an order: how each is told, and what it still allows."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from string import Formatter
from typing import Any

Order = Mapping[str, Any]
"""An order, or what a tool tells of one. Only `order_id` and `status` are always there."""


@dataclass(frozen=True, slots=True)
class State:
    """`label` says it in a few words ("Order #1 is …"); each of `more` is added where the order has its fields.
    `cancel`, `address` and `refund` are "" where allowed, else the reason why not and what is possible instead."""

    label: str
    more: tuple[str, ...] = ()
    cancel: str = ""
    address: str = ""
    refund: str = ""


_NOT_YET = (
    "it has not been delivered yet, so there is nothing to return; I can cancel it instead, and then nothing is owed"
)
_ON_THE_WAY = (
    "the carrier already has it; you can refuse the parcel at the door, or I can request a refund once it is delivered"
)
_CARRIER_HAS_IT = (
    "the carrier already has it; a colleague can ask the carrier to redirect it, which is not always possible"
)
_WAIT_FOR_IT = (
    "it is still on its way; I can request the refund as soon as it is delivered, or if it turns out to be lost"
)
_HAVE_IT = "it has already been delivered; I can request a refund instead"
_OVER = "it has already been cancelled, so nothing will be sent or charged"
_WITH_US = "the parcel is already back with us"

_DATE = re.compile(r"\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|1\d|2[0-8])")

STATES: Mapping[str, State] = {
    "pending_payment": State(
        "waiting for your payment", refund="nothing has been paid for it yet; I can cancel it instead"
    ),
    "payment_failed": State(
        "on hold because the payment did not go through",
        ("; you can pay again until {pay_by}",),
        refund="nothing has been paid for it yet; I can cancel it instead",
    ),
    "confirmed": State(
        "confirmed and waiting to be prepared", (", and will be shipped within {estimated_ship_time}",), refund=_NOT_YET
    ),
    "preparing": State(
        "currently being prepared", (" and will be shipped within {estimated_ship_time}",), refund=_NOT_YET
    ),
    "backordered": State(
        "waiting for an item that is out of stock", (", expected to ship in {estimated_ship_time}",), refund=_NOT_YET
    ),
    "on_hold": State("on hold", (" because {reason}",), refund=_NOT_YET),
    "packed": State(
        "packed and waiting for the carrier",
        (", who picks it up within {estimated_ship_time}",),
        cancel="it is already packed for the carrier; you can refuse the parcel at the door, or I can request a refund"
        " once it is delivered",
        refund=_WAIT_FOR_IT,
    ),
    "shipped": State(
        "shipped and on its way",
        (" with {carrier}", " (tracking number {tracking_number})", " and should arrive on {estimated_delivery}"),
        cancel=_ON_THE_WAY,
        address=_CARRIER_HAS_IT,
        refund=_WAIT_FOR_IT,
    ),
    "partially_shipped": State(
        "partly on its way, and the rest follows",
        (" within {estimated_ship_time}", " (tracking number {tracking_number})"),
        cancel="a part of it is already on its way; a colleague can see about the rest",
        address="a part of it is already on its way; a colleague can see about the rest",
        refund=_WAIT_FOR_IT,
    ),
    "in_transit": State(
        "in transit",
        (" with {carrier}", " (tracking number {tracking_number})", " and should arrive on {estimated_delivery}"),
        cancel=_ON_THE_WAY,
        address=_CARRIER_HAS_IT,
        refund=_WAIT_FOR_IT,
    ),
    "delayed": State(
        "delayed",
        (
            " because of {reason}",
            "; it should now arrive on {estimated_delivery}",
            " (tracking number {tracking_number})",
        ),
        cancel=_ON_THE_WAY,
        address=_CARRIER_HAS_IT,
        refund=f"{_WAIT_FOR_IT}; a colleague can see what else is possible",
    ),
    "out_for_delivery": State(
        "out for delivery",
        (" with {carrier}", " and should arrive {estimated_delivery}"),
        cancel=_ON_THE_WAY,
        address="the courier is already on the way to you",
        refund=_WAIT_FOR_IT,
    ),
    "delivery_attempted": State(
        "with the courier, who did not find you at home",
        (" and will try again on {estimated_delivery}",),
        cancel=_ON_THE_WAY,
        address=_CARRIER_HAS_IT,
        refund=_WAIT_FOR_IT,
    ),
    "ready_for_pickup": State(
        "ready for you to collect",
        (" at {pickup_point}", " until {pick_up_by}"),
        cancel="it is waiting at the pickup point; if you do not collect it, it comes back to us and is refunded",
        address="it is already waiting at the pickup point",
        refund="it is waiting at the pickup point; if you do not collect it, it comes back to us and is refunded",
    ),
    "delivered": State(
        "delivered",
        (" on {delivered_at}", " ({delivery_note})"),
        cancel=_HAVE_IT,
        address="it has already been delivered",
    ),
    "lost": State(
        "lost on its way",
        cancel="it is lost; I can request a refund instead",
        address="it is lost; I can request a refund instead",
    ),
    "returned_to_sender": State(
        "on its way back to us, because it could not be delivered",
        cancel="it is already coming back to us; I can request a refund instead",
        address="it is already coming back to us; I can request a refund instead",
    ),
    "return_requested": State(
        "marked for return",
        ("; please send it by {return_by}",),
        cancel="it is already marked for return",
        address="it is already marked for return",
        refund="a return is already under way; the refund follows when the parcel is with us",
    ),
    "returned": State("returned", (" on {returned_at}",), cancel=_WITH_US, address=_WITH_US),
    "refund_requested": State(
        "marked for a refund",
        (" of {refund_amount}", ", which should reach you within {refund_days} business days"),
        cancel="its refund is already under way",
        address="its refund is already under way",
        refund="its refund is already under way",
    ),
    "refunded": State(
        "refunded",
        (": {refund_amount} were sent back to you", " on {refunded_at}"),
        cancel="it has already been refunded",
        address="it has already been refunded",
        refund="it has already been refunded",
    ),
    "cancelled": State(
        "cancelled",
        (" since {cancelled_at}",),
        cancel=_OVER,
        address="it has been cancelled, so nothing will be sent",
        refund="whatever was paid for it goes back to you by itself",
    ),
}


def label_of(status: object) -> str:
    """The status in a few words, also one this shop does not know."""
    state = STATES.get(status) if isinstance(status, str) else None
    return state.label if state else str(status or "in a state I cannot read").replace("_", " ")


def tell(order: Order) -> str:
    """What there is to say about where an order stands, as the end of "Order #1 is …"."""
    state = STATES.get(str(order.get("status")))
    return label_of(order.get("status")) + "".join(_tail(tail, order) for tail in (state.more if state else ()))


def _tail(template: str, order: Order) -> str:
    names = [name for _, name, _, _ in Formatter().parse(template) if name]
    if any(order.get(name) in (None, "") for name in names):
        return ""
    return template.format_map({name: in_words(order[name]) for name in names})


def in_words(value: object) -> object:
    """A date as people write it; anything else as it is."""
    if isinstance(value, str) and _DATE.fullmatch(value):
        day = date.fromisoformat(value)
        return f"{day.day} {day:%B}"
    return value


def obstacle(order: Order, effect: str) -> str:
    """Why `effect` ("cancel", "address", "refund") cannot be had, with what is possible instead; "" when it can."""
    state = STATES.get(str(order.get("status")))
    if state is None:
        return "I cannot do that while it is in this state; a colleague can look into it"
    reason: str = getattr(state, effect)
    return reason
