"""How a router decides: by words, by patterns, by likeness to examples, or by a function of the author's."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rapidfuzz import fuzz, utils

from greenroom.agents.unspaced import UNSPACED
from greenroom.sdk import AgentError

LIKE_ENOUGH = 0.6
"""The least likeness to an example, from 0 to 1, that decides."""
_UNSPACED_LETTER = re.compile(f"[{UNSPACED}]")
_COMPARED = 1000
"""Characters of a text that examples are compared with: the time it takes grows with them."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Who is to reply, and why: `by` is "rule", "example", "function", "hand_off", "last" or "default"; `score` is the
    likeness to an example, from 0 to 1."""

    agent: str
    by: str
    why: str = ""
    score: float | None = None


class Rule:
    """Turns whose text has one of the `keywords` (whole words, in any case), or matches the `pattern` (a regular expression,
    searched for), go to the agent. Raises `AgentError` for a rule without either, or a pattern that is none."""

    def __init__(self, agent: str, *, keywords: Sequence[str] = (), pattern: str = "") -> None:
        if isinstance(keywords, str):
            raise AgentError(f"the rule for {agent}: keywords are a list, not a text")
        self.agent = agent
        words = "|".join(_whole(word.strip()) for word in keywords if word.strip())
        if not words and not pattern:
            raise AgentError(f"the rule for {agent} names neither keywords nor a pattern")
        self._words = re.compile(words, re.IGNORECASE) if words else None
        try:
            self._pattern = re.compile(pattern, re.IGNORECASE) if pattern else None
        except re.error as problem:
            raise AgentError(f"the rule for {agent}: {pattern!r} is no regular expression: {problem}") from None

    def match(self, text: str) -> Choice | None:
        """The choice, with what was found."""
        for kind, sought in (("keyword", self._words), ("pattern", self._pattern)):
            if sought is not None and (found := sought.search(text)):
                return Choice(self.agent, "rule", f"{kind} {found[0][:100]!r}")
        return None


def _whole(word: str) -> str:
    """A keyword as a pattern: no letter stands beside its ends, but those of scripts that put no spaces between words."""
    before, after = (
        "" if _UNSPACED_LETTER.match(end) else rf"(?{look}[^\W{UNSPACED}])"
        for look, end in (("<!", word[0]), ("!", word[-1]))
    )
    return f"{before}{re.escape(word)}{after}"


class Examples:
    """What users say to each agent; the nearest one decides, by the words it shares with the beginning of the text
    (rapidfuzz's token set ratio: order, case and punctuation do not count)."""

    def __init__(self, texts: Mapping[str, Sequence[str]], least: float = LIKE_ENOUGH) -> None:
        self._least = least
        self._texts = [
            (agent, text, utils.default_process(text)) for agent, examples in texts.items() for text in examples
        ]

    def match(self, text: str) -> Choice | None:
        """The choice by the nearest example; None where none is near enough, or there are none."""
        asked = utils.default_process(text[:_COMPARED])
        best: Choice | None = None
        for agent, example, processed in self._texts:
            score = round(fuzz.token_set_ratio(asked, processed) / 100, 4)
            if score >= self._least and (best is None or score > (best.score or 0)):
                best = Choice(agent, "example", f"like {example[:100]!r}", score)
        return best
