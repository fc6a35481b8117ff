"""What tables of tools over HTTP have in common."""

from typing import Annotated

from pydantic import AfterValidator, Field

from greenroom.sdk import AgentError
from greenroom.tools.headers import from_environment
from greenroom.tools.tables import Table


def _headers(given: dict[str, str]) -> dict[str, str]:
    try:
        return from_environment(given)
    except AgentError as problem:
        raise ValueError(str(problem)) from None


class HttpTable(Table):
    """`timeout` is in seconds. Of a result longer than `max_bytes` only the beginning is given."""

    headers: Annotated[dict[str, str], AfterValidator(_headers)] = {}
    timeout: float = Field(30.0, gt=0, le=3600)
    max_bytes: int = Field(64 * 1024, ge=100, le=8 * 1024 * 1024)
