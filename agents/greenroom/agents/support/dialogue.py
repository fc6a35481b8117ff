"""How a turn goes: understand, plan with what was said before, do it, and put the reply together."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace

from greenroom.agents.support.desk import Desk
from greenroom.agents.support.effects import (
    after_problem,
    already_sent,
    ask_first,
    cancel,
    change_address,
    question_for,
    refund,
)
from greenroom.agents.support.evaluation import confidence, evaluate
from greenroom.agents.support.intents import ABOUT_AN_ORDER, EFFECTS, Intent
from greenroom.agents.support.memory import Asked, Task
from greenroom.agents.support.orders import ask_for_number, details, help_with, overview, refund_status, status
from greenroom.agents.support.plan import Plan, make_plan
from greenroom.agents.support.recall import conclude, expects_order, follow, recall
from greenroom.agents.support.talk import chat, human, known_from_texts, not_understood, off_limits, policy, welcome
from greenroom.agents.support.tone import greeting, soothe, sympathy
from greenroom.agents.support.understanding import understand
from greenroom.sdk import Reply, Turn

Handler = Callable[[Desk, Task], Awaitable[None]]

HANDLERS: Mapping[Intent, Handler] = {
    Intent.HELP: help_with,
    Intent.STATUS: status,
    Intent.LATE: status,
    Intent.EXPEDITE: status,
    Intent.DETAILS: details,
    Intent.PROBLEM: after_problem,
    Intent.REFUND_STATUS: refund_status,
    Intent.CANCEL: ask_first,
    Intent.ADDRESS: ask_first,
    Intent.REFUND: ask_first,
    Intent.LIST: overview,
    Intent.POLICY: policy,
    Intent.HUMAN: human,
    Intent.OFF_LIMITS: off_limits,
}

CONFIRMED: Mapping[Intent, Handler] = {
    Intent.CANCEL: cancel,
    Intent.ADDRESS: change_address,
    Intent.REFUND: refund,
    Intent.HUMAN: human,
}


async def answer(turn: Turn) -> Reply:
    """Answers one turn."""
    memory = recall(turn)
    heard = understand(turn.text, expecting_order=expects_order(memory))
    plan = make_plan(memory, heard)
    desk = Desk(turn, memory, heard)
    follow(memory, heard, plan)
    if not turn.text.strip():
        desk.say(greeting(desk.customer, desk.name, ""))
        welcome(desk)
    else:
        _open(desk)
        await _carry_out(desk, plan)
        await _come_back(desk, plan)
    conclude(memory, plan, desk.text, desk.asked)
    memory.turn = turn.number
    turn.state.clear()
    turn.state.update(memory.save())
    text = desk.text
    return Reply(text, confidence(desk, plan), evaluate(desk, plan, text))


def _open(desk: Desk) -> None:
    """Begins with a greeting or the customer's name, and with sympathy where it is due."""
    first, heard = desk.memory.exchanges == 1, desk.heard
    if first and Intent.GREETING in heard.chat:
        desk.say(greeting(desk.customer, desk.name, heard.text))
    elif desk.name and (first or heard.name):
        desk.say(f"Hi {desk.name}!")
    if soothe(desk.memory, desk.customer, heard):
        desk.acknowledged = True
        desk.say(sympathy(heard))


async def _carry_out(desk: Desk, plan: Plan) -> None:
    if plan.dropped:
        _let_go(desk, plan.dropped, bool(plan.tasks))
    for task in _in_order(plan.tasks):
        if task.intent in ABOUT_AN_ORDER and not task.order_id:
            ask_for_number(desk, task)
        elif task.confirmed:
            if not already_sent(desk, task):
                await CONFIRMED[task.intent](desk, task)
        else:
            await HANDLERS[task.intent](desk, task)
    if plan.tasks or plan.dropped:
        return
    if plan.ask_again:
        if plan.ask_again.wants == "yes" and desk.heard.question and not desk.heard.answer:
            await known_from_texts(desk)
    elif desk.heard.chat:
        chat(desk)
    else:
        await not_understood(desk)


def _let_go(desk: Desk, dropped: Task, more: bool) -> None:
    """A no is taken, and said to be. One to an offer of ours needs no words where the customer goes on."""
    if dropped.intent is Intent.HUMAN and more:
        return
    order = f"order #{dropped.order_id}" if dropped.order_id else "everything"
    desk.acknowledged = True
    desk.say(f"All right, I have left {order} as it is.")
    if Intent.GOODBYE in desk.heard.chat:
        chat(desk)
    elif not more:
        desk.say("Is there anything else I can do for you?")


def _in_order(tasks: list[Task]) -> list[Task]:
    """What is confirmed first, what is only told next, what asks something last."""
    return sorted(tasks, key=lambda task: 0 if task.confirmed else 2 if task.intent in EFFECTS else 1)


async def _come_back(desk: Desk, plan: Plan) -> None:
    """Comes back to a question that was not answered, or to a request that had to wait for another's answer."""
    memory, open_question = desk.memory, plan.ask_again
    if desk.asked is not None:
        return
    if open_question is not None and open_question.wants == "order" and memory.order and plan.tasks:
        await HANDLERS[open_question.task.intent](desk, replace(open_question.task, order_id=memory.order))
    elif open_question is not None:
        if not plan.tasks and desk.heard.chat[:1] == (Intent.THANKS,):
            desk.say("You're welcome!")
        desk.ask(open_question.wants, open_question.task, _repeated(open_question, bool(plan.tasks)))
    elif memory.queue and (plan.dropped or any(task.confirmed for task in plan.tasks)):
        task = memory.queue.pop(0)
        question = question_for(task)
        desk.ask("yes", task, f"And the other request: {question[0].lower()}{question[1:]}")
    else:
        memory.queue.clear()


def _repeated(question: Asked, after_other_things: bool) -> str:
    task = question.task
    match question.wants:
        case "order" if after_other_things:
            return "Which order number is it?"
        case "order":
            return (
                "Could you give me the order number? It is in your confirmation and looks like #12345;"
                " if you do not have it at hand, I can list your orders."
            )
        case "address":
            return (
                "I need all of it: street and number, town and postcode."
                f" What is the complete new address for order #{task.order_id}?"
            )
        case "again":
            return "Shall I try again?"
        case _ if task.intent is Intent.HUMAN:
            return "Shall I connect you with a human colleague?"
        case _:
            return f"Nothing has been changed yet. {question_for(task)} Please say yes or no."
