"""What a customer's message asks for: requests with their order numbers, an answer to our question, a mood."""

import re
from dataclasses import dataclass, field

from greenroom.agents.support.answers import answer_in, asks_to_retry, is_hedged
from greenroom.agents.support.entities import find_address, join_digits, order_numbers
from greenroom.agents.support.intents import ABOUT_AN_ORDER, CHAT, EFFECTS, YIELDS, Intent, ways_for
from greenroom.agents.support.moods import moods_in
from greenroom.agents.support.spelling import plain, tidy

_CLAUSES = re.compile(
    r"[.!?;\n]+(?=\s|$)|[,;:]\s|\s-\s|\b(?:and|also|then|plus|(?<!delivered )but|as well as|after that)\b"
)
_NEGATED = re.compile(
    r"\b(?:do not|does not|did not|not|never|without|instead of|rather than|no need to|did you|have you|why did|why was)\b"
    r"(?:\s(?:want|need|wish|going|asking|like|to|you|it|a|the|my|any|please|think|have|be|get|asked|ask|ever|they|order)\b){0,5}\s$"
)
_OTHER_ORDER = re.compile(r"\b(?:other|another|different|second|new)\s(?:one|order|parcel|package)\b")
_NAME = re.compile(r"\b(?:[Mm]y name is|[Mm]y name's|I am called) ([A-Z][\w'-]{1,30})")
_QUESTION = re.compile(
    r"\?|^\W*(?:what|when|where|who|why|how|which|can|could|do|does|did|is|are|will|would|may|should|has|have)\b"
)
_NUMBERS_ONLY = re.compile(
    r"^[\W\d]*(?:(?:order|orders|number|no|it|its|is|the|my|this|for|id|one|sure|here|okay|yes|hi|hello|please"
    r"|thanks|parcel|package|of|num|in|on|a)\b[\W\d]*)*$"
)


@dataclass(frozen=True, slots=True)
class Request:
    """One thing asked for. `order_id` is "" where the message names none."""

    intent: Intent
    order_id: str = ""
    clear: bool = True


@dataclass(frozen=True, slots=True)
class Heard:
    """A message, understood as far as it goes without the conversation around it. `typed` is as written, `text` in plain
    words; `answer` is "yes", "okay", "no" or "": what it says to a question of ours, if one was open."""

    typed: str = ""
    text: str = ""
    requests: tuple[Request, ...] = ()
    orders: tuple[str, ...] = ()
    address: str = ""
    answer: str = ""
    hedged: bool = False
    retry: bool = False
    other_order: bool = False
    chat: tuple[Intent, ...] = ()
    moods: frozenset[str] = field(default_factory=frozenset)
    question: bool = False
    mended: int = 0
    name: str = ""

    def wants(self, intent: Intent) -> bool:
        return any(request.intent is intent for request in self.requests)


def understand(text: str, *, expecting_order: bool = False) -> Heard:
    """Understands one message. `expecting_order`: we have just asked for an order number."""
    typed = original = tidy(text)
    shout = len(typed) > 12 and typed.isupper()
    found = find_address(typed)
    address = ""
    if found is not None:
        address, (start, end) = found
        typed = f"{typed[:start]} ‹address› {typed[end:]}"
    words = plain(typed)
    text = join_digits(words.text)
    clauses = [_Clause(clause.strip(), expecting_order) for clause in _CLAUSES.split(text) if clause.strip()]
    requests = _settle(_assign(clauses), text)
    return Heard(
        typed=original,
        text=text,
        requests=requests,
        orders=tuple(dict.fromkeys(order for clause in clauses for order in clause.orders)),
        address=address,
        answer=answer_in(text),
        hedged=is_hedged(text),
        retry=asks_to_retry(text),
        other_order=bool(_OTHER_ORDER.search(text)),
        chat=tuple(intent for intent in CHAT if any(intent in clause.intents for clause in clauses)),
        moods=moods_in(text, shout, [intent for clause in clauses for intent in clause.intents]),
        question=bool(_QUESTION.search(text)),
        mended=words.mended,
        name=name[1] if (name := _NAME.search(original)) else "",
    )


class _Clause:
    __slots__ = ("intents", "only_numbers", "orders")

    def __init__(self, text: str, expecting_order: bool) -> None:
        self.orders = [number for _, number in order_numbers(text, expected=expecting_order)]
        self.intents = _intents_in(text)
        self.only_numbers = bool(self.orders) and _NUMBERS_ONLY.match(text) is not None


