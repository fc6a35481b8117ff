"""A cassette: a file of recordings, one JSON object a line, which is only ever added to."""

import codecs
import json
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from greenroom.core.cassettes.appending import append, breaks_off
from greenroom.core.cassettes.recording import NO_TALK, Key, Recording, Talk, sorted_json

_log = logging.getLogger(__name__)
_decoder: Final = msgspec.json.Decoder(Recording)


class CassetteError(ValueError):
    """A file that cannot be used as a cassette. The message names it, and the line."""


class Cassette:
    """The recordings of one file, by what they answer. Of several that answer the same the first one holds, for all sessions
    that were answered alike; one that was answered otherwise has its own."""

    def __init__(self, path: Path) -> None:
        """Reads what is there; a file that is not yet there is made with the first recording. Raises `CassetteError`."""
        self.path = path
        self.problem = ""
        """Why the last recordings could not be written; "" when they were."""
        self._by_key: dict[Key, dict[tuple[int, int], Recording]] = {}
        self._own: dict[tuple[Key, Talk, str, int, int], Recording] = {}
        """Other answers than those, by conversation and session."""
        self._sessions: dict[str, int] = {}
        """In the order in which they came into the file."""
        self._had: dict[Talk, str] = {}
        """In which session each conversation was had: whose answers others have."""
        self._had_too: set[tuple[Talk, str]] = set()
        """In which others."""
        self._strays: set[str] = set()
        """Sessions that were answered otherwise than others before: what they are answered from then on need not fit there."""
        self._settled: set[Talk] = set()
        """Conversations whose `_had` was no stray when it had them: it stays the one."""
        for recording in _read(path):
            self._take(recording)

    def __len__(self) -> int:
        return sum(map(len, self._by_key.values())) + len(self._own)

    def __iter__(self) -> Iterator[Recording]:
        for places in self._by_key.values():
            yield from places.values()
        yield from self._own.values()

    def find(self, key: Key, turn: int, call: int, talk: Talk = NO_TALK, session: str = "") -> Recording | None:
        """What was recorded in this place of this conversation, or else of any; where the turn has nothing of the kind, the
        last of the nearest turn before it, else the first of those after it. Had in several sessions, a conversation is that of
        the same session, else of the one that is first in the file, in all its turns: so they fit together."""
        places = self._by_key.get(key)
        if places is None:
            return None
        if talk not in self._had:
            talk = talk.first_time
        if (talk, session) not in self._had_too:
            session = self._had.get(talk, "")
        found = self._own.get((key, talk, session, turn, call)) or places.get((turn, call))
        if found is not None or (turn, 1) in places:
            return found
        earlier = [place for place in places if place[0] < turn]
        return places[max(earlier) if earlier else min(places)]

    def add(self, recordings: Sequence[Recording], replayed: Sequence[Recording] = ()) -> None:
        """Writes what is not there yet of what one turn has asked; `replayed` is what it was answered from here. Where that
        fails it is logged, and `problem` says why."""
        new = self._new_of(recordings, replayed)
        for recording in new:
            self._take(recording)
        if not new:
            return
        try:
            append(self.path, b"".join(msgspec.json.encode(recording) + b"\n" for recording in new))
        except OSError as error:
            self.problem = f"the cassette {self.path.name} cannot be written: {error.strerror}"
            _log.warning("%s: %d recordings are lost", self.problem, len(new))
        else:
            self.problem = ""

    def _new_of(self, recordings: Sequence[Recording], replayed: Sequence[Recording]) -> list[Recording]:
        """What nobody has asked yet, and what its session would be answered otherwise: then all that it was answered otherwise
        than the first was, for with its own id it has its own answers from now on. They are never replaced. Where it is the
        one whose answers others have, a line says so at least: those may change for nobody."""
        talk, session = recordings[0].talk, recordings[0].session
        asked = [(recording, self._holds(recording)) for recording in recordings]
        if self._is_had(talk, session):
            return [recording for recording, holds in asked if holds is None]
        if talk in self._settled and all(holds is not None and self._knows(recording) for recording, holds in asked):
            return []
        again = [(recording, holds) for recording in replayed if (holds := self._holds(recording)) is not None]
        return [
            recording for recording, holds in (*asked, *again) if holds is None or _answer(holds) != _answer(recording)
        ] or [recordings[0]]

    def _holds(self, recording: Recording) -> Recording | None:
        return self._by_key.get(recording.key, {}).get((recording.turn, recording.call))

    def _knows(self, recording: Recording) -> bool:
        """Whether its session is answered like this."""
        found = self.find(recording.key, recording.turn, recording.call, recording.talk, recording.session)
        return found is not None and _answer(found) == _answer(recording)

    def _is_had(self, talk: Talk, session: str) -> bool:
        return self._had.get(talk) == session or (talk, session) in self._had_too

    def _take(self, recording: Recording) -> None:
        key, talk, session = recording.key, recording.talk, recording.session
        self._sessions.setdefault(session, len(self._sessions))
        if not self._is_had(talk, session):
            self._has(talk, session)
        holds = self._by_key.setdefault(key, {}).setdefault((recording.turn, recording.call), recording)
        if (holds.talk, holds.session) != (talk, session):
            self._own.setdefault((key, talk, session, recording.turn, recording.call), recording)

    def _has(self, talk: Talk, session: str) -> None:
        """A session has a conversation that it had not yet: as the one whose answers others have, or with its own."""
        first, is_stray = self._had.get(talk), session in self._strays
        if talk in self._settled or (
            first is not None and is_stray and self._sessions[first] < self._sessions[session]
        ):
            self._strays.add(session)
            self._had_too.add((talk, session))
            return
        if not is_stray:
            self._settled.add(talk)
        self._had[talk] = session
        if first is not None:
            self._had_too.add((talk, first))


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
