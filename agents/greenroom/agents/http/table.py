"""The `[http]` and `[openai]` tables of agent files."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field

from greenroom.agents.http.agent import HttpAgent
from greenroom.agents.http.answer import AnswerPaths
from greenroom.agents.http.openai_agent import OpenAiAgent
from greenroom.sdk import AgentError
from greenroom.tools.tables import Table, read_table


class HttpTable(Table):
    """As `HttpAgent` takes them; `request` and `scenarios` are beside the file."""

    url: str = Field(examples=["https://host/chat"])
    reply: str = Field(examples=["$.answer"])
    request: str | None = None
    tools: str = ""
    confidence: str = ""
    evaluation: str = ""
    metadata: str = ""
    keep: dict[str, str] = {}
    headers: dict[str, str] = {}
    name: str = ""
    scenarios: str | None = None


class OpenAiTable(Table):
    """As `OpenAiAgent` takes them; `api_key_env` names the environment variable that has the key."""

    url: str = Field(examples=["https://host/v1"])
    model: str = ""
    api_key_env: str = ""
    headers: dict[str, str] = {}
    name: str = ""
    instructions: str = ""
    scenarios: str | None = None


def read_http(settings: Mapping[str, Any], folder: Path) -> HttpAgent:
    """Raises `AgentError`."""
    table = read_table(HttpTable, settings, "http")
    names = AnswerPaths.__dataclass_fields__
    return HttpAgent(
        table.url,
        AnswerPaths(**{name: getattr(table, name) for name in names}),
        request=None if table.request is None else folder / table.request,
        headers=table.headers,
        name=table.name,
        scenarios=None if table.scenarios is None else folder / table.scenarios,
    )


def read_openai(settings: Mapping[str, Any], folder: Path) -> OpenAiAgent:
    """Raises `AgentError`."""
    table = read_table(OpenAiTable, settings, "openai")
    key = ""
    if table.api_key_env:
        key = os.environ.get(table.api_key_env, "")
        if not key:
            raise AgentError(f"openai.api_key_env: {table.api_key_env} is not set in the environment")
    return OpenAiAgent(
        table.url,
        model=table.model,
        api_key=key,
        headers=table.headers,
        name=table.name,
        instructions=table.instructions,
        scenarios=None if table.scenarios is None else folder / table.scenarios,
    )
