"""The words this agent listens for, and how people really write them."""


def words(text: str) -> frozenset[str]:
    """A list of words as a set."""
    return frozenset(text.split())


SHORTHAND = {
    "wheres": "where is",
    "where's": "where is",
    "whr": "where",
    "wher": "where",
    "wen": "when",
    "whens": "when is",
    "when's": "when is",
    "whats": "what is",
    "what's": "what is",
    "wats": "what is",
    "wat": "what",
    "how's": "how is",
    "hows": "how is",
    "who's": "who is",
    "it's": "it is",
    "that's": "that is",
    "thats": "that is",
    "there's": "there is",
    "theres": "there is",
    "here's": "here is",
    "heres": "here is",
    "i'm": "i am",
    "im": "i am",
    "i've": "i have",
    "ive": "i have",
    "i'd": "i would",
    "i'll": "i will",
    "you're": "you are",
    "youre": "you are",
    "they're": "they are",
    "let's": "let us",
    "lets": "let us",
    "isn't": "is not",
    "isnt": "is not",
    "aint": "is not",
    "ain't": "is not",
    "wasn't": "was not",
    "wasnt": "was not",
    "hasn't": "has not",
    "hasnt": "has not",
    "haven't": "have not",
    "havent": "have not",
    "hadn't": "had not",
    "don't": "do not",
    "dont": "do not",
    "doesn't": "does not",
    "doesnt": "does not",
    "didn't": "did not",
    "didnt": "did not",
    "won't": "will not",
    "wont": "will not",
    "can't": "can not",
    "cant": "can not",
    "cannot": "can not",
    "couldn't": "could not",
    "couldnt": "could not",
    "wouldn't": "would not",
    "shouldn't": "should not",
    "u": "you",
    "ur": "your",
    "r": "are",
    "ya": "you",
    "pls": "please",
    "plz": "please",
    "plss": "please",
    "thx": "thanks",
    "thnx": "thanks",
    "tnx": "thanks",
    "ty": "thanks",
    "tysm": "thanks",
    "cheers": "thanks",
    "wanna": "want to",
    "gonna": "going to",
    "gotta": "got to",
    "gimme": "give me",
    "lemme": "let me",
    "dunno": "do not know",
    "nvm": "never mind",
    "nevermind": "never mind",
    "idk": "i do not know",
    "ord": "order",
    "ordr": "order",
    "oder": "order",
    "odr": "order",
    "pkg": "package",
    "pkge": "package",
    "addr": "address",
    "acct": "account",
    "cxl": "cancel",
    "cncl": "cancel",
    "cnl": "cancel",
    "canx": "cancel",
    "refnd": "refund",
    "rfnd": "refund",
    "del": "delivery",
    "num": "number",
    "nr": "number",
    "eta": "eta",
    "asap": "asap",
    "hii": "hi",
    "hiii": "hi",
    "helo": "hello",
    "heya": "hey",
    "yea": "yes",
    "yeah": "yes",
    "yep": "yes",
    "yup": "yes",
    "yess": "yes",
    "ye": "yes",
    "yas": "yes",
    "y": "yes",
    "haan": "yes",
    "n": "no",
    "nope": "no",
    "nah": "no",
    "nahi": "no",
    "ok": "okay",
    "k": "okay",
    "kk": "okay",
    "okey": "okay",
    "oke": "okay",
    "kahan": "where",
    "kab": "when",
    "bhai": "brother",
    "jaldi": "quickly",
    "canceled": "cancelled",
    "canceling": "cancelling",
    "despatched": "dispatched",
}
"""Contractions, text speak, and a few words a customer in Bengaluru mixes in."""

KEYWORDS = words("""
    order orders ordered parcel parcels package packages shipment shipments delivery deliver delivered delivering
    status track tracking tracked where when arrive arrived arriving arrives shipped shipping dispatch dispatched update
    cancel cancelled cancelling cancellation address change changed changing wrong different street
    refund refunds refunded return returned returning money damaged broken missing defective
    human person agent representative manager supervisor somebody someone operator escalate colleague
    policy policies warranty exchange replacement payment voucher coupon invoice
    help please thanks hello number receive received waiting delayed
    """)
"""What a misspelt word may have been meant as."""

NEIGHBOURS = words("""
    border older odder orderly former parlour panel camel canal cancer chance charge charged charger chances hanged
    states stats statue stars trick track tract trace tracing trucks truck truly here there were whether then than
    addressed dress police polite person persons personal prison reason season agents urgent gents humane manger
    refuse refused refuses retune retain returns turned moneys honey monkey update updates helped held hell helps hold
    thank think things arrives alive derive drive driver drivers delivers packaging packed packing packs shopping shopped
    slipped skipped slipping stopped chipped whipped skipping soon plate later latest latex cracked wrongs strong
    strange streets stressed street tracked crack cracking receiver recipe recipes perceived numbers lumber slumber
    sometime sometimes something everyone anyone somewhere everybody anybody exchanged exchanges voucher vouchers
    counts counter coupons waited wanting writing wading hating voice invoices invite human humans hand paint payments
    phone phones price prices please pleased peace place placed places pleases release when then they them these
    those other others another under wonder folder holder over ever never every very waste taste haste paste
    """)
"""Real words one slip away from a keyword: left alone."""
