"""A passage: a piece of a text that is short enough to be put into a prompt, with where it stands."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as validated

from greenroom.sdk import AgentError


@dataclass(frozen=True, slots=True)
class Text:
    """A passage as it is indexed."""

    source: str
    """The file's path in its folder, or "context/2": the second system text of the turn."""
    heading: str
    """The headings above it, outermost first, joined by " > "."""
    text: str
    page: int | None = None
    """The page of a PDF, from 1."""

    @property
    def id(self) -> str:
        """The same for as long as the passage stays as it is, where it is."""
        said = f"{self.page}\0{self.heading}\0{self.text}".encode(errors="replace")
        return f"{self.source}#{hashlib.blake2b(said, digest_size=5).hexdigest()}"


@validated(frozen=True)
class Passage:
    """A passage that a search has found. `score`, `coverage` and `similarity`: see docs/knowledge.md."""

    text: str
    source: str = ""
    heading: str = ""
    page: int | None = None
    id: str = ""
    score: float = 0.0
    """How well it fits, bigger is better; to be compared within one search alone."""
    coverage: float = 0.0
    """0 to 1: how much of what was asked for it speaks of, the rare words weighing more."""
    similarity: float | None = None
    """-1 to 1: the cosine of its vector and the query's; None without `embed`."""

    @property
    def where(self) -> str:
        """Where it stands, for people: "guide.md, Returns > Refunds", "manual.pdf, page 3"."""
        page = "" if self.page is None else f"page {self.page}"
        return ", ".join(filter(None, (self.source, self.heading, page)))

    def as_json(self) -> dict[str, Any]:
        """As the tool returns it, and as the evidence shows it."""
        found: dict[str, Any] = {"id": self.id, "source": self.source, "heading": self.heading}
        if self.page is not None:
            found["page"] = self.page
        found |= {"text": self.text, "score": round(self.score, 4), "coverage": round(self.coverage, 4)}
        if self.similarity is not None:
            found["similarity"] = round(self.similarity, 4)
        return found


@dataclass(frozen=True, slots=True)
class Found:
    """What the search tool returns."""

    passages: list[Passage]

    def as_json(self) -> dict[str, Any]:
        return {"passages": [passage.as_json() for passage in self.passages]}


_FOUND: TypeAdapter[Found] = TypeAdapter(Found)


def read_found(result: object, tool: str) -> list[Passage]:
    """The passages in a tool's result. Raises `AgentError` for another shape: a scenario may have put anything there."""
    try:
        return _FOUND.validate_python(result).passages
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise AgentError(
            f'{tool} returned no passages ({where}: {first["msg"]}): it returns {{"passages": [{{"text": "…"}}]}}'
        ) from None


def as_prompt(passages: Iterable[Passage]) -> str:
    """The passages as a text for a model, numbered from 1; "" for none."""
    return "\n\n".join(f"[{number}] {found.where}\n{found.text}" for number, found in enumerate(passages, 1))
