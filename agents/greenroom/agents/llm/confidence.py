"""Confidence from log-probabilities."""

import math
from collections.abc import Iterable, Mapping
from typing import Any


def confidence_of(details: Mapping[str, Any] | None) -> float | None:
    """The geometric mean of the probabilities of the reply's tokens; None where the model gave none.

    Of several requests in a turn it is the last one's, which made the reply. It says how sure the model was of its words, not
    whether they are true.
    """
    logprobs = [value for value in _logprobs((details or {}).get("logprobs")) if math.isfinite(value)]
    if not logprobs:
        return None
    return round(min(1.0, math.exp(sum(logprobs) / len(logprobs))), 4)


def _logprobs(tokens: Any) -> Iterable[float]:
    for token in tokens if isinstance(tokens, list) else ():
        value = token.get("logprob") if isinstance(token, Mapping) else None
        if isinstance(value, int | float):
            yield min(0.0, float(value))
