"""The `[openapi.NAME]` tables of tools files."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from greenroom.sdk import AgentError
from greenroom.tools.http.server import Server
from greenroom.tools.http.settings import HttpTable
from greenroom.tools.http.url import UrlTemplate
from greenroom.tools.openapi.document import Document, read_document
from greenroom.tools.openapi.offer import Wish
from greenroom.tools.openapi.source import PATIENCE, OpenApiSource
from greenroom.tools.tables import read_table


def _address(given: str) -> str:
    try:
        if given and UrlTemplate(given).names:
            raise AgentError(f"{given!r} has places to be filled, and nothing to fill them with")
    except AgentError as problem:
        raise ValueError(str(problem).removeprefix("url: ")) from None
    return given


class DocumentTable(HttpTable):
    """`document` is a file's path, relative to the tools file, or an address. `credentials_env` names the environment's
    variable for each of the document's security schemes."""

    document: str = Field(examples=["https://host/openapi.json"])
    base_url: Annotated[str, AfterValidator(_address)] = ""
    allow: tuple[str, ...] = ()
    prefix: str = Field("", pattern=r"^[A-Za-z0-9_-]{0,32}$")
    credentials_env: dict[str, str] = {}


def read_openapi(settings: Mapping[str, Any], name: str, folder: Path) -> OpenApiSource:
    """Raises `AgentError`."""
    table = read_table(DocumentTable, settings, name)
    wish = Wish(table.allow, table.prefix, table.base_url, table.credentials_env)
    server = Server(name, table.timeout, table.headers)
    fetch: Server | None = None
    document: Document | str = table.document
    if table.document.startswith(("http://", "https://")):
        try:
            _address(table.document)
        except ValueError as problem:
            raise AgentError(f"{name}.document: {problem}") from None
        is_there = not table.base_url or urlsplit(table.base_url)[:2] == urlsplit(table.document)[:2]
        fetch = Server(name, PATIENCE, table.headers if is_there else {})
    else:
        document = _in_file(folder / table.document, name)
    return OpenApiSource(server, document, wish, fetch=fetch, max_bytes=table.max_bytes)


def _in_file(path: Path, name: str) -> Document:
    try:
        return read_document(path.read_bytes())
    except OSError as problem:
        raise AgentError(f"{name}.document: cannot read {path}: {problem.strerror}") from None
    except AgentError as problem:
        raise AgentError(f"{name}.document: {path}: {problem}") from None
