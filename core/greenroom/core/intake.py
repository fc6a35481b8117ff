"""A request, checked and told apart, before anything waits for it."""

import hashlib
import secrets
from collections.abc import Sequence

import msgspec

from greenroom.core.errors import InvalidRequest, LimitExceeded
from greenroom.core.limits import Limits
from greenroom.core.records import Message
from greenroom.core.request import TurnRequest, check_id, read_object
from greenroom.core.transcript import Carried, read_messages
from greenroom.core.waiting import SessionName


class Intake(msgspec.Struct):
    """What is known of a request by itself. `session_id` is given or minted; `queue_name` is what it waits under."""

    request: TurnRequest
    carried: Carried
    session_id: str
    scenario_requested: str
    request_hash: bytes
    attempt_id: str
    idempotency_key: str
    """Scoped to the API key (CHAT-15); "" when there is none."""
    queue_name: SessionName
    minted: bool

    @property
    def name(self) -> SessionName:
        return (self.request.principal.namespace, self.session_id)


def read_request(request: TurnRequest, limits: Limits) -> Intake:
    """Raises `InvalidRequest` or `LimitExceeded`, naming the field."""
    if len(request.messages) > limits.carried_messages:
        raise LimitExceeded(f"messages: {limits.carried_messages} messages at most", field="messages")
    check_id(request.session_id, "session_id")
    check_id(request.user_id, "user_id")
    if len(request.idempotency_key) > 255:
        raise InvalidRequest("idempotency_key: 255 characters at most", field="idempotency_key")
    metadata = read_object(request.metadata_json, "metadata", limits)
    read_object(request.options_json, "options", limits)
    attempt_id = request.attempt_id or secrets.token_hex(16)
    principal = request.principal
    session_id = request.session_id or minted_id(attempt_id)
    queue_name = (principal.namespace, session_id)
    idempotency_key = ""
    if request.idempotency_key:
        idempotency_key = f"{len(principal.key_name)}:{principal.key_name}:{request.idempotency_key}"
        if not request.session_id:
            queue_name = (principal.namespace, f"/{idempotency_key}")
    return Intake(
        request,
        read_messages(request.messages),
        session_id,
        asked_scenario(metadata),
        request_hash(request.user_id, request.messages),
        attempt_id,
        idempotency_key,
        queue_name,
        not request.session_id,
    )


def minted_id(attempt_id: str) -> str:
    """A session id; always the same for an attempt, so that a repeated one finds what its first one opened."""
    return "session_" + hashlib.blake2b(attempt_id.encode(), digest_size=12).hexdigest()


def asked_scenario(metadata: dict[str, object]) -> str:
    """The scenario that metadata asks for; "" when none."""
    asked = metadata.get("scenario_id")
    return asked if isinstance(asked, str) else ""


def request_hash(user_id: str, messages: Sequence[Message]) -> bytes:
    """What makes two requests of a session the same: user and messages (CHAT-15)."""
    parts = [user_id]
    for message in messages:
        parts += (message.role, message.content or "", message.tool_calls_json, message.tool_call_id)
    return hashlib.blake2b("\x00".join(parts).encode(errors="replace"), digest_size=16).digest()
