"""Who calls, and what they may (SEC-01, SEC-02)."""

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Protocol

import grpc

from greenroom.core.errors import PermissionDenied, Unauthenticated
from greenroom.core.request import Principal
from greenroom.v1.agent_pb2 import RunTurnRequest

EDGE_SCOPE = "edge"
"""A key with this scope may act on behalf of others, as callers on the Unix socket may."""


class KeyHolder(Protocol):
    """An API key as the core sees it."""

    @property
    def name(self) -> str: ...
    @property
    def namespace(self) -> str: ...
    @property
    def scopes(self) -> frozenset[str]: ...


class Authenticate(Protocol):
    """Finds the key a bearer token stands for; None: there is none."""

    def __call__(self, token: str) -> KeyHolder | None: ...


@dataclass(frozen=True, slots=True)
class Caller:
    """The caller of an RPC. `trusted`: it may say on whose behalf it calls. `scopes` None: all."""

    principal: Principal
    trusted: bool
    scopes: frozenset[str] | None

    def may(self, scope: str) -> bool:
        return self.scopes is None or scope in self.scopes or EDGE_SCOPE in self.scopes


ANYONE = Caller(Principal(), trusted=True, scopes=None)
current: ContextVar[Caller] = ContextVar("caller", default=ANYONE)
"""The caller of the RPC this task serves; set by the interceptor."""

CHAT, INSPECT = "chat", "inspect"
_SERVICE = "/greenroom.v1."
SCOPES: dict[str, str] = {
    f"{_SERVICE}AgentService/RunTurn": CHAT,
    f"{_SERVICE}AgentService/RunTurns": CHAT,
    f"{_SERVICE}AgentService/StreamTurn": CHAT,
    f"{_SERVICE}AgentService/ListAgents": CHAT,
    f"{_SERVICE}ToolService/ListTools": INSPECT,
    f"{_SERVICE}ToolService/ListToolCalls": INSPECT,
    f"{_SERVICE}ToolService/InvokeTool": CHAT,
    f"{_SERVICE}UserService/CreateUser": CHAT,
    f"{_SERVICE}UserService/GetUser": INSPECT,
    f"{_SERVICE}UserService/ListUsers": INSPECT,
    f"{_SERVICE}UserService/DeleteUser": CHAT,
    f"{_SERVICE}SessionService/CreateSession": CHAT,
    f"{_SERVICE}SessionService/GetSession": INSPECT,
    f"{_SERVICE}SessionService/ListSessions": INSPECT,
    f"{_SERVICE}SessionService/GetTurn": INSPECT,
    f"{_SERVICE}SessionService/ListTurns": INSPECT,
    f"{_SERVICE}SessionService/GetWorld": INSPECT,
    f"{_SERVICE}SessionService/CloseSession": CHAT,
    f"{_SERVICE}SessionService/DeleteSession": CHAT,
}
"""The scope each method needs. Methods that are not listed (health, reflection) need no key."""


def identify(
    method: str, metadata: Mapping[str, Any], context: "grpc.aio.ServicerContext[Any, Any]", keys: Authenticate | None
) -> Caller:
    """The caller of a method. Raises `Unauthenticated` or `PermissionDenied`."""
    scope = SCOPES.get(method)
    if keys is None or scope is None or _needs_no_key(context):
        return Caller(_named(metadata), trusted=True, scopes=None)
    kind, _, token = str(metadata.get("authorization", "")).partition(" ")
    holder = keys(token.strip()) if kind.lower() == "bearer" and token else None
    if holder is None:
        raise Unauthenticated("a valid API key is needed: authorization: Bearer <key>")
    trusted = EDGE_SCOPE in holder.scopes
    principal = _named(metadata) if trusted else Principal(holder.namespace, holder.name)
    caller = Caller(principal, trusted, holder.scopes)
    if not caller.may(scope):
        raise PermissionDenied(f"this key lacks the scope {scope!r}")
    return caller


def is_local_edge(context: "grpc.aio.ServicerContext[Any, Any]") -> bool:
    """Whether the call came over the Unix socket: an edge on this machine, which logs its requests into the same log."""
    return context.peer().startswith("unix:")


def _needs_no_key(context: "grpc.aio.ServicerContext[Any, Any]") -> bool:
    """A Unix socket is guarded by its file mode; mutual TLS by its certificates."""
    return is_local_edge(context) or "x509_common_name" in context.auth_context()


def _named(metadata: Mapping[str, Any]) -> Principal:
    return Principal(str(metadata.get("greenroom-namespace", "")), str(metadata.get("greenroom-key", "")))


def principal_of(request: RunTurnRequest, caller: Caller) -> Principal:
    """On whose behalf a turn runs: what a trusted caller says, else what the caller's own key says."""
    if caller.trusted and request.HasField("caller"):
        return Principal(request.caller.namespace, request.caller.key_name)
    return caller.principal
