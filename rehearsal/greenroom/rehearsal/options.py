"""How an endpoint is to be checked."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

PUBLISHED_LINES = (
    "I need help with my order #12345",
    "What's the status of my order #12345?",
)
"""What the simulated user says on the published page."""

_KNOWN_PATHS = ("/v1/chat/completions", "/v1", "/health")


class WrongOption(Exception):
    """An option cannot be used. The text says why and what would be right."""


@dataclass(frozen=True, slots=True)
class Options:
    """How much, how fast, and as whom. Times are in seconds."""

    url: str
    """Without a path; see `base_url`."""
    key: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Sent beside the key; not by requests that are to come without one."""
    model: str = ""
    lines: tuple[str, ...] = PUBLISHED_LINES
    """What the simulated users say. Some of it should make the agent use its tools."""
    sessions: int = 200
    rate: float = 100.0
    seconds: float = 5.0
    timeout: float = 30.0
    """For one answer."""
    only: tuple[str, ...] = ()
    skip: tuple[str, ...] = ()
    """Names of checks, groups, or ids of the contract."""
    ca: str = ""
    """A file of certificates to trust."""
    insecure: bool = False
    """Any certificate will do."""


def auth_headers(options: Options) -> dict[str, str]:
    """The headers that say who asks. Raises `WrongOption` for what no header can hold."""
    auth = {**options.headers, **({"Authorization": f"Bearer {options.key}"} if options.key else {})}
    for name, value in auth.items():
        if not f"{name}{value}".isascii() or not f"{name}{value}".isprintable():
            what = "the key" if name == "Authorization" else f"the header {name}"
            raise WrongOption(f"{what} holds characters that no header can: was it copied whole?")
    return auth


def base_url(text: str) -> str:
    """The address without a path: `/v1/chat/completions`, `/v1` and `/health` are taken off. Raises `WrongOption`."""
    try:
        parts = urlsplit(text.strip())
        parts.port  # noqa: B018  # raises where it is no number
    except ValueError as problem:
        raise WrongOption(f"{text} is no address: {problem}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise WrongOption(f"{text} is no address of a sandbox: give it as https://host or http://127.0.0.1:8000")
    if parts.username is not None or parts.password is not None:
        raise WrongOption("an address must not hold a password: give a key with --key, other headers with --header")
    if parts.query or parts.fragment:
        raise WrongOption(f"an address of a sandbox has no ? or #: {parts.scheme}://{parts.netloc}{parts.path}")
    path = parts.path.rstrip("/")
    for known in _KNOWN_PATHS:
        if path.endswith(known):
            path = path.removesuffix(known)
            break
    return f"{parts.scheme}://{parts.netloc}{path}"
