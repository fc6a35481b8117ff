"""PostgreSQL's text cannot hold U+0000, ours can: it is stored as two characters, and so is the one that marks it.

U+0010 ("data link escape") is the mark, for being about as rare. All other text is stored as it is. Two texts that differ
are stored differently, so equality holds in the database too.
"""

_MARK = "\x10"


def escape(text: str) -> str:
    if _MARK not in text and "\0" not in text:
        return text
    return text.replace(_MARK, _MARK + "1").replace("\0", _MARK + "0")


def unescape(text: str) -> str:
    if _MARK not in text:
        return text
    return text.replace(_MARK + "0", "\0").replace(_MARK + "1", _MARK)
