"""What a turn asks outside, as a cassette knows it."""

from dataclasses import dataclass

from greenroom.core.cassettes.own_ids import OwnIds
from greenroom.core.cassettes.recording import Key, Kind


@dataclass(frozen=True, slots=True)
class Question:
    """`request` is JSON with sorted keys, without secrets, and signs in the place of the session's own ids."""

    kind: Kind
    name: str
    request: str
    key: Key
    ids: OwnIds
