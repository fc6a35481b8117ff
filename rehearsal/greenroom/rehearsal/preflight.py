"""What must be so before anything can be checked: something answers at the address, and it chats in JSON."""

from greenroom.rehearsal.endpoint import CHAT, Answer, Gone, Limited, NoAnswer
from greenroom.rehearsal.stage import Stage, user_says

_HELLO = "Hello, I need help"


class CannotCheck(Exception):
    """The endpoint cannot be checked at all. The text says why and what may help."""


async def look(stage: Stage) -> Answer | None:
    """Finds out whether it chats, and sets the stage's model where the endpoint wants one. Returns the answer to a first
    message where that is a finding, None where it chats. Raises `CannotCheck`."""
    stage.model = stage.options.model
    answer = await _first(stage)
    _refuse(stage, answer)
    if answer.status == 200:
        return None
    if not stage.model and answer.status in (400, 404, 422) and (model := await _first_model(stage)):
        stage.model = model
        answer = await _chat(stage)
        if answer.status == 200:
            return None
        stage.model = ""
    return answer


async def _chat(stage: Stage) -> Answer:
    return await stage.chat(stage.body([user_says(_HELLO)], session_id=stage.names.session()))


async def _first(stage: Stage) -> Answer:
    try:
        return await _chat(stage)
    except Gone as problem:
        raise CannotCheck(f"{stage.options.url} cannot be reached: {problem}") from None
    except Limited as problem:
        raise CannotCheck(f"{stage.options.url} takes no request now: {problem}") from None
    except NoAnswer as problem:
        raise CannotCheck(f"{stage.options.url} does not answer: {problem}") from None


def _refuse(stage: Stage, answer: Answer) -> None:
    where = f"POST {stage.options.url}{CHAT}"
    if 300 <= answer.status < 400:
        target = answer.headers.get("location", "nowhere")
        raise CannotCheck(f"{where} redirects to {target}: give the address where the sandbox itself is")
    if answer.status in (401, 403):
        why = (
            "does not take this key"
            if stage.endpoint.has_key
            else "wants a key: give it with --key or in GREENROOM_KEY"
        )
        raise CannotCheck(f"{where} {why} (answered {answer.status}: {answer.excerpt[:200]})")
    if answer.json is None:
        html = answer.media_type == "text/html" or answer.text.lstrip()[:1] == "<"
        what = "an HTML page" if html else f"what is no JSON ({answer.excerpt[:80]!r})" if answer.text else "nothing"
        raise CannotCheck(f"{where} is answered with {what}, status {answer.status}: is this the sandbox's address?")
    if answer.status in (404, 405) and not speaks_of_model(answer):
        raise CannotCheck(f"{where} is answered {answer.status}: there is no chat at this address")


def speaks_of_model(answer: Answer) -> bool:
    """An endpoint that serves several models answers 404 for one that it does not know."""
    return "model" in answer.text.lower()


async def _first_model(stage: Stage) -> str:
    try:
        body = (await stage.endpoint.ask("GET", "/v1/models")).json
    except NoAnswer:
        return ""
    listed = body.get("data") if isinstance(body, dict) else None
    first = listed[0] if isinstance(listed, list) and listed else None
    found = first.get("id") if isinstance(first, dict) else None
    return found if isinstance(found, str) else ""
