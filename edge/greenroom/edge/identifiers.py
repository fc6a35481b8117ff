"""What an id may look like (CHAT-02, USER-02), and the ones minted here."""

import itertools
import re
import secrets
from collections.abc import Callable

from greenroom.edge.errors import bad_request

_FORBIDDEN = re.compile(r"[/?#%]")
_USER_ID = re.compile(r"[A-Za-z0-9_.:@+-]{1,64}")
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:/+=@~-]{1,128}")
_TRACEPARENT = re.compile(rb"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_IDEMPOTENCY_KEY = re.compile(rb"[\x21-\x7e]{1,255}")


def check_id(value: str, field: str) -> str:
    """An id that chat takes, or 400."""
    if len(value) > 128 or not value.isprintable() or _FORBIDDEN.search(value) or not value:
        raise bad_request(f"`{field}` must be 1 to 128 printable characters without / ? # %", field)
    return value


def check_new_user_id(value: str) -> str:
    """An id that a user can be created with, or 400."""
    if _USER_ID.fullmatch(value) is None:
        raise bad_request("`user_id` must be 1 to 64 of letters, digits and _ - . : @ +", "user_id")
    return value


def header_id(value: bytes, name: str) -> str:
    """An id that came in a header; the empty one means absent."""
    try:
        text = value.decode()
    except UnicodeDecodeError:
        raise bad_request(f"the header {name} is not valid UTF-8", name) from None
    return check_id(text, name) if text else ""


def idempotency_key(value: bytes) -> str:
    """The `Idempotency-Key` header (CHAT-15), or 400."""
    if not value:
        return ""
    if _IDEMPOTENCY_KEY.fullmatch(value) is None:
        raise bad_request("Idempotency-Key must be 1 to 255 visible ASCII characters", "Idempotency-Key")
    return value.decode("ascii")


def retry_count(value: bytes | None) -> int:
    """How often the client sent the request before (`x-stainless-retry-count`, CHAT-15); what is no small number is 0."""
    return int(value) if value is not None and len(value) <= 4 and value.isdigit() else 0


def sane_request_id(value: bytes | None) -> bytes | None:
    """The caller's own request id where it is fit for headers and logs (SEC-07)."""
    return value if value is not None and _REQUEST_ID.fullmatch(value) else None


def traceparent(value: bytes | None) -> str:
    """W3C trace context where it is well formed, else empty."""
    return value.decode("ascii") if value is not None and _TRACEPARENT.fullmatch(value) else ""


def minting(prefix: str) -> Callable[[], str]:
    """Mints ids that are unique over processes and restarts, for a fraction of what a UUID costs."""
    start = f"{prefix}{secrets.token_hex(8)}"
    count = itertools.count(1).__next__
    return lambda: f"{start}{count():08x}"
