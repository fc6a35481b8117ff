"""A cassette: a file of recordings, one JSON object a line, which is only ever added to."""

import codecs
import json
import logging
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import msgspec

from greenroom.core.cassettes.appending import append, breaks_off
from greenroom.core.cassettes.recording import Key, Recording, key_of, sorted_json

_log = logging.getLogger(__name__)
_decoder: Final = msgspec.json.Decoder(Recording)


class CassetteError(ValueError):
    """A file that cannot be used as a cassette. The message names it, and the line."""


class Cassette:
    """The recordings of one file, by what they answer. Of several that answer the same in one conversation the
    first one holds, and it answers in the others that have none."""

    def __init__(self, path: Path) -> None:
        """Reads what is there; a file that is not yet there is made with the first recording. Raises `CassetteError`."""
        self.path = path
        self.problem = ""
        """Why the last recordings could not be written; "" when they were."""
        self._by_key: dict[Key, dict[tuple[int, int], Recording]] = {}
        self._otherwise: dict[tuple[Key, str, int, int], Recording] = {}
        """Other answers than those, to other conversations."""
        for recording in _read(path):
            self._take(recording)

    def __len__(self) -> int:
        return sum(map(len, self._by_key.values())) + len(self._otherwise)

    def __iter__(self) -> Iterator[Recording]:
        for places in self._by_key.values():
            yield from places.values()
        yield from self._otherwise.values()

    def find(self, key: Key, turn: int, call: int, conversation: str = "") -> Recording | None:
        """What was recorded in this place, of this conversation or else of any; where the turn has nothing of the kind, the
        last of the nearest turn before it, else the first of those after it."""
        places = self._by_key.get(key)
        if places is None:
            return None
        found = self._otherwise.get((key, conversation, turn, call)) or places.get((turn, call))
        if found is not None or (turn, 1) in places:
            return found
        earlier = [place for place in places if place[0] < turn]
        return places[max(earlier) if earlier else min(places)]

    def add(self, recordings: Iterable[Recording]) -> None:
        """Writes what is not there yet. Where that fails it is logged, and `problem` says why."""
        new = [recording for recording in recordings if self._take(recording)]
        if not new:
            return
        try:
            append(self.path, b"".join(msgspec.json.encode(recording) + b"\n" for recording in new))
        except OSError as error:
            self.problem = f"the cassette {self.path.name} cannot be written: {error.strerror}"
            _log.warning("%s: %d recordings are lost", self.problem, len(new))
        else:
            self.problem = ""

    def _take(self, recording: Recording) -> bool:
        key = key_of(recording.agent, recording.scenario, recording.kind, recording.name, bytes(recording.request))
        places = self._by_key.setdefault(key, {})
        place = (recording.turn, recording.call)
        holds = places.setdefault(place, recording)
        if holds is recording:
            return True
        if holds.conversation == recording.conversation or _answer(holds) == _answer(recording):
            return False
        return self._otherwise.setdefault((key, recording.conversation, *place), recording) is recording


def _answer(recording: Recording) -> tuple[object, ...]:
    return bytes(recording.response), recording.error, tuple(map(bytes, recording.changes)), recording.live


def _read(path: Path) -> Iterator[Recording]:
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if number == 1:
                    line = line.removeprefix(codecs.BOM_UTF8)
                if not line.strip():
                    continue
                try:
                    yield _recording_of(line, number)
                except (ValueError, msgspec.MsgspecError, RecursionError) as error:
                    if not breaks_off(line):
                        raise CassetteError(f"{path}, line {number}, is no recording: {error}") from None
                    _log.warning("%s, line %d, breaks off: whoever wrote it was stopped; it is left out", path, number)
    except FileNotFoundError:
        return
    except OSError as error:
        raise CassetteError(f"{path} cannot be read: {error.strerror}") from None


def _recording_of(line: bytes, number: int) -> Recording:
    line.decode()  # what is taken as it is written must be text all the same
    recording = _decoder.decode(line)
    request = msgspec.Raw(sorted_json(json.loads(bytes(recording.request))))
    return msgspec.structs.replace(recording, request=request, line=number)
