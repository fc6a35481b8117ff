"""How settings are written: durations, sizes, lists, rates."""

import re
from typing import Annotated

from pydantic import BeforeValidator, Field
from pydantic_settings import NoDecode

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES = {"": 1, "B": 1, "KIB": 1024, "MIB": 1024**2, "GIB": 1024**3, "KB": 1000, "MB": 1000**2, "GB": 1000**3}
_PERIODS = {"second": 1.0, "minute": 60.0, "hour": 3600.0}


def seconds(value: object) -> object:
    """`90`, `90s`, `1.5m`, `12h`, `30d`."""
    if isinstance(value, str) and (match := re.fullmatch(r"\s*([0-9.]+)\s*(ms|s|m|h|d)\s*", value)):
        return float(match[1]) * _SECONDS[match[2]]
    if isinstance(value, str) and not re.fullmatch(r"\s*[0-9]*\.?[0-9]+\s*", value):
        raise ValueError("give seconds, or a number with ms, s, m, h or d, for instance 90s")
    return value


def size(value: object) -> object:
    """`1048576`, `64KiB`, `1MiB`."""
    if isinstance(value, str) and (match := re.fullmatch(r"\s*([0-9]+)\s*([A-Za-z]*)\s*", value)):
        factor = _BYTES.get(match[2].upper())
        if factor is not None:
            return int(match[1]) * factor
    if isinstance(value, str):
        raise ValueError("give bytes, or a whole number with KiB, MiB or GiB, for instance 1MiB")
    return value


def words(value: object) -> object:
    """Names separated by commas; in a file a list will do as well."""
    if isinstance(value, str):
        return tuple(filter(None, (word.strip() for word in value.split(","))))
    return value


def rate(value: object) -> object:
    """`200/second`, `600/minute`, `off`."""
    if value == "off" or (isinstance(value, str) and split_rate(value)):
        return value
    raise ValueError("give NUMBER/second, NUMBER/minute or NUMBER/hour, for instance 200/second, or off")


def split_rate(text: str) -> tuple[int, float] | None:
    """How many requests in how many seconds; None for `off` (and for what is no rate)."""
    match = re.fullmatch(r"\s*([1-9][0-9]*)\s*/\s*(second|minute|hour)s?\s*", text)
    return (int(match[1]), _PERIODS[match[2]]) if match else None


Seconds = Annotated[float, BeforeValidator(seconds), Field(gt=0, allow_inf_nan=False)]
Bytes = Annotated[int, BeforeValidator(size), Field(gt=0)]
Words = Annotated[tuple[str, ...], NoDecode, BeforeValidator(words)]
Rate = Annotated[str, BeforeValidator(rate)]
