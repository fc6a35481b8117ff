"""`Knowledge`: what an agent may look up, as a tool and as context for a prompt."""

import asyncio
import logging
import re
import sys
from collections.abc import Sequence
from contextvars import Context
from pathlib import Path
from time import perf_counter
from typing import Any

from greenroom.agents.knowledge.documents import documents_in
from greenroom.agents.knowledge.files import Library, read_folder
from greenroom.agents.knowledge.passage import Found, Passage, Text, as_prompt, read_found
from greenroom.agents.knowledge.shelf import Shelf, filled, find
from greenroom.agents.knowledge.vectors import Embed, Embedding
from greenroom.agents.knowledge.words import searched
from greenroom.sdk import AgentError, Tool, ToolError, Turn, tool

logger = logging.getLogger(__name__)

DESCRIPTION = "Search the knowledge base and the documents of this conversation. Returns the passages that fit best."
MOST_PASSAGES = 20
SIZES = range(100, 8001)


class Knowledge:
    """A folder of Markdown, text and PDF files, searched by passages; with them, the documents that a turn brings along.

    `folder` is looked for beside the module that makes the object, then in the current folder; None: there are the turn's
    documents alone. `name` and `description` are what a model is told of the tool. A search gives the `top` best passages,
    each of at most `size` characters. `embed` makes vectors of texts, `async def` or `def`; with it, meaning counts as much
    as words.
    """

    def __init__(
        self,
        folder: str | Path | None = None,
        *,
        name: str = "search_knowledge",
        description: str = DESCRIPTION,
        top: int = 4,
        size: int = 800,
        embed: Embed | None = None,
    ) -> None:
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", name):
            raise AgentError(f"knowledge: name {name!r} is no tool's name: 1 to 64 of A-Z, a-z, 0-9, _ and -")
        if folder == "":
            raise AgentError("knowledge: folder is empty; leave it out to search the turn's documents alone")
        if not 1 <= top <= MOST_PASSAGES:
            raise AgentError(f"knowledge: top is 1 to {MOST_PASSAGES} passages, not {top}")
        if size not in SIZES:
            raise AgentError(f"knowledge: size is {SIZES.start} to {SIZES.stop - 1} characters, not {size}")
        self.name = name
        self.top = top
        self.size = size
        self.left_out: dict[str, str] = {}
        """Files of the folder that could not be read, with why not."""
        self._folder = None if folder is None else Path(folder)
        self._home = Path(str(sys._getframe(1).f_globals.get("__file__") or "")).parent
        self._embedding = None if embed is None else Embedding(embed)
        self._shelf: Shelf | None = None
        self._filling: asyncio.Task[Shelf] | None = None
        self.tool: Tool[..., Any] = self._search_tool(name, description)
        """The search, for `Agent(tools=[…])`. Takes `query`; returns {"passages": […]} (see `Passage.as_json`)."""

    def documents(self, turn: Turn) -> Sequence[str]:
        """The texts of a turn that are searched beside the folder: its system texts (CHAT-11). What a subclass returns
        here is searched instead."""
        return turn.context

    async def load(self) -> None:
        """Reads and indexes the folder: `agent.on_startup(knowledge.load)`. Without it the first search does. Raises
        `AgentError` when there is nothing to read, or `embed` fails; the next search then tries again."""
        if self._folder is not None and self._shelf is None:
            await self._loaded(self._folder)

    async def passages(self, turn: Turn, query: str | None = None) -> list[Passage]:
        """What fits best, best first; by default to what the user just said. It is a call of the tool, recorded and
        scripted as such; a question without a word is none. Raises `ToolFailed`."""
        wanted = searched(turn.text if query is None else query)
        if not wanted.strip():
            return []
        return read_found(await turn.call(self.tool, query=wanted), self.name)

    async def context(self, turn: Turn, query: str | None = None) -> str:
        """`passages` as a text for a prompt, numbered, each under where it stands; "" when nothing fits."""
        return as_prompt(await self.passages(turn, query))

    def _search_tool(self, name: str, description: str) -> Tool[..., Any]:
        async def search(turn: Turn, query: str) -> dict[str, Any]:
            try:
                found = await self._search(turn, query)
            except AgentError:  # it may name a path, or quote what an embedding's host said
                logger.exception("%s failed: session %s", name, turn.session_id)
                raise ToolError("nothing can be looked up now", code="unavailable") from None
            return Found(found).as_json()

        search.__doc__ = f"{description}\n\nArgs:\n    query: What to look for: a question, or the words that matter."
        return tool(name=name)(search)

    async def _search(self, turn: Turn, query: str) -> list[Passage]:
        shelf = None if self._folder is None else self._shelf or await self._loaded(self._folder)
        texts = self.documents(turn)
        own = await asyncio.to_thread(documents_in, texts, self.size) if texts else []
        return await find(shelf, own, query, self.top, self._embedding)

    async def _loaded(self, folder: Path) -> Shelf:
        """The folder's shelf, filled once however many ask for it at a time."""
        filling = self._filling
        if filling is None or filling.done() or filling.get_loop() is not asyncio.get_running_loop():
            # Apart from the turn that happens to come first: neither its end nor what it carries concerns the others.
            filling = self._filling = asyncio.create_task(self._fill(folder), context=Context())
        return await asyncio.shield(filling)

    async def _fill(self, folder: Path) -> Shelf:
        began = perf_counter()
        beside = self._home / folder
        place = beside if beside.is_dir() else folder
        if not place.is_dir():
            raise AgentError(f"knowledge: there is no folder {folder} (looked in {self._home} and here)")
        library: Library = await asyncio.to_thread(read_folder, place, self.size)
        self.left_out = library.left_out
        texts: list[Text] = library.passages
        self._shelf = shelf = await filled(texts, self._embedding)
        self._filling = None
        seconds = perf_counter() - began
        logger.info("knowledge: %d passages of %d files in %s, %.1f s", len(texts), library.files, place, seconds)
        return shelf
