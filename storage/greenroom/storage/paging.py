"""Page tokens: the place of the last row of a page, opaque to callers."""

import base64
import binascii

from greenroom.core.errors import InvalidRequest


def encode_token(place: int) -> str:
    return base64.urlsafe_b64encode(str(place).encode()).decode().rstrip("=")


def decode_token(token: str) -> int | None:
    """None for "", the first page."""
    if not token:
        return None
    try:
        text = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode("ascii")
        place = int(text)
    except (binascii.Error, ValueError):
        place = -1
    if not 0 <= place < 2**63 or encode_token(place) != token:
        raise InvalidRequest("page_token is not one that this server gave out", field="page_token")
    return place
