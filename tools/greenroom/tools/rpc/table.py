"""The `[grpc.NAME]` tables of tools files."""

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import Field

from greenroom.sdk import AgentError
from greenroom.tools.headers import Secrets
from greenroom.tools.rpc.source import GrpcSource
from greenroom.tools.rpc.target import read_target
from greenroom.tools.tables import Table, read_table


class GrpcTable(Table):
    """`key_env` names the environment's variable with the key that is sent, `authority` a PEM file beside the tools file."""

    target: str = Field(examples=["grpc://host:port"])
    prefix: str = Field("", pattern=r"^[A-Za-z0-9_-]{0,32}$")
    key_env: str = ""
    authority: str | None = None
    timeout: float = Field(30.0, gt=0, le=3600)
    max_bytes: int = Field(64 * 1024, ge=100, le=8 * 1024 * 1024)


def read_grpc(settings: Mapping[str, Any], name: str, folder: Path) -> GrpcSource:
    """Raises `AgentError`."""
    table = read_table(GrpcTable, settings, name)
    try:
        target = read_target(table.target, "", None if table.authority is None else folder / table.authority)
    except AgentError as problem:
        raise AgentError(f"{name}.target: {problem}") from None
    key = os.environ.get(table.key_env, "").strip() if table.key_env else ""
    is_sendable = key.isascii() and key.isprintable()
    if key and is_sendable:
        target = replace(target, metadata=(("authorization", f"Bearer {key}"),))
    source = GrpcSource(
        name, target, Secrets([], [key]), prefix=table.prefix, timeout=table.timeout, max_bytes=table.max_bytes
    )
    if table.key_env and not key:
        source.missing = f"{table.key_env} is not set in the environment"
    elif not is_sendable:
        source.missing = f"{table.key_env} holds what no key may have: other than printable ASCII"
    return source
