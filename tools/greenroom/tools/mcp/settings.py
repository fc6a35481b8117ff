"""What a tools file's `[mcp.NAME]` table says of a server, or `McpServer` is given."""

import os
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from greenroom.sdk import AgentError
from greenroom.tools.headers import from_environment
from greenroom.tools.tables import Table


def _filled(headers: dict[str, str]) -> dict[str, str]:
    try:
        return from_environment(headers)
    except AgentError as problem:
        raise ValueError(str(problem)) from None


class McpSettings(Table):
    """`command`: a program with its arguments; or `url`: where the server answers. Of secrets only the names stand here."""

    command: str | tuple[str, ...] = ()
    url: str = ""
    env: dict[str, str] = {}
    """Variables for the program, beside those few that every server gets (PATH, HOME and their like)."""
    env_from: tuple[str, ...] = ()
    """Variables of our own environment that the program gets too."""
    headers: Annotated[dict[str, str], AfterValidator(_filled)] = {}
    """Headers of each request; `${NAME}` in them is the environment's."""
    header_env: dict[str, str] = {}
    """Headers whose values are in our environment: header to variable."""
    bearer_env: str = ""
    """The variable that holds the token for `Authorization: Bearer`."""
    allow: tuple[str, ...] = ()
    """Which of its tools: names, or patterns such as `get_*`. Without it, all."""
    prefix: str = ""
    """What their names begin with here."""
    timeout: float = Field(30.0, gt=0)
    """Seconds for each call."""
    connections: int = Field(1, ge=1, le=64)
    """How many connections share the calls; each has a process of its own, or a session."""

    def mistake(self) -> str:
        """What does not go together; "" for nothing."""
        if bool(self.command) == bool(self.url):
            return 'it has a command or a url, for instance command = ["python", "shop.py"]'
        if self.url and (self.env or self.env_from):
            return "env and env_from are for a command"
        if self.command and (self.headers or self.header_env or self.bearer_env):
            return "headers, header_env and bearer_env are for a url"
        parts = urlsplit(self.url)
        if self.url and (parts.scheme not in ("http", "https") or not parts.hostname):
            return "url: it begins with http:// or https:// and a host"
        return ""

    def variables(self) -> list[str]:
        """What it needs of our environment."""
        return [*self.env_from, *self.header_env.values(), *filter(None, [self.bearer_env])]

    def all_variables(self) -> dict[str, str]:
        """What its program gets, beside what every server gets. Raises `KeyError`."""
        return {**self.env, **{name: os.environ[name] for name in self.env_from}}

    def all_headers(self) -> dict[str, str]:
        """What goes out with each request. Raises `KeyError`."""
        bearer = {"Authorization": f"Bearer {os.environ[self.bearer_env]}"} if self.bearer_env else {}
        return {**self.headers, **{name: os.environ[variable] for name, variable in self.header_env.items()}, **bearer}
