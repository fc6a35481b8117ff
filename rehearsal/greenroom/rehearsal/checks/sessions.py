"""Sessions by both kinds of client: one sends what is new, the other the whole conversation."""

import asyncio

from greenroom.rehearsal.check import Level, NotOffered, NotTold, check, demand
from greenroom.rehearsal.replies import Reply, answered, turn
from greenroom.rehearsal.stage import Message, Stage, user_says

_SAID = ("Hello, I need help", "What can you do for me?", "Thank you, that is all")
_AT_ONCE = 4


async def _talk(stage: Stage, *, whole: bool) -> list[Reply]:
    """Three turns in one session, each of which must be answered."""
    named = {"user_id": stage.names.user(), "session_id": stage.names.session()}
    said: list[Message] = []
    replies: list[Reply] = []
    for number, text in enumerate(_SAID, start=1):
        said = [*said, user_says(text)] if whole else [user_says(text)]
        reply = await answered(stage, stage.body(said, **named), f"200 for turn {number} of the session")
        said = [*said, {"role": "assistant", "content": reply.text or "…"}]
        replies.append(reply)
    return replies


def _counted(replies: list[Reply]) -> str:
    numbers = [reply.turn for reply in replies]
    if None in numbers:
        return "3 turns answered"
    right = "1, 2, 3: each request is the session's next turn"
    demand(numbers == [1, 2, 3], f"metadata.turn went {', '.join(map(str, numbers))}", right, replies[-1].answer)
    return "turns 1, 2, 3"


@check("sessions.last_message", "CHAT-12", Level.REQUIRED, "a client that sends only its new message goes on")
async def last_message(stage: Stage) -> str:
    return _counted(await _talk(stage, whole=False))


@check(
    "sessions.whole_history", "CHAT-12 CHAT-13", Level.REQUIRED, "a client that sends the whole conversation goes on"
)
async def whole_history(stage: Stage) -> str:
    return _counted(await _talk(stage, whole=True))


@check("sessions.echo", "CHAT-06", Level.REQUIRED, "session_id comes back as it was sent")
async def echo(stage: Stage) -> str:
    sent = stage.names.session()
    reply = await turn(stage, [user_says("Hello")], session_id=sent)
    came = reply.named("session_id")
    demand(came == sent, f"session_id came back as {came!r}", repr(sent), reply.answer)
    return "as it was sent"


@check("sessions.minted", "CHAT-06", Level.RECOMMENDED, "without session_id one is minted, and goes on when sent back")
async def minted(stage: Stage) -> str:
    first, other = [await turn(stage, [user_says("Hello")]) for _ in range(2)]
    made = first.named("session_id")
    demand(made != other.named("session_id"), "two conversations got one id", "one of its own for each", other.answer)
    body = stage.body([user_says("Are you still there?")], session_id=made)
    again = await answered(stage, body, "200: a minted id can be sent back")
    if first.turn is not None and again.turn is not None:
        on = again.turn == first.turn + 1
        demand(on, f"metadata.turn went from {first.turn} to {again.turn}", "the next turn", again.answer)
    return made


@check("sessions.chat_id", "CHAT-07", Level.RECOMMENDED, "chat_id stays within a session and differs between sessions")
async def chat_id(stage: Stage) -> str:
    here, there = stage.names.session(), stage.names.session()
    first = await turn(stage, [user_says("Hello")], session_id=here)
    later = await turn(stage, [user_says("And now?")], session_id=here)
    other = await turn(stage, [user_says("Hello")], session_id=there)
    one, two, three = (reply.named("chat_id") for reply in (first, later, other))
    demand(one == two, f"{one!r} became {two!r} in one session", "one chat_id for a session", later.answer)
    demand(one != three, f"two sessions have {one!r}", "a chat_id for each session", other.answer)
    return one


@check("sessions.own_reply", "CHAT-04", Level.REQUIRED, "its own reply, sent back as it came, is taken")
async def own_reply(stage: Stage) -> str:
    calls = 0
    for line in stage.options.lines:
        session = stage.names.session()
        first = await turn(stage, [user_says(line)], session_id=session)
        messages = [user_says(line), first.message, user_says("Thank you")]
        await answered(stage, stage.body(messages, session_id=session), "200: the message is the endpoint's own")
        calls += len(first.tool_calls)
    return f"with {calls} tool calls"


@check("sessions.regenerate", "CHAT-13", Level.EXTRA, "a client that edits what it said goes back, not on")
async def regenerate(stage: Stage) -> str:
    session = stage.names.session()
    first = await turn(stage, [user_says("Hello")], session_id=session)
    past: list[Message] = [user_says("Hello"), {"role": "assistant", "content": first.text}]
    await turn(stage, [*past, user_says("Where is my order?")], session_id=session)
    edited = await turn(stage, [*past, user_says("Can I change my address?")], session_id=session)
    if edited.history is None:
        raise NotOffered("metadata.history does not say how a request was placed")
    found = f"metadata.history is {edited.history!r}"
    demand(edited.history == "went_back", found, "went_back: the second message was replaced", edited.answer)
    return edited.history


@check("sessions.no_id", "CHAT-14", Level.EXTRA, "a conversation without session_id is known by its history")
async def no_id(stage: Stage) -> str:
    opening = user_says(f"Hello, this is about {stage.names.secret()}")
    first = await turn(stage, [opening])
    made = first.named("session_id")
    again = await turn(stage, [opening, {"role": "assistant", "content": first.text}, user_says("And now?")])
    came = again.named("session_id")
    if came != made:
        raise NotOffered("a conversation without session_id is a new one, whatever it carries")
    return "goes on where it began"


@check("sessions.owner", "CHAT-18", Level.EXTRA, "another user's id in a session is refused with 409")
async def owner(stage: Stage) -> str:
    session = stage.names.session()
    await turn(stage, [user_says("Hello")], session_id=session, user_id=stage.names.user())
    answer = await stage.chat(stage.body([user_says("Hi")], session_id=session, user_id=stage.names.user()))
    if answer.status == 200:
        raise NotOffered("sessions belong to nobody")
    demand(answer.status == 409, f"answered {answer.status}", "409", answer)
    final = answer.headers.get("x-should-retry")
    demand(final == "false", f"x-should-retry is {final!r}", "false: a retry cannot cure it", answer)
    return "409"


@check(
    "sessions.one_at_a_time", "CHAT-16", Level.RECOMMENDED, "turns of one session that come at once do not interleave"
)
async def one_at_a_time(stage: Stage) -> str:
    session = stage.names.session()
    first = await turn(stage, [user_says("Hello")], session_id=session)
    if first.turn is None:
        raise NotTold("replies state no metadata.turn")
    bodies = [stage.body([user_says(f"Question {number}")], session_id=session) for number in range(1, _AT_ONCE + 1)]
    answers = await asyncio.gather(*(stage.chat(body) for body in bodies))
    for answer in answers:
        demand(answer.status in (200, 429), f"answered {answer.status}", "200, or 429 session_busy", answer)
    replies = [Reply(answer) for answer in answers if answer.status == 200]
    numbers = sorted(reply.turn or 0 for reply in replies)
    if max(numbers, default=0) <= first.turn:
        raise NotTold("turns of a session are not counted")
    right = list(range(first.turn + 1, first.turn + 1 + len(numbers)))
    demand(numbers == right, f"turns were numbered {numbers}", f"{right}", answers[0])
    return f"turns {', '.join(map(str, numbers))}"


CHECKS = (
    last_message,
    whole_history,
    echo,
    minted,
    chat_id,
    own_reply,
    regenerate,
    no_id,
    owner,
    one_at_a_time,
)
