"""Cuts a text into passages: at headings first, then between paragraphs, and within one only where it is too long."""

import re
from collections.abc import Iterator

from greenroom.agents.knowledge.passage import Text

_FRONT_MATTER_END = re.compile(r"^(?:---|\.\.\.)[ \t]*$", re.MULTILINE)
_FRONT_MATTER_LINE = re.compile(r"[\w.-]+:|[ \t#-]|$")
_TITLE = re.compile(r"^title:[ \t]*(.+)$", re.MULTILINE)
_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})")
_UNDERLINE = re.compile(r"^ {0,3}(=+|-{2,})[ \t]*$")
_NUMBERED = re.compile(r"^(?:\[\d{1,4}\]|(?:document|source|passage) \d{1,4} ?:)(?!\()", re.IGNORECASE)
"""How prompts mark the documents in them: each begins a passage."""
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\u2028\u2029\ufeff]")
_SENTENCE_END = re.compile(r"[.!?。！？](?=\s|[\"'”’)\]]|$)|[。！？]")
_LONGEST_HEADING = 200


def cut(text: str, source: str, size: int, page: int | None = None) -> list[Text]:
    """The passages of a text, each of at most `size` characters, in order; the same one twice is there once."""
    text = clean(text)
    title, text = _titled(text)
    found: dict[Text, None] = {}
    for heading, paragraphs in _sections(text, title):
        for piece in _packed(paragraphs, size):
            found[Text(source, heading, piece, page)] = None
    return list(found)


def clean(text: str) -> str:
    """The text with line breaks of one kind and nothing in it that JSON or a database would not hold."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    text = _CONTROL.sub(" ", text)
    return text if text.isascii() else text.encode(errors="replace").decode()


def _titled(text: str) -> tuple[str, str]:
    """The title in a text's front matter ("" for none), and the text without that."""
    end = _FRONT_MATTER_END.search(text, 4) if text.startswith("---\n") else None
    if end is None or not all(_FRONT_MATTER_LINE.match(line) for line in text[4 : end.start()].splitlines()):
        return "", text
    named = _TITLE.search(text, 4, end.start())
    return named[1].strip(" \t\"'")[:_LONGEST_HEADING] if named else "", text[end.end() :]


def _sections(text: str, title: str) -> Iterator[tuple[str, list[str]]]:
    """Each heading (with those above it) and the paragraphs below it."""
    above: list[tuple[int, str]] = [(0, title)] if title else []
    paragraphs: list[str] = []
    for block in _blocks(text):
        if not isinstance(block, str):
            if paragraphs:
                yield _joined(above), paragraphs
            paragraphs = []
            level, heading = block
            above = [*(entry for entry in above if entry[0] < level and entry[1] != heading), (level, heading)]
        else:
            paragraphs.append(block)
    if paragraphs:
        yield _joined(above), paragraphs


def _joined(above: list[tuple[int, str]]) -> str:
    return " > ".join(heading for _, heading in above)


def _blocks(text: str) -> Iterator[str | tuple[int, str]]:
    """Paragraphs, and headings with their level. A fenced block of code is one paragraph, whatever is in it."""
    lines: list[str] = []
    fence = ""
    for line in text.split("\n"):
        if fence:
            lines.append(line)
            if line.strip().startswith(fence) and not line.strip().strip(fence[0]):
                fence = ""
            continue
        opening = _FENCE.match(line)
        heading = None if opening else _heading(line)
        underlined = None if opening or heading or len(lines) != 1 else _UNDERLINE.match(line)
        if opening:
            fence = opening[1]
            lines.append(line)
        elif heading:
            yield from _paragraph(lines)
            yield heading
            lines = []
        elif underlined:
            yield 1 if underlined[1][0] == "=" else 2, lines[0].strip()[:_LONGEST_HEADING]
            lines = []
        elif line.strip():
            lines.append(line)
        else:
            yield from _paragraph(lines)
            lines = []
    yield from _paragraph(lines)


def _heading(line: str) -> tuple[int, str] | None:
    """Level and text of a line like "## Text ##"; by hand, as a pattern for it can be made to take very long."""
    text = line.strip(" \t")
    named = text.lstrip("#")
    level = len(text) - len(named)
    if not 1 <= level <= 6 or not named.startswith((" ", "\t")) or line.startswith("    "):
        return None
    named = named.strip(" \t")
    unmarked = named.rstrip("#")
    if unmarked.endswith((" ", "\t")):
        named = unmarked.rstrip(" \t")
    return (level, named[:_LONGEST_HEADING]) if named else None


def _paragraph(lines: list[str]) -> Iterator[str]:
    text = "\n".join(line.rstrip() for line in lines).strip("\n")
    if text.strip():
        yield text


def _packed(paragraphs: list[str], size: int) -> Iterator[str]:
    """Paragraphs together, as many as fit."""
    held = ""
    for paragraph in paragraphs:
        if held and (len(held) + 2 + len(paragraph) > size or _NUMBERED.match(paragraph)):
            yield held
            held = ""
        *pieces, last = _pieces(paragraph, size)
        yield from pieces
        held = f"{held}\n\n{last}" if held else last
    if held:
        yield held


def _pieces(paragraph: str, size: int) -> list[str]:
    """A paragraph that is too long, cut at the end of a line or a sentence, else at a space, else anywhere."""
    pieces: list[str] = []
    start = 0
    while len(paragraph) - start > size:
        end = _end_of_piece(paragraph, start, start + size)
        pieces.append(paragraph[start:end].strip())
        start = end
    pieces.append(paragraph[start:].strip() if pieces else paragraph)
    return [piece for piece in pieces if piece] or [paragraph[:size]]


def _end_of_piece(text: str, start: int, end: int) -> int:
    half = (start + end) // 2
    if (line := text.rfind("\n", half, end)) > 0:
        return line
    sentences = [match.end() for match in _SENTENCE_END.finditer(text, half, end)]
    if sentences:
        return sentences[-1]
    space = text.rfind(" ", half, end)
    return space if space > 0 else end
