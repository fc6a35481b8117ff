"""A request that comes twice counts once."""

from greenroom.rehearsal.check import Level, NotOffered, NotTold, check, demand
from greenroom.rehearsal.endpoint import Answer
from greenroom.rehearsal.replies import Reply, turn
from greenroom.rehearsal.stage import Message, Stage, user_says


async def _repeated(stage: Stage, body: object, first: dict[str, str], second: dict[str, str]) -> tuple[Answer, Answer]:
    """The same request twice, with these headers."""
    one = await stage.chat(body, headers=first)
    if one.status != 200:
        raise NotTold(f"the first was answered {one.status}")
    return one, await stage.chat(body, headers=second)


@check(
    "retries.counted_once", "CHAT-15", Level.RECOMMENDED, "a client's retry gets the reply that was lost, counted once"
)
async def counted_once(stage: Stage) -> str:
    session = stage.names.session()
    begun = await turn(stage, [user_says("Hello")], session_id=session)
    body = stage.body([user_says("Please go on")], session_id=session)
    one, two = await _repeated(stage, body, {}, {"x-stainless-retry-count": "1"})
    right = "the first reply again: x-stainless-retry-count says that it is a retry"
    demand(two.status == 200, f"the retry was answered {two.status}", right, two)
    first, again = Reply(one), Reply(two)
    after = await turn(stage, [user_says("And then?")], session_id=session)
    if begun.turn is None or after.turn is None:
        if first.body.get("id") is not None and first.body.get("id") == again.body.get("id"):
            return "the same reply"
        raise NotTold("replies state no metadata.turn, so it cannot be counted")
    counted = after.turn - begun.turn - 1
    if counted < 0:
        raise NotTold("turns of a session are not counted")
    demand(counted == 1, f"it counted {counted} times: the next turn is number {after.turn}", right, two)
    demand(first.text == again.text, f"the retry said {again.text[:80]!r}", right, two)
    return f"turn {first.turn} both times"


@check("retries.idempotency_key", "CHAT-15", Level.RECOMMENDED, "Idempotency-Key: the same reply, byte for byte")
async def idempotency_key(stage: Stage) -> str:
    session, key = stage.names.session(), {"Idempotency-Key": f"{stage.names.prefix}-{stage.names.secret()}"}
    body = stage.body([user_says("Hello")], session_id=session)
    one, two = await _repeated(stage, body, key, key)
    marked = two.headers.get("idempotency-replayed") == "true"
    if not marked:
        raise NotOffered("a second answer has no Idempotency-Replayed: true")
    demand(two.status == 200, f"answered {two.status}", "200 and the stored reply", two)
    demand(one.text == two.text, "the second reply differs", "the stored reply, byte for byte", two)
    other = await stage.chat(stage.body([user_says("Something else")], session_id=session), headers=key)
    demand(other.status == 409, f"another body was answered {other.status}", "409 for one key with two bodies", other)
    return "replayed; another body is 409"


@check("retries.whole_history", "CHAT-13 CHAT-15", Level.RECOMMENDED, "a whole conversation sent again goes on as one")
async def whole_history(stage: Stage) -> str:
    session = stage.names.session()
    first = await turn(stage, [user_says("Hello")], session_id=session)
    past: list[Message] = [user_says("Hello"), {"role": "assistant", "content": first.text}, user_says("Please go on")]
    body = stage.body(past, session_id=session)
    one, two = await _repeated(stage, body, {}, {"x-stainless-retry-count": "1"})
    demand(two.status == 200, f"answered {two.status}", "200: the reply to the same conversation", two)
    longer: list[Message] = [*past, {"role": "assistant", "content": Reply(one).text}, user_says("Thank you")]
    after = await turn(stage, longer, session_id=session)
    if after.history is None:
        return "answered both times"
    on = after.history == "continued"
    demand(
        on, f"metadata.history is {after.history!r} after it", "continued: nothing was added by the retry", after.answer
    )
    return "continued after it"


CHECKS = (counted_once, idempotency_key, whole_history)
