"""The tools of a source as a cassette knows them: nobody needs to be there when all is replayed."""

from collections.abc import Mapping
from typing import Any

import msgspec

from greenroom.core.cassettes.cassette import Cassette
from greenroom.core.cassettes.recording import Recording, key_of, sorted_json
from greenroom.core.plain import to_json
from greenroom.core.redaction import DocumentRedactor
from greenroom.core.tool_source import ToolSource
from greenroom.core.tools import Tool, ToolError

_NO_REQUEST = sorted_json({})


class RecordedSource(ToolSource):
    """In the place of the source of this name."""

    def __init__(self, name: str, agent: str, cassette: Cassette) -> None:
        self._name = name
        self._file = cassette.path.name
        found = cassette.find(_key(agent, name), 0, 1)
        listed: list[dict[str, Any]] = [] if found is None else msgspec.json.decode(found.response)
        self._tools = tuple(Tool.described(**each, function=self._call) for each in listed)

    @property
    def name(self) -> str:
        return self._name

    @property
    def tools(self) -> tuple[Tool[..., Any], ...]:
        return self._tools

    def problem(self) -> str:
        return "" if self._tools else f"{self._file} does not know its tools, and is all there is to ask"

    async def _call(self, arguments: Mapping[str, Any]) -> Any:
        raise ToolError(f"{self._name} is replayed, and was not asked this", code="not_recorded")


def record_tools(agent: str, sources: tuple[ToolSource, ...], cassette: Cassette, redactor: DocumentRedactor) -> None:
    """Adds what tools the sources have, once they have said it and where the cassette does not know it."""
    agent = redactor.text(agent)
    for source in sources:
        if source.tools and cassette.find(_key(agent, source.name), 0, 1) is None:
            listed = [
                {"name": tool.name, "description": tool.description, "parameters": tool.signature.schema()}
                for tool in source.tools
            ]
            recording = Recording(
                agent=agent,
                scenario="",
                turn=0,
                kind="tools",
                name=source.name,
                request=msgspec.Raw(_NO_REQUEST),
                response=msgspec.Raw(redactor.text(to_json(listed)).encode()),  # a parameter may be named password
            )
            cassette.add((recording,))


def _key(agent: str, source: str) -> bytes:
    return key_of(agent, "", "tools", source, _NO_REQUEST)
