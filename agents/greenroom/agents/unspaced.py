"""Scripts that put no spaces between words."""

UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\U00020000-\U0003ffff"
)
"""As a regular expression's class has them: Thai, Lao, Burmese, Khmer, Japanese, Chinese; and Korean, whose words carry their
particles."""
