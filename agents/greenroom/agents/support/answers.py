"""Whether a message says yes or no to a question of ours, in plain words (see `spelling`)."""

import re

_YES = re.compile(
    r"^\W*(?:(?:oh|well|um|hmm|please|and|so|no (?:problem|worries|issue|objection)s?)\W+)*"
    r"(?:yes|sure|okay|alright|all right|right|correct|confirm(?:ed)?|go ahead|do it|do that|do so|please do"
    r"|proceed|absolutely|definitely"
    r"|of course|exactly|affirmative|fine|sounds good|perfect|great|good|i do|i am sure|i confirm"
    r"|i would like that|that is (?:right|correct|fine|good|it|okay)"
    r"|that works|works for me|yes please|please$|go for it|make it so|why not|carry on|let us do"
    r"|it is (?:right|correct)|looks (?:good|right|correct)|i agree|agreed"
    r"|please (?:go|proceed|confirm|cancel|refund|change|do))\b"
)
_NO = re.compile(
    r"^\W*(?:(?:oh|well|um|hmm|actually|sorry|okay|wait|please|and|so|yes)\W+)*"
    r"(?:no|not|do not|never|never mind|forget (?:it|about it|that)|leave (?:it|that)|keep (?:it|the|my)|stop"
    r"|hold on|wait|changed my mind|i (?:have )?changed my mind"
    r"|rather not|i would rather not|i (?:do not|would not|will not)|cancel that request|let it be|hang on"
    r"|on second thought|scratch that|negative|abort|none)\b"
    r"|\b(?:do not|never) (?:cancel|refund|change|do (?:it|that)|proceed|go ahead|touch|connect)\b|\b(?:keep it"
    r"|keep the order|keep my order|changed my mind|never mind)\b"
)
_NOT_A_NO = re.compile(r"^\W*(?:no (?:problem|worries|issue|objection)s?|why not|not a problem|no doubt)\b")
_HEDGE = re.compile(
    r"\b(?:but|wait|first|before (?:you|that|i)|unless|if|hmm|not sure|maybe|later|hold on|however"
    r"|think about)\b|^\W*\w+\W*\?\W*$"
)
_RETRY = re.compile(r"\b(?:try|check|do)\b.{0,15}\bagain\b|\bretry\b|\bonce more\b|\banother try\b")


def answer_in(text: str) -> str:
    """ "yes", "no" or "". Where both are heard it is a no."""
    if _NO.search(text) and not _NOT_A_NO.search(text):
        return "no"
    return "yes" if _YES.search(text) or _NOT_A_NO.search(text) else ""


def is_hedged(text: str) -> bool:
    """Whether a yes has a "but" in it."""
    return bool(_HEDGE.search(text))


def asks_to_retry(text: str) -> bool:
    """Whether what failed shall be tried again."""
    return bool(_RETRY.search(text))
