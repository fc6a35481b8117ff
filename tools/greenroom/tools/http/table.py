"""The `[http.NAME]` tables of tools files."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from greenroom.sdk import AgentError
from greenroom.tools.http.answer import Selection
from greenroom.tools.http.credentials import Credential, Missing, basic, bearer, from_variable
from greenroom.tools.http.server import Server
from greenroom.tools.http.settings import HttpTable
from greenroom.tools.http.tool import Ask, HttpTool, Send
from greenroom.tools.http.url import UrlTemplate
from greenroom.tools.parameters import Parameters
from greenroom.tools.tables import read_table

_WITHOUT_BODY = ("GET", "HEAD", "DELETE")


class ToolTable(HttpTable):
    """`parameters` is a JSON schema. `*_env` name the environment's variables that hold what lets the tool in."""

    description: str = ""
    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"] = "GET"
    url: str = Field(examples=["https://host/orders/{order_id}"])
    parameters: dict[str, Any] = {}
    send: Send | None = None
    result: str = ""
    bearer_env: str = ""
    basic_env: str = ""
    header_env: dict[str, str] = {}
    query_env: dict[str, str] = {}


def read_http(settings: Mapping[str, Any], name: str, folder: Path) -> HttpTool:
    """Raises `AgentError`."""
    table = read_table(ToolTable, settings, name)
    credentials = _credentials(table)
    try:
        schema = {"type": "object", "properties": {}, **table.parameters}
        ask = Ask(
            table.method,
            UrlTemplate(table.url),
            _parameters(schema),
            table.send or ("query" if table.method in _WITHOUT_BODY else "json"),
            credentials,
        )
        return HttpTool(
            name.partition(".")[2],
            Server(name, table.timeout, table.headers),
            ask,
            description=table.description,
            result=_selection(table.result),
            max_bytes=table.max_bytes,
        )
    except AgentError as problem:
        raise AgentError(f"{name}.{problem}") from None


def _parameters(schema: dict[str, Any]) -> Parameters:
    try:
        return Parameters(schema)
    except AgentError as problem:
        raise AgentError(f"parameters: {problem}") from None


def _selection(source: str) -> Selection | None:
    try:
        return Selection(source) if source else None
    except AgentError as problem:
        raise AgentError(f"result: {problem}") from None


def _credentials(table: ToolTable) -> list[Credential | Missing]:
    return [
        *([bearer(table.bearer_env)] if table.bearer_env else []),
        *([basic(table.basic_env)] if table.basic_env else []),
        *(from_variable(variable, "header", name.lower()) for name, variable in table.header_env.items()),
        *(from_variable(variable, "query", name) for name, variable in table.query_env.items()),
    ]
