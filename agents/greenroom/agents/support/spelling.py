"""From what a customer typed to plain lower-case words: shorthand written out, slips of the keyboard mended."""

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

from rapidfuzz import process
from rapidfuzz.distance import OSA

from greenroom.agents.support.vocabulary import KEYWORDS, NEIGHBOURS, SHORTHAND

LONGEST = 4000
"""Characters listened to; who writes more has said it by then."""

_WORD = re.compile(r"[a-z]+(?:'[a-z]+)?")
_QUOTES = str.maketrans({"\u2019": "'", "\u2018": "'", "\u00b4": "'", "`": "'", "\u201c": '"', "\u201d": '"'})
_STRETCHED = re.compile(r"([a-z])\1{2,}")
_ABBREVIATED = re.compile(r"\bno\.?\s?(?=#?\d)")
_PLURAL_OWNER = re.compile(r"(?<=s)'(?!\w)")
_SPACES = re.compile(r"[^\S\n]+")


@dataclass(frozen=True, slots=True)
class Plain:
    """`mended` counts words that had to be guessed."""

    text: str
    mended: int


def plain(text: str) -> Plain:
    """Lower case, apostrophes straightened, shorthand written out, typos in keywords mended. Digits and signs stay."""
    text = _PLURAL_OWNER.sub("", _ABBREVIATED.sub("number ", tidy(text).lower()))
    mended = 0

    def replace(match: re.Match[str]) -> str:
        nonlocal mended
        word = match[0]
        known = SHORTHAND.get(word)
        if known is not None:
            return known
        guess = _mend(word.removesuffix("'s"))
        mended += guess != word and not word.endswith("'s")
        return guess

    return Plain(_WORD.sub(replace, text), mended)


def tidy(text: str) -> str:
    """As typed, but without odd quotes, stretched white space and control characters."""
    text = text[:LONGEST]
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text).translate(_QUOTES)
    return _SPACES.sub(" ", text).strip()


@lru_cache(maxsize=4096)
def _mend(word: str) -> str:
    word = _STRETCHED.sub(r"\1\1", word)
    if len(word) < 4 or len(word) > 16 or word in KEYWORDS or word in NEIGHBOURS:
        return word
    slips = 1 if len(word) < 7 else 2
    best = process.extractOne(word, KEYWORDS_SORTED, scorer=OSA.distance, score_cutoff=slips)
    if best is None or (best[0][0] != word[0] and len(word) < 6):
        return word
    return str(best[0]) if len(best[0]) >= 5 or best[1] == 1 else word


KEYWORDS_SORTED = tuple(sorted(KEYWORDS))
"""A fixed order, so that a tie always falls the same way."""
