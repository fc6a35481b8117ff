"""Order numbers and addresses in what a customer wrote."""

import re

_DIGIT_WORDS = {
    word: str(digit)
    for digit, names in enumerate(("zero oh", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"))
    for word in names.split()
}
_DIGIT_WORD = "|".join(_DIGIT_WORDS)
_SPOKEN = re.compile(rf"\b(?:{_DIGIT_WORD})(?:[\s-]+(?:{_DIGIT_WORD})){{3,}}\b")
_SPACED = re.compile(r"(?<![\d.])\d(?:[ -]\d){3,}(?!\d)")
_GROUPED = re.compile(
    r"((?:#|\border|\bnumber|\bno\.?|\bid|\bis|\bparcel|\bpackage)\s?#?\s?)(\d{1,3})[ ,-](\d{2,3})(?![\d,])"
)

_NAMED = re.compile(
    r"(?:#\s?(?P<hash>[a-z]{0,4}-?\d{1,14})"
    r"|\b(?:order|parcel|package|shipment|delivery)(?:'s)?(?:\s?(?:number|no\.?|id|ref|reference|code))?"
    r"\s?(?:is|was|=|:|-|\.|\()?\s?(?P<named>\d{3,14})"
    r"|\b(?:number|no\.?|id|reference)\s?(?:is|was|=|:|-)?\s?(?P<numbered>\d{3,14})"
    r"|\bord(?:er)?[-_]?(?P<coded>\d{3,14}))(?![\d%])"
)
_BARE = re.compile(r"(?<![\w#$€£₹.,/+-])(?P<bare>\d{3,14})(?![\w%/]|[.,:]\d)")
_MONEY_BEFORE = re.compile(
    r"(?:\b(?:rs|inr|usd|eur|gbp|rupees|pin|pincode|zip|postcode|code|phone|mobile|call|extension)\.?\s?(?:code"
    r"|is|:|at|on)?\s?)$"
)
_UNIT_AFTER = re.compile(
    r"\s?(?:rs|inr|usd|eur|dollars?|rupees?|bucks|euros?|pounds?|days?|hours?|hrs?|minutes?|mins?|seconds?"
    r"|weeks?|months?|years?"
    r"|times?|items?|pieces?|pcs|people|km|kms|miles|am|pm|percent|points?)\b"
)

_NOT_OF_AN_ORDER = re.compile(r"\b(?:phone|mobile|contact|telephone|tracking|card|account|flat|house|whatsapp)\s$")

_STREET = re.compile(
    r"\b(?:street|st|road|rd|avenue|ave|lane|ln|drive|dr|boulevard|blvd|way|square|court|place|apartment|apt"
    r"|flat|floor|block"
    r"|sector|phase|layout|nagar|colony|cross|main|house|building|tower|residency|apartments|suite|unit|box"
    r"|marg|park)\b",
    re.IGNORECASE,
)
_ADDRESS_LEAD = re.compile(
    r"(?:\baddress\b(?:(?!\baddress\b).){0,60}?(?:\bto\b|\bis\b|:|\binto\b|->|=)"
    r"|\b(?:deliver|ship|send|redirect|reroute|move|forward|divert)\b.{0,50}?\bto\b"
    r"|\b(?:change|update|correct|edit)\b.{0,50}?\bto\b|\b(?:moved|moving) to\b|\b(?:it )?should be\b|^make it\b"
    r"|\bi meant\b)[\s:]*",
    re.IGNORECASE | re.DOTALL,
)
_ADDRESS_ENDS = re.compile(
    r"(?:[?!]|\.\s+(?=(?:also|and|where|what|when|can|could|please|pls|i|is|thanks|thank|tell|cancel|my|it|you)\b)"
    r"|,?\s+(?:and|then)\s+(?=(?:also|cancel|refund|where|what|when|can|could|please|tell|track|i|my|let|give)\b)"
    r"|,?\s+(?:please|pls|plz|instead|thanks|thank you|asap)\b|\s+for (?:my )?order\b"
    r"|,?\s+(?:not|instead of|because|since|as)\s).*$",
    re.IGNORECASE | re.DOTALL,
)
_ADDRESS_OPENS = re.compile(
    r"^(?:(?:certainly|of course|absolutely|great|thanks|thank you|alright|hello|sure|ok|okay|yes|well|hi|no|so|sorry|actually"
    r"|it is|it's|its|here is|here's|the|my|new|correct|full|address|is|would be|should be|use|please|to|go|be|sent|delivered"
    r"|deliver it to|i meant|make it)\b[\s,:.!-]*)+",
    re.IGNORECASE,
)


def join_digits(text: str) -> str:
    """Spoken, spaced and grouped digits in plain text as one number each: "one two three four five", "12 345"."""
    text = _SPOKEN.sub(lambda match: "".join(_DIGIT_WORDS[word] for word in re.findall(r"[a-z]+", match[0])), text)
    text = _SPACED.sub(lambda match: re.sub(r"\D", "", match[0]), text)
    return _GROUPED.sub(r"\1\2\3", text)


def order_numbers(text: str, *, expected: bool = False) -> list[tuple[int, str]]:
    """Order numbers in plain text with their places. `expected`: we have just asked for one, so a bare number is one."""
    found: dict[int, str] = {}
    for match in _NAMED.finditer(text):
        group = match.lastgroup or "hash"
        if group == "numbered" and _NOT_OF_AN_ORDER.search(text, 0, match.start()):
            continue
        if group == "hash" or not _UNIT_AFTER.match(text, match.end()):
            found[match.start(group)] = match[group].upper()
    for match in _BARE.finditer(text):
        number, start = match["bare"], match.start("bare")
        if start in found or _MONEY_BEFORE.search(text, 0, start) or _UNIT_AFTER.match(text, match.end()):
            continue
        if expected or (4 <= len(number) <= 9 and not (len(number) == 4 and number[:2] in ("19", "20"))):
            found[start] = number
    return sorted(found.items())


def looks_like_address(text: str) -> bool:
    """Whether a parcel could be sent there: several words with a number, a comma or a street in them."""
    words = re.findall(r"\w+", text)
    if not 3 <= len(words) <= 40 or not any(word.isalpha() for word in words):
        return False
    if any(character.isdigit() for character in text):
        return bool(_STREET.search(text)) or "," in text or (words[0].isdigit() and len(words[0]) < 5)
    return bool(_STREET.search(text)) and "," in text


def find_address(text: str) -> tuple[str, tuple[int, int]] | None:
    """A new delivery address in a message as typed, and where it stands; None: there is none."""
    for lead in _ADDRESS_LEAD.finditer(text):
        address = clean_address(text[lead.end() :])
        if looks_like_address(address):
            start = text.find(address[:8], lead.end())
            length = len(_ADDRESS_ENDS.sub("", text[lead.end() :]))
            return address, (max(start, lead.end()), lead.end() + length)
    return None


def clean_address(text: str) -> str:
    """One line, without the courtesies around it."""
    text = _ADDRESS_ENDS.sub("", _ADDRESS_OPENS.sub("", text.strip()))
    _, colon, after = text.rpartition(": ")
    if colon and looks_like_address(after):
        text = after
    return ", ".join(line.strip(" ,.;\"'") for line in text.splitlines() if line.strip(" ,.;\"'"))[:200]
