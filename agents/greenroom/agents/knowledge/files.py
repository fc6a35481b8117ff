"""The folder that an index is made of: which of its files are read, and what is said of those that are not."""

import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from greenroom.agents.knowledge.cutting import cut
from greenroom.agents.knowledge.passage import Text
from greenroom.sdk import AgentError

logger = logging.getLogger(__name__)

TEXTS = frozenset({".md", ".markdown", ".txt"})
LARGEST = 32 * 1024 * 1024
"""Bytes of one file."""
_NAMED = 5


class Unreadable(Exception):
    """A file that is left out. The message says why."""


@dataclass(frozen=True, slots=True)
class Library:
    """What was read of a folder."""

    passages: list[Text]
    files: int
    """Those that passages came from."""
    left_out: dict[str, str]
    """Files that look as if they should have been read, with why they were not."""


def read_folder(folder: Path, size: int) -> Library:
    """The passages of all Markdown, text and PDF files below a folder, by name; hidden ones are passed over.

    A file that cannot be read is left out with a warning that names it. Raises `AgentError` when nothing in it
    can be read, and for a PDF without pypdf.
    """
    passages: list[Text] = []
    left_out: dict[str, str] = {}
    files = 0

    def leave_out(path: Path, why: str) -> None:
        name = _named(path, folder)
        left_out[name] = why
        logger.warning("knowledge: %s is left out: %s", folder / name, why)

    for path in _files(folder, lambda error: leave_out(Path(error.filename), f"it cannot be read ({error.strerror})")):
        try:
            found = _read(path, _named(path, folder), folder, size)
        except Unreadable as problem:
            leave_out(path, str(problem))
            continue
        files += 1
        passages += found
    if not passages:
        why = "".join(f"; {source} {problem}" for source, problem in list(left_out.items())[:_NAMED])
        raise AgentError(f"knowledge: {folder} has no Markdown, text or PDF file with text in it{why}")
    return Library(passages, files, left_out)


def _named(path: Path, folder: Path) -> str:
    """Its path below the folder; a name may have bytes that are no UTF-8."""
    return os.fsencode(path.relative_to(folder).as_posix()).decode(errors="replace")


def _files(folder: Path, refused: Callable[[OSError], None]) -> Iterator[Path]:
    for place, folders, names in os.walk(folder, onerror=refused):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(place, name)
            if not name.startswith(".") and path.suffix.lower() in {*TEXTS, ".pdf"}:
                yield path


def _read(path: Path, source: str, folder: Path, size: int) -> list[Text]:
    try:
        if path.is_symlink() and not path.resolve(strict=True).is_relative_to(folder.resolve()):
            raise Unreadable("it is a link out of the folder")
        if not path.is_file():
            raise Unreadable("it is no regular file")
        if (length := path.stat().st_size) > LARGEST:
            raise Unreadable(f"it has {length} bytes, and {LARGEST} are the most")
        data = path.read_bytes()
    except OSError as error:
        raise Unreadable(f"it cannot be read ({error.strerror})") from None
    except RuntimeError:  # Python 3.11 and 3.12 say so of a link to itself
        raise Unreadable("it is a link without an end") from None
    found = _pdf(data, source, size) if path.suffix.lower() == ".pdf" else _text(data, source, size)
    if not found:
        raise Unreadable("it has no text")
    return found


def _text(data: bytes, source: str, size: int) -> list[Text]:
    try:
        return cut(data.decode("utf-8-sig"), source, size)
    except UnicodeDecodeError as error:
        raise Unreadable(f"it is not UTF-8 (byte {error.start})") from None


def _pdf(data: bytes, source: str, size: int) -> list[Text]:
    try:
        from pypdf import PdfReader  # noqa: PLC0415  # an optional extra
    except ModuleNotFoundError:
        raise AgentError(f"knowledge: {source} needs pypdf: pip install 'greenroom[knowledge]'") from None
    try:
        pages = [page.extract_text() for page in PdfReader(BytesIO(data)).pages]
    except Exception as error:  # whatever is in a broken PDF, pypdf has many ways to refuse it
        raise Unreadable(f"it is no PDF that can be read ({type(error).__name__}: {error})") from None
    return [text for number, page in enumerate(pages, 1) for text in cut(page, source, size, number)]
