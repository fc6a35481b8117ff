"""Reading back what is stored, where that is offered and this key may."""

from typing import Any

from greenroom.rehearsal.check import DoesNotHold, Level, NotOffered, NotTold, check, demand
from greenroom.rehearsal.endpoint import Answer
from greenroom.rehearsal.replies import turn
from greenroom.rehearsal.stage import Stage, user_says

_ABSENT = frozenset({404, 405, 501})
_LARGE = 2**53 + 1


async def _read(stage: Stage, path: str) -> tuple[Answer, dict[str, Any]]:
    """Raises `NotOffered` where there is no such route, `NotTold` where this key may not."""
    answer = await stage.endpoint.ask("GET", path)
    if answer.status in _ABSENT:
        raise NotOffered(f"GET {path} is answered {answer.status}")
    if answer.status in (401, 403):
        raise NotTold(f"this key may not read sessions (answered {answer.status})")
    demand(answer.status == 200, f"answered {answer.status}", "200", answer)
    body = answer.json
    if not isinstance(body, dict):
        raise DoesNotHold("the body is no JSON object", "a JSON object", answer)
    return answer, body


@check("records.turns", "SESSION-01", Level.EXTRA, "a session's turns can be read back, one for each that was held")
async def turns(stage: Stage) -> str:
    session, metadata = stage.names.session(), {"large": _LARGE, "b": 1, "a": {"deep": [None, 1.5]}}
    first = await turn(stage, [user_says("Hello")], session_id=session, metadata=metadata)
    await turn(stage, [user_says("And now?")], session_id=session)
    answer, body = await _read(stage, f"/v1/sessions/{session}/turns")
    listed = body.get("turns")
    count = len(listed) if isinstance(listed, list) else None
    demand(count == 2, f"{count} turns", "2 turns", answer)
    exact = str(_LARGE) in answer.text
    demand(exact, f"metadata's {_LARGE} came back otherwise", "metadata unaltered (CHAT-02)", answer)
    _, one = await _read(stage, f"/v1/sessions/{session}")
    demand(one.get("session_id") == session, f"session_id is {one.get('session_id')!r}", repr(session))
    await _read(stage, f"/v1/chats/{first.named('chat_id')}")
    return "2 turns, by session and by chat"


@check("records.world", "SESSION-02", Level.EXTRA, "the world that tools see can be read at any turn")
async def world(stage: Stage) -> str:
    session = stage.names.session()
    await turn(stage, [user_says(stage.options.lines[0])], session_id=session)
    answer, body = await _read(stage, f"/v1/sessions/{session}/world?turn=1")
    hashed = isinstance(body.get("sha256"), str) and len(body["sha256"]) == 64
    demand(hashed and "world" in body, "no world with its sha256", '{"world": {…}, "sha256": "…", …}', answer)
    return f"sha256 {body['sha256'][:12]}…"


@check("records.lifecycle", "SESSION-03 CHAT-07", Level.EXTRA, "a session can be opened ahead, and deleted")
async def lifecycle(stage: Stage) -> str:
    session = stage.names.session()
    opened = await stage.endpoint.ask("POST", "/v1/sessions", {"session_id": session})
    if opened.status in _ABSENT:
        raise NotOffered(f"POST /v1/sessions is answered {opened.status}")
    demand(opened.status == 201, f"opening was answered {opened.status}", "201", opened)
    body = opened.json if isinstance(opened.json, dict) else {}
    both = (body.get("session_id"), body.get("sessionId"))
    demand(both == (session, session), f"session_id, sessionId are {both}", "both the session's id", opened)
    first = await turn(stage, [user_says("Hello")], session_id=session)
    deleted = await stage.endpoint.ask("DELETE", f"/v1/sessions/{session}")
    demand(deleted.status == 204, f"DELETE was answered {deleted.status}", "204", deleted)
    again = await turn(stage, [user_says("Hello")], session_id=session)
    fresh = first.named("chat_id") != again.named("chat_id")
    demand(fresh, "a deleted id has its old chat_id when used again", "a new one", again.answer)
    return "opened, deleted, opened anew"


CHECKS = (turns, world, lifecycle)
