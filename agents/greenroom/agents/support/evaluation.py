"""What the agent says of its own turn, each key from what happened in it (docs/support-agent.md)."""

from typing import Any

from greenroom.agents.support.desk import Desk
from greenroom.agents.support.intents import ABOUT_AN_ORDER, Intent
from greenroom.agents.support.plan import Plan
from greenroom.agents.support.states import label_of
from greenroom.agents.support.tone import voiced

_LOOKS = frozenset({"order_lookup", "get_order_status"})
CLEAR = 0.95


def evaluate(desk: Desk, plan: Plan, text: str) -> dict[str, Any]:
    """The evaluation of a finished reply. A key that does not apply is absent."""
    evaluation: dict[str, Any] = {"tone": desk.tone}
    outcomes = desk.outcomes
    looks = [outcome for outcome in outcomes if outcome.tool in _LOOKS and not outcome.broke]
    if looks:
        evaluation["order_found"] = all(outcome.ok for outcome in looks)
    if plan.tasks or plan.dropped or plan.ask_again:
        evaluation["resolution_step"] = desk.memory.step
    if desk.acknowledged or voiced(desk.heard):
        evaluation["customer_acknowledged"] = desk.acknowledged
    if outcomes:
        evaluation["tool_called"] = outcomes[0].tool
        evaluation["tool_success"] = all(outcome.ok for outcome in outcomes)
        evaluation["customer_informed"] = all(outcome.told for outcome in outcomes)
    statuses = [outcome for outcome in outcomes if outcome.tool in _LOOKS]
    if statuses:
        evaluation["response_included_status"] = all(
            outcome.ok and label_of(outcome.data.get("status")) in text for outcome in statuses
        )
    return evaluation


def confidence(desk: Desk, plan: Plan) -> float:
    """0.95 for a request said clearly; less for guessed words, vague requests, and whatever went wrong on the way."""
    doubts = list(desk.doubts)
    doubts += [0.03] * min(desk.heard.mended, 3)
    for task in plan.tasks:
        doubts += [0.05] if not task.clear and task.intent is not Intent.HELP else []
        doubts += [0.05] if task.intent in ABOUT_AN_ORDER and task.order_id not in desk.heard.orders else []
    doubts += [0.05] if plan.ask_again else []
    doubts += [0.05] if len(plan.tasks) > 1 else []
    return round(max(0.1, CLEAR - sum(doubts)), 2)
