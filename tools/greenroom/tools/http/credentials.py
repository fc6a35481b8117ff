"""What a request is let in with: from the environment, never from a file."""

import base64
import os
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Credential:
    """One value that goes with a request."""

    place: Literal["header", "query", "cookie"]
    name: str
    value: str
    secret: str
    """The part of it that no message may hold."""


@dataclass(frozen=True, slots=True)
class Missing:
    """One that should be there. `text` says what is missing."""

    text: str


def from_variable(variable: str, place: Literal["header", "query", "cookie"], name: str) -> Credential | Missing:
    """The variable's value as it is."""
    secret = os.environ.get(variable, "").strip()
    return Credential(place, name, secret, secret) if secret else Missing(f"{variable} is not set in the environment")


def bearer(variable: str) -> Credential | Missing:
    """A token."""
    found = from_variable(variable, "header", "authorization")
    if isinstance(found, Missing):
        return found
    return Credential("header", "authorization", f"Bearer {found.secret}", found.secret)


def basic(variable: str) -> Credential | Missing:
    """`user:password`."""
    found = from_variable(variable, "header", "authorization")
    if isinstance(found, Missing):
        return found
    if ":" not in found.secret:
        return Missing(f"{variable} holds no USER:PASSWORD")
    encoded = base64.b64encode(found.secret.encode()).decode()
    return Credential("header", "authorization", f"Basic {encoded}", found.secret.partition(":")[2])