def _intents_in(text: str) -> dict[Intent, bool]:
    """The intents in a clause, each with whether it was said clearly. Negated ones ("do not cancel") are left out."""
    heard: dict[Intent, bool] = {}
    for way in ways_for(text):
        if way.intent in heard:
            continue
        match = way.line.pattern.search(text)
        if match and not (way.intent in EFFECTS and _NEGATED.search(text, 0, match.start())):
            heard[way.intent] = way.clear
    if len(heard) < 2:
        return heard
    if any(clear for intent, clear in heard.items() if intent not in CHAT):
        heard = {intent: clear for intent, clear in heard.items() if clear}
    return {intent: clear for intent, clear in heard.items() if not YIELDS.get(intent, frozenset()) & heard.keys()}


def _assign(clauses: list[_Clause]) -> list[Request]:
    """Gives each request the numbers of its clause; a clause of numbers alone belongs to its neighbour."""
    requests: list[Request] = []
    latest: list[Request] = []
    held: list[str] = []
    for clause in clauses:
        intents = {i: clear for i, clear in clause.intents.items() if i not in CHAT}
        if clause.orders and (clause.only_numbers or not intents):
            if latest and not latest[-1].order_id:
                for request in latest:
                    requests.remove(request)
            extra = [
                Request(r.intent, o, r.clear) for o in clause.orders for r in latest if r.intent is not Intent.HELP
            ]
            requests += extra
            if not extra:
                held += clause.orders
        elif intents:
            orders = clause.orders or held or [""]
            latest = [Request(intent, order, clear) for order in orders for intent, clear in intents.items()]
            requests += latest
            held = []
    requests += [Request(Intent.HELP, order, False) for order in held]
    return _spread(requests)


def _spread(requests: list[Request]) -> list[Request]:
    """A request without a number takes the one said before it, else the next one."""
    named = [request.order_id for request in requests if request.order_id]
    if not named:
        return requests
    spread, last = [], ""
    for request in requests:
        last = request.order_id or last
        needs = request.intent in ABOUT_AN_ORDER and not request.order_id
        spread.append(Request(request.intent, last or named[0], request.clear) if needs else request)
    return spread


_MINOR = {
    Intent.HELP: ABOUT_AN_ORDER | {Intent.OFF_LIMITS, Intent.HUMAN},
    Intent.LATE: ABOUT_AN_ORDER | {Intent.LIST, Intent.HUMAN, Intent.POLICY},
    Intent.PROBLEM: frozenset({Intent.REFUND, Intent.CANCEL}),
    Intent.REFUND: frozenset({Intent.CANCEL}),
    Intent.EXPEDITE: frozenset({Intent.CANCEL, Intent.REFUND, Intent.STATUS}),
}
"""What only tells the story of another request about the same order."""

_OR_HUMAN = re.compile(r"\b(?:or|otherwise|else|if not)\b")


def _settle(requests: list[Request], text: str) -> tuple[Request, ...]:
    unique: dict[tuple[Intent, str], Request] = {}
    for request in requests:
        key = (request.intent, request.order_id if request.intent in ABOUT_AN_ORDER else "")
        if key not in unique or request.clear > unique[key].clear:
            unique[key] = request
    kept = [r for r in unique.values() if not _is_minor(r, unique.values())]
    if any(r.intent is Intent.HUMAN for r in kept) and len(kept) > 1:
        asked_first = _OR_HUMAN.search(text) and any(r.clear and r.intent in ABOUT_AN_ORDER for r in kept)
        kept = [r for r in kept if (r.intent is Intent.HUMAN) != bool(asked_first)]
    if any(r.intent is Intent.OFF_LIMITS for r in kept):
        kept = [r for r in kept if r.intent is Intent.OFF_LIMITS]
    return tuple(kept)


def _is_minor(request: Request, others: object) -> bool:
    stronger = _MINOR.get(request.intent, frozenset())
    if request.intent is Intent.HELP and not request.order_id:
        stronger |= {Intent.LIST, Intent.POLICY}
    return any(
        other.intent in stronger
        and other.intent is not request.intent
        and not (request.intent is Intent.LATE and other.intent is Intent.HELP)
        and (other.order_id == request.order_id or not request.order_id or other.intent not in ABOUT_AN_ORDER)
        for other in others  # type: ignore[attr-defined]
    )
