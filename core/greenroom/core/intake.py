"""A request, checked and told apart, before anything waits for it."""

import hashlib
import secrets
from collections.abc import Sequence

import msgspec

from greenroom.core.errors import InvalidRequest, LimitExceeded
from greenroom.core.limits import Limits
from greenroom.core.request import TurnRequest, check_id, read_object
from greenroom.core.transcript import Carried, read_messages
from greenroom.core.waiting import SessionName


class Intake(msgspec.Struct):
    """What is known of a request by itself. `session_id` is given or minted."""

    request: TurnRequest
    carried: Carried
    session_id: str
    scenario_requested: str
    request_hash: bytes
    attempt_id: str
    idempotency_key: str
    """Scoped to the API key (CHAT-15); "" when there is none."""
    minted: bool
    found: "Found | None" = None
    """Where the conversation of a request without session id was found (CHAT-14)."""
    sent_us: int = 0
    """When it was sent, as far as that is known, in microseconds since 1970."""
    key_source: tuple[str, bytes] | None = None
    """What the keys of its tool calls are made from: the same when it has to be run once more."""

    @property
    def name(self) -> SessionName:
        return (self.request.principal.namespace, self.session_id)

    @property
    def flight_key(self) -> tuple[SessionName, bytes]:
        return (self.name, self.request_hash)


class Found(msgspec.Struct, frozen=True, gc=False):
    """A turn of a session, by the session's own key: its id may be deleted and used again."""

    session_key: int
    turn: int


def read_request(request: TurnRequest, limits: Limits) -> Intake:
    """Raises `InvalidRequest` or `LimitExceeded`, naming the field."""
    if len(request.messages) > limits.carried_messages:
        raise LimitExceeded(f"messages: {limits.carried_messages} messages at most", field="messages")
    check_id(request.session_id, "session_id")
    check_id(request.user_id, "user_id")
    if len(request.idempotency_key) > 255:
        raise InvalidRequest("idempotency_key: 255 characters at most", field="idempotency_key")
    metadata = read_object(request.metadata_json, "metadata", limits.metadata_bytes)
    read_object(request.options_json, "options", limits.options_bytes)
    attempt_id = request.attempt_id or secrets.token_hex(16)
    principal = request.principal
    idempotency_key = ""
    if request.idempotency_key:
        idempotency_key = f"{len(principal.key_name)}:{principal.key_name}:{request.idempotency_key}"
    return Intake(
        request,
        read_messages(request.messages),
        request.session_id or minted_id((idempotency_key and f"/{idempotency_key}") or attempt_id),
        asked_scenario(metadata),
        request_hash(request),
        attempt_id,
        idempotency_key,
        not request.session_id,
    )


def minted_id(source: str) -> str:
    """A session id; always the same for an attempt or an idempotency key, so that a repeated one finds what its first one
    opened."""
    return "session_" + hashlib.blake2b(source.encode(errors="replace"), digest_size=12).hexdigest()


def asked_scenario(metadata: dict[str, object]) -> str:
    """The scenario that metadata asks for; "" when none."""
    asked = metadata.get("scenario_id")
    return asked if isinstance(asked, str) else ""


def request_hash(request: TurnRequest) -> bytes:
    """What makes two requests of a session the same: user and messages; under an idempotency key, all of the body
    (CHAT-15)."""
    parts = [request.user_id]
    for message in request.messages:
        parts += (message.role, message.content or "", message.tool_calls_json, message.tool_call_id)
    if request.idempotency_key:
        parts += (request.metadata_json, request.options_json)
    return _hashed(parts)


def nameless_hash(request: TurnRequest) -> bytes:
    """What makes two requests without session id the same: whose they are, and all they say."""
    principal = request.principal
    whole = [principal.namespace, principal.key_name, request.agent, request.metadata_json]
    return _hashed([*whole, request_hash(request).hex()])


def _hashed(parts: Sequence[str]) -> bytes:
    return hashlib.blake2b("\x00".join(parts).encode(errors="replace"), digest_size=16).digest()
