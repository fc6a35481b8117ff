"""How a customer feels, by their own words."""

import re
from collections.abc import Iterable

from greenroom.agents.support.intents import Intent

_ANGER = re.compile(
    r"\b(?:ridiculous|unacceptable|terrible|horrible|awful|worst|useless|angry|furious|outrageous|pathetic"
    r"|joke of|scam|fraud|thieves|sick of|fed up|frustrat\w+"
    r"|annoy\w+|disgust\w+|incompetent|garbage|trash|rubbish|bullshit|wtf|hell|damn|disappointed|sue|lawyer"
    r"|never again|liars?|waste of|hate)\b|\w.{12,}!{3,}"
)
_ABUSE = re.compile(
    r"\b(?:f+u+c+k\w*|shit\w*|bitch\w*|asshole\w*|bastard\w*|idiots?|stupid|moron\w*|dumb\w*|shut up"
    r"|screw you|go to hell|you suck|piece of (?:crap|junk)|cretin|imbecile)\b|\b[fs][*#@]{2,}\w*"
)
_WORRY = re.compile(
    r"\b(?:worried|worry|worrying|anxious|stress\w*|panic\w*|desperate\w*|urgent\w*|emergency|scared|afraid"
    r"|upset|crying|overwhelmed|can not afford|rent|broke|struggling|tight"
    r"|please help|really need|lose my job|salary|hospital|medicine|sick|exhausted|running out|depend\w* on"
    r"|nervous|concerned|so late|birthday|wedding|baby)\b"
)
_JOY = re.compile(
    r"\b(?:awesome|amazing|great|love|wonderful|fantastic|perfect|brilliant|happy|excited|haha|lol)\b|[:;]-?\)"
)
_LATE = re.compile(r"\b(?:late|delayed|overdue|supposed to|was told|still (?:not|no|waiting)|never (?:came|arrived))\b")
_MOODS = (("let_down", _LATE), ("angry", _ANGER), ("abusive", _ABUSE), ("worried", _WORRY), ("happy", _JOY))
_LET_DOWN = frozenset({Intent.PROBLEM, Intent.LATE})


def moods_in(text: str, shouted: bool, intents: Iterable[Intent]) -> frozenset[str]:
    """Of angry, abusive, worried, happy and let_down (something went wrong), those that are heard in plain words."""
    moods = {name for name, pattern in _MOODS if pattern.search(text)}
    if shouted:
        moods.add("angry")
    if not _LET_DOWN.isdisjoint(intents):
        moods.add("let_down")
    return frozenset(moods)
