"""What is wrong is refused clearly: statuses check by check, then the shape of all errors that were seen."""

import json
import re
from collections.abc import Sequence

from greenroom.rehearsal.check import DoesNotHold, Level, NotOffered, NotTold, When, check, demand
from greenroom.rehearsal.endpoint import CHAT, Answer
from greenroom.rehearsal.stage import Stage, user_says

_TOO_LARGE = 3 * 1024 * 1024
_PAIRS = {
    400: ("invalid_request_error", "bad_request"),
    429: ("rate_limit_error", "rate_limit_exceeded"),
    500: ("internal_error", "server_error"),
}
_SHAPE = '{"error": {"message": "…", "type": "…", "code": "…"}}'
_TRACE = re.compile(
    r"Traceback \(most recent call last\)|File \"[^\"\n]+\", line \d+|^\s+at .+\(.+:\d+(:\d+)?\)"
    r"|\bat [\w$.]+\([\w$]+\.(java|kt|scala):\d+\)|goroutine \d+ \[|node_modules/|site-packages/|\.py\", line \d+",
    re.MULTILINE,
)


async def _refused(stage: Stage, contents: Sequence[bytes], statuses: tuple[int, ...], right: str) -> str:
    """Every one of these bodies is answered with one of these statuses."""
    for content in contents:
        answer = await stage.chat(None, content=content)
        demand(answer.status in statuses, f"answered {answer.status}", right, answer)
    return f"{' or '.join(map(str, statuses))}"


def _encoded(*bodies: object) -> list[bytes]:
    return [json.dumps(body).encode() for body in bodies]


@check("errors.bad_json", "ERR-02", Level.REQUIRED, "what is no JSON is 400")
async def bad_json(stage: Stage) -> str:
    contents = [b'{"messages": [', b"hello", b"[]"]
    return await _refused(stage, contents, (400,), "400: bad JSON is the client's mistake")


@check("errors.messages", "ERR-02 CHAT-04", Level.REQUIRED, "missing or wrong messages are 400, never 422")
async def messages(stage: Stage) -> str:
    session = stage.names.session()
    unfinished = [user_says("Hello"), {"role": "assistant", "content": "Hello!"}]
    bodies = (
        {"session_id": session},
        stage.body([], session_id=session),
        {**stage.body([]), "messages": "Hello", "session_id": session},
        {**stage.body([]), "messages": [{"content": "Hello"}], "session_id": session},
        stage.body([{"role": "user", "content": 7}], session_id=session),
    )
    await _refused(stage, _encoded(*bodies), (400,), "400 that names the field: every input is validated")
    answer = await stage.chat(stage.body(unfinished, session_id=session))
    demand(answer.status < 500, f"answered {answer.status}", "400: nothing is left to answer", answer)
    return "400"


@check("errors.role", "ERR-02 CHAT-04", Level.REQUIRED, "an unknown role is 400")
async def role(stage: Stage) -> str:
    body = stage.body([{"role": "wizard", "content": "Hello"}], session_id=stage.names.session())
    return await _refused(stage, _encoded(body), (400,), "400: roles are system, developer, user, assistant, tool")


@check(
    "errors.fields", "CHAT-02 CHAT-03 CHAT-04", Level.EXTRA, "n: 2, an image, metadata that is no object, odd ids: 400"
)
async def fields(stage: Stage) -> str:
    hello = [user_says("Hello")]
    image = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}]}
    bodies = (
        stage.body(hello, n=2),
        stage.body([image]),
        stage.body(hello, metadata="morning"),
        stage.body(hello, session_id=f"{stage.names.prefix}/1"),
        stage.body(hello, user_id="u" * 129),
    )
    return await _refused(stage, _encoded(*bodies), (400,), "400 that names the field")


@check("errors.hostile", "ERR-02", Level.RECOMMENDED, "hostile bodies (deep, NaN, broken text) are 4xx, never 5xx")
async def hostile(stage: Stage) -> str:
    hello = b'"messages": [{"role": "user", "content": "Hello"}]'
    bodies = [
        b'{"metadata": {"deep": ' + b"[" * 20_000 + b"]" * 20_000 + b"}, " + hello + b"}",
        b'{"temperature": NaN, ' + hello + b"}",
        b'{"messages": [{"role": "user", "content": "\xff\xfe"}]}',
        b'{"messages": [{"role": "user", "content": "\\ud800"}]}',
        b'{"session_id": "a\\u0000b", ' + hello + b"}",
    ]
    for content in bodies:
        answer = await stage.chat(None, content=content)
        demand(answer.status < 500, f"answered {answer.status}", "400: it is the client's mistake", answer)
    return "none was 5xx"


@check("errors.too_large", "ERR-02", Level.RECOMMENDED, "a body of 3 MiB is refused with 413")
async def too_large(stage: Stage) -> str:
    body = stage.body([user_says("Hello")], padding="x" * _TOO_LARGE, session_id=stage.names.session())
    answer = await stage.chat(body)
    if answer.status == 200:
        raise NotTold("it takes 3 MiB")
    demand(answer.status in (413, 400), f"answered {answer.status}", "413", answer)
    return str(answer.status)


