"""Who may ask: HTTPS, keys, request ids."""

import ipaddress
from urllib.parse import urlsplit

from greenroom.rehearsal.check import Level, NotOffered, NotTold, check, demand
from greenroom.rehearsal.stage import Stage, user_says

_WRONG_KEY = "greenroom-check-wrong-key"


def _is_local(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


@check("access.https", "SEC-03", Level.RECOMMENDED, "it is reached over HTTPS")
async def https(stage: Stage) -> str:
    url = stage.options.url
    if url.startswith("http:") and _is_local(url):
        raise NotTold("it is asked on this machine")
    demand(url.startswith("https:"), "it is asked over http", "https: the page wants HTTPS endpoints only")
    return "https"


@check("access.key", "SEC-01 ERR-03", Level.RECOMMENDED, "without a key, or with a wrong one, chat is 401")
async def key(stage: Stage) -> str:
    if not stage.endpoint.has_key and _is_local(stage.options.url):
        raise NotTold("this run has no key, and the endpoint is on this machine")
    body = stage.body([user_says("Hello")], session_id=stage.names.session())
    none = await stage.chat(body, without_key=True)
    demand(none.status in (401, 403), f"answered {none.status} without a key", "401: a key is best practice", none)
    wrong = await stage.chat(body, without_key=True, headers={"Authorization": f"Bearer {_WRONG_KEY}"})
    demand(wrong.status in (401, 403), f"answered {wrong.status} to a wrong key", "401", wrong)
    return f"{none.status} without a key, {wrong.status} with a wrong one"


@check("access.request_id", "SEC-07", Level.EXTRA, "X-Request-Id is on answers, and the caller's is kept")
async def request_id(stage: Stage) -> str:
    sent = f"{stage.names.prefix}-request"
    answer = await stage.endpoint.ask("GET", "/health", headers={"X-Request-Id": sent})
    came = answer.headers.get("x-request-id")
    if came is None:
        raise NotOffered("answers have no X-Request-Id")
    demand(came == sent, f"it came back as {came!r}", repr(sent), answer)
    return "kept"


CHECKS = (https, key, request_id)
