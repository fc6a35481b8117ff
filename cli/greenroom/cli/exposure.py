"""Addresses, and which of them may be open without a key (SEC-02)."""

import ipaddress
import socket
from collections.abc import Iterable, Mapping
from typing import Any

from greenroom.cli.settings import Settings
from greenroom.cli.sources import WrongSetting, source_of


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address. A name other than localhost counts as reachable from outside."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def refuse_open(settings: Settings, names: Iterable[str], flags: Mapping[str, Any]) -> None:
    """Raises `WrongSetting` when one of these address settings is reachable from outside and no key is configured."""
    if settings.api_keys.get_secret_value().strip():
        return
    for name in names:
        address = getattr(settings, name)
        if is_loopback(address):
            continue
        if name == "grpc_host" and settings.grpc_tls_ca is not None:
            continue
        raise WrongSetting(
            f"{name} (from {source_of(name, flags)}): {address} can be reached from outside, and no API key is configured."
            " Run `greenroom keys create NAME` and set GREENROOM_API_KEYS to what it prints, or use 127.0.0.1"
        )


def listen(host: str, port: int, name: str) -> socket.socket:
    """A listening socket; port 0 picks a free one. Raises `WrongSetting` when the address cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host.strip("[]"), port), family=family, backlog=2048)
    except OSError as problem:
        raise WrongSetting(
            f"{name}: cannot listen on {host}:{port}: {problem.strerror or problem};"
            " choose another port, or 0 for any free one"
        ) from None


def shown(host: str, port: int) -> str:
    """`host:port`, brackets where an address needs them."""
    return f"[{host}]:{port}" if ":" in host and not host.startswith("[") else f"{host}:{port}"
