"""Words: what of a text is indexed, and what of a question is searched for. Nothing here is ever FTS5's query syntax."""

import re
import unicodedata

from greenroom.agents.unspaced import UNSPACED

LONGEST_QUERY = 2_000
_MOST_WORDS = 48
_UNSPACED = re.compile(f"[{UNSPACED}]+")
_WORD = re.compile(r"[^\W_]+")
_SHORTENED = re.compile(r"['’](?:s|t|d|m|re|ve|ll)\b", re.IGNORECASE)
_STOPWORDS = frozenset(
    re.findall(
        r"\S+",
        """
        a about all also am an and any are as at be been but by can could couldn did didn do does doesn doing don each
        ever for from get go got had has hasn have haven having he hello her here hey hi him his how i if in into is
        isn it its just know let like long many may me might more much my need no not now of often ok okay on one only
        or other our out please really shall she should shouldn so some tell than thank thanks that the their them
        then there these they thing this those to too up us very want was wasn we were weren what when where whether
        which who whom whose why will with won would wouldn yes you your
        """,
    )
)
"""Of English, for that is what most questions are in. A question that has no other words is searched by these."""


def searched(query: str) -> str:
    """As much of a question as is searched for: of a long one its beginning and its end."""
    if len(query) <= LONGEST_QUERY:
        return query
    half = LONGEST_QUERY // 2
    return f"{query[: half - 1]}… {query[1 - half :]}"


def words_of(query: str) -> list[str]:
    """The words to search for, each once."""
    text = _SHORTENED.sub(" ", folded(searched(query))).lower()
    if not text.isascii():  # a vowel sign or an accent is part of its word
        text = "".join(c if c.isalnum() or unicodedata.category(c)[0] == "M" else " " for c in text)
    words = dict.fromkeys(_WORD.findall(text) if text.isascii() else text.split())
    telling = [word for word in words if word not in _STOPWORDS]
    return (telling or list(words))[:_MOST_WORDS]


def folded(text: str) -> str:
    """The text with one form for what looks alike (a PDF's ligatures, full width), its unspaced runs as pairs of characters
    that overlap, and without lone surrogates, which SQLite does not take."""
    if text.isascii():
        return text
    text = unicodedata.normalize("NFKC", text.encode(errors="replace").decode())
    return _UNSPACED.sub(_pairs, text)


def _pairs(run: re.Match[str]) -> str:
    text = run[0]
    return f" {' '.join(text[i : i + 2] for i in range(max(len(text) - 1, 1)))} "
