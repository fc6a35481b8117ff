"""`POST /users` and what belongs to it; optional, as the page has it."""

from typing import Any

from greenroom.rehearsal.check import Level, NotOffered, NotTold, check, demand
from greenroom.rehearsal.checks.health import utc_moment
from greenroom.rehearsal.endpoint import Answer
from greenroom.rehearsal.stage import Stage

_ABSENT = frozenset({404, 405, 501})
_RIGHT = '200 and {"user_id": as sent, "created_at": "2024-01-21T10:30:00Z", "status": "active"}'
_METADATA = {"scenario_id": "financial_stress_delivery", "persona": "delivery_worker_bengaluru"}


async def _create(stage: Stage, body: Any) -> Answer:
    """Raises `NotOffered` where there is no such route."""
    answer = await stage.endpoint.ask("POST", "/users", body)
    if answer.status in _ABSENT:
        raise NotOffered(f"POST /users is answered {answer.status}")
    return answer


@check("users.create", "USER-01", Level.REQUIRED, "POST /users makes a user, if it is offered")
async def create(stage: Stage) -> str:
    user_id = stage.names.user()
    answer = await _create(stage, {"user_id": user_id, "metadata": _METADATA})
    demand(answer.status == 200, f"answered {answer.status}", _RIGHT, answer)
    body = answer.json if isinstance(answer.json, dict) else {}
    demand(body.get("user_id") == user_id, f"user_id is {body.get('user_id')!r}", _RIGHT, answer)
    demand(body.get("status") == "active", f"status is {body.get('status')!r}", _RIGHT, answer)
    created = body.get("created_at")
    demand(utc_moment(created) is not None, f"created_at is {created!r}", _RIGHT, answer)
    return "made"


@check("users.again", "USER-03", Level.RECOMMENDED, "the same user again is no error, and keeps its created_at")
async def again(stage: Stage) -> str:
    user_id = stage.names.user()
    first = await _create(stage, {"user_id": user_id, "metadata": _METADATA})
    second = await _create(stage, {"user_id": user_id, "metadata": {**_METADATA, "session_type": "evening"}})
    if second.status == 409:
        return "409: another body conflicts, as it may be set"
    demand(second.status == first.status, f"answered {second.status}", "200: a simulation is prepared again", second)
    one, two = (answer.json.get("created_at") if isinstance(answer.json, dict) else None for answer in (first, second))
    demand(one == two, f"created_at went from {one!r} to {two!r}", "the first created_at", second)
    return "kept"


@check("users.validation", "USER-02", Level.RECOMMENDED, "a user without user_id, or with a wrong one, is 400")
async def validation(stage: Stage) -> str:
    for body in ({"metadata": _METADATA}, {"user_id": "not an id/"}, {"user_id": 7}):
        answer = await _create(stage, body)
        demand(answer.status == 400, f"answered {answer.status}", "400", answer)
    return "400"


@check("users.lifecycle", "USER-04", Level.EXTRA, "a user can be read and deleted, and is gone then")
async def lifecycle(stage: Stage) -> str:
    user_id = stage.names.user()
    await _create(stage, {"user_id": user_id, "metadata": _METADATA, "profile": {"name": "Ada"}})
    path = f"/users/{user_id}"
    read = await stage.endpoint.ask("GET", path)
    if read.status in (401, 403):
        raise NotTold(f"this key may not read users (answered {read.status})")
    if read.status in _ABSENT:
        raise NotOffered(f"GET {path} is answered {read.status}")
    body = read.json if isinstance(read.json, dict) else {}
    same = body.get("metadata") == _METADATA and body.get("profile") == {"name": "Ada"}
    demand(read.status == 200 and same, "metadata or profile came back otherwise", "as they were given", read)
    deleted = await stage.endpoint.ask("DELETE", path)
    demand(deleted.status == 204, f"DELETE was answered {deleted.status}", "204", deleted)
    after = await stage.endpoint.ask("GET", path)
    demand(after.status == 404, f"answered {after.status} after it was deleted", "404", after)
    return "read, deleted, gone"


CHECKS = (create, again, validation, lifecycle)