@check("errors.unknown_path", "ERR-02 ERR-03", Level.RECOMMENDED, "an unknown path is 404")
async def unknown_path(stage: Stage) -> str:
    answer = await stage.endpoint.ask("GET", f"/{stage.names.prefix}")
    demand(answer.status == 404, f"answered {answer.status}", "404", answer)
    return "404"


@check("errors.wrong_method", "ERR-02", Level.RECOMMENDED, "a wrong method is 405")
async def wrong_method(stage: Stage) -> str:
    answer = await stage.endpoint.ask("GET", CHAT)
    demand(answer.status == 405, f"GET is answered {answer.status}", "405", answer)
    return "405"


@check("errors.content_type", "ERR-02", Level.EXTRA, "a wrong content type is 415")
async def content_type(stage: Stage) -> str:
    content = json.dumps(stage.body([user_says("Hello")], session_id=stage.names.session())).encode()
    answer = await stage.chat(None, content=content, headers={"Content-Type": "text/plain"})
    if answer.status == 200:
        raise NotOffered("it reads JSON whatever its type")
    demand(answer.status in (415, 400), f"answered {answer.status}", "415", answer)
    return str(answer.status)


def _error_of(answer: Answer) -> dict[str, object] | None:
    body = answer.json
    error = body.get("error") if isinstance(body, dict) else None
    return error if isinstance(error, dict) else None


def _seen(stage: Stage) -> list[Answer]:
    """Errors that the endpoint itself answered, one of each kind. A health check's 503 is no error."""
    kinds: dict[tuple[str, int], Answer] = {}
    for answer in stage.endpoint.errors:
        words = answer.request.split(" ", 2)
        if words[1] not in ("/health", "/livez", "/readyz"):
            kinds.setdefault((answer.excerpt[:80], answer.status), answer)
    if not kinds:
        raise NotTold("no error was seen")
    return list(kinds.values())


@check("errors.shape", "ERR-01", Level.REQUIRED, "every error has the published shape", when=When.LAST)
async def shape(stage: Stage) -> str:
    seen = _seen(stage)
    for answer in seen:
        error = _error_of(answer)
        if error is None:
            html = answer.media_type == "text/html" or answer.text.lstrip()[:1] == "<"
            raise DoesNotHold("an HTML page" if html else "another shape", _SHAPE, answer)
        wrong = [name for name in ("message", "type", "code") if not isinstance(error.get(name), str)]
        demand(not wrong, f"error has no {', '.join(wrong)}", _SHAPE, answer)
    return f"{', '.join(map(str, sorted({answer.status for answer in seen})))}"


@check(
    "errors.published", "ERR-01", Level.REQUIRED, "400, 429 and 500 carry the published type and code", when=When.LAST
)
async def published(stage: Stage) -> str:
    told: set[int] = set()
    for answer in _seen(stage):
        error = _error_of(answer)
        if error is None or not isinstance(error.get("type"), str) or answer.status not in _PAIRS:
            continue
        kind, code = _PAIRS[answer.status]
        told.add(answer.status)
        if answer.status == 429 and error.get("code") == "session_busy":
            continue
        right = f'"type": "{kind}", "code": "{code}"'
        found = f"type {error.get('type')!r}, code {error.get('code')!r}"
        demand((error.get("type"), error.get("code")) == (kind, code), found, right, answer)
    if not told:
        raise NotTold("no error of these had a type")
    return ", ".join(map(str, sorted(told)))


@check("errors.no_traces", "ERR-04", Level.REQUIRED, "no error shows a stack trace", when=When.LAST)
async def no_traces(stage: Stage) -> str:
    seen = _seen(stage)
    for answer in seen:
        shown = _TRACE.search(answer.text.replace("\\n", "\n").replace('\\"', '"'))
        demand(shown is None, f"it shows {shown.group()[:80]!r}" if shown else "", "a fixed message", answer)
    return f"{len(seen)} kinds of errors looked at"


@check("errors.retry_after", "ERR-03", Level.RECOMMENDED, "429 and 503 say when to try again", when=When.LAST)
async def retry_after(stage: Stage) -> str:
    busy = [answer for answer in _seen(stage) if answer.status in (429, 503)]
    if not busy:
        raise NotTold("neither was seen")
    for answer in busy:
        wait = answer.headers.get("retry-after", "")
        right = "Retry-After: 1 to 60 seconds"
        demand(wait.isdigit() and 1 <= int(wait) <= 60, f"Retry-After is {wait!r}", right, answer)
    return f"Retry-After on {', '.join(sorted({str(answer.status) for answer in busy}))}"


CHECKS = (
    bad_json,
    messages,
    role,
    fields,
    hostile,
    too_large,
    unknown_path,
    wrong_method,
    content_type,
    shape,
    published,
    no_traces,
    retry_after,
)
