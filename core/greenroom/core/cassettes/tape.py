"""One turn's part of a cassette: what it asks is answered from there, or asked and recorded."""

import json
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from greenroom.core.cassettes.cassette import Cassette
from greenroom.core.cassettes.keeper import Keeper
from greenroom.core.cassettes.nearest import explain_miss
from greenroom.core.cassettes.own_ids import OwnIds
from greenroom.core.cassettes.question import Question
from greenroom.core.cassettes.recording import NOTHING, Failure, Key, Kind, Recording, Talk, key_of, sorted_json
from greenroom.core.errors import NotRecorded
from greenroom.core.plain import any_json, to_json, well_formed
from greenroom.core.records import Change
from greenroom.core.redaction import DocumentRedactor

_NO_IDS: Final[Mapping[str, str]] = {}


@dataclass(frozen=True, slots=True)
class Place:
    """Where in which conversation a turn stands."""

    talk: Talk
    turn: int
    """The n-th along the session's path, from 1."""
    session: str
    """A hash of the session's id."""
    own: Mapping[str, str]
    """What is this session's alone, by what stands for it in a cassette: ids."""
    given: frozenset[str] = frozenset()
    """Ids that only look like its own: see `ids_given`."""


class Asked:
    """One question, from its beginning: `recording` is its answer, where the cassette has it and it is not asked live.
    `around` is the tool call that asks it."""

    __slots__ = ("_around", "_number", "_question", "_tape", "_within", "given", "is_live", "recording")

    def __init__(
        self,
        tape: "Tape",
        question: "Question",
        number: int,
        recording: Recording | None,
        around: "Asked | None" = None,
    ) -> None:
        self._tape = tape
        self._question = question
        self._number = number
        self._around = around
        self._within: list[Recording] = []
        self.given: list[Recording] = []
        """What its own code was answered from the cassette that is recorded to."""
        self.recording = recording
        self.is_live = recording is not None and recording.live
        """Whether it is asked each time, whatever is replayed: see `Turn.stays_live`."""

    @property
    def by(self) -> str:
        """Where the answer stands, for people."""
        return "" if self.recording is None else self._tape.whereabouts(self.recording)

    @property
    def failure(self) -> Failure | None:
        """How the recorded call failed, the session's own ids in what it says."""
        failed = None if self.recording is None else self.recording.error
        if failed is None:
            return None
        return Failure(failed.type, json.loads(self._question.ids.filled_in(any_json(failed.message))))

    def answer(self) -> Any:
        """The recorded answer, the session's own ids in it."""
        recording = self.recording
        if recording is None or recording.response == NOTHING:
            return None
        return json.loads(self._question.ids.filled_in(bytes(recording.response).decode()))

    def written(self) -> Iterable[tuple[str, str | None, tuple[Any, ...]]]:
        """What the recorded call wrote to the world: collection, record, and the new value unless it was deleted."""
        for change in () if self.recording is None else self.recording.changes:
            collection, key, *value = json.loads(self._question.ids.filled_in(bytes(change).decode()))
            yield collection, key, tuple(value)

    def returned(self, response: str, changes: Sequence[Change] = ()) -> None:
        """It was answered: JSON text. Recorded where the turn records, once the turn is committed."""
        if self.is_live:
            self._stays_live()
            return
        self._forget_within()
        keeper = self._keeper
        rows = tuple([msgspec.Raw(to_json(keeper.value(_row(change))).encode()) for change in changes])
        answer = msgspec.Raw(to_json(keeper.value(json.loads(response))).encode())
        self._take(self._recording(response=answer, changes=rows))

    def failed(self, type: str, message: str) -> None:
        """It failed."""
        if self.is_live:
            self._stays_live()
            return
        self._forget_within()
        self._take(self._recording(error=Failure(type, self._keeper.text(message))))

    def broke_off(self) -> None:
        """Nobody answered: it is as if it had not been asked."""
        self._tape.forget(self._question.key)

    def _forget_within(self) -> None:
        """They are part of an answer, and not asked for by themselves."""
        for one in (*self._within, *self.given):
            self._tape.forget(one.key)

    def _take(self, recording: Recording) -> None:
        if self._around is None:
            self._tape.take(recording)
        else:
            self._around._within.append(recording)

    def _stays_live(self) -> None:
        """It is asked again in a replay, and then asks again what it has asked now."""
        for recording in (self._recording(live=True), *self._within):
            self._take(recording)
        self._tape.given += self.given

    @property
    def _keeper(self) -> Keeper:
        return Keeper(self._tape.redactor, self._question.ids)

    def _recording(self, **came_of_it: Any) -> Recording:
        place = self._tape.place
        return Recording(
            agent=place.talk.agent,
            scenario=place.talk.scenario,
            turn=place.turn,
            conversation=place.talk.said,
            again=place.talk.again,
            session=place.session,
            call=self._number,
            kind=self._question.kind,
            name=self._question.name,
            request=msgspec.Raw(self._question.request.encode()),
            **came_of_it,
        )


TAPED_CALL: ContextVar[Asked | None] = ContextVar("greenroom_taped_call", default=None)
"""The tool call that is recorded, as a whole if nothing keeps it live, and whose code runs here."""


class Tape:
    """`replayed` and `recorded` count. Raises nothing of its own but `NotRecorded`."""

    def __init__(
        self, place: Place, replays: Cassette | None, records: Cassette | None, redactor: DocumentRedactor
    ) -> None:
        self.place = place
        self._replays = replays
        self._records = records
        self.redactor = redactor
        self._asked: dict[Key, int] = {}
        """How often; what broke off or is part of an answer does not count."""
        self._begun = 0
        self._taken: list[Recording] = []
        """The n-th of the turn's questions as `call`, until they are kept."""
        self.given: list[Recording] = []
        """What it was answered from the cassette that it records to."""
        self.replayed = 0

    @property
    def recorded(self) -> int:
        return len(self._taken)

    def begin(
        self, kind: Kind, name: str, request: Any, own: Mapping[str, str] = _NO_IDS, around: Asked | None = None
    ) -> Asked:
        """A question begins; the n-th of its like in the turn. `own`: ids that are its alone, by what stands for them.
        `around`: the tool call that asks it, which may do so live. Raises `NotRecorded` where all is replayed and this was
        never recorded."""
        place = self.place
        ids = OwnIds({**place.own, **own}, place.given)
        asked = sorted_json(Keeper(self.redactor, ids, is_asked=True).value(request))
        name = self.redactor.text(well_formed(name))
        key = key_of(place.talk.agent, place.talk.scenario, kind, name, asked)
        question = Question(kind, name, asked.decode(), key, ids)
        self._begun += 1
        call = self._asked[key] = self._asked.get(key, 0) + 1
        found = None
        if self._replays is not None:
            found = self._replays.find(key, place.turn, call, place.talk, place.session)
            if found is not None:
                self.replayed += not found.live
                if self._replays is self._records:
                    (self if around is None else around).given.append(self._as_own(found))
            elif self._records is None and around is None:
                raise NotRecorded(explain_miss(self._replays, place, question, call))
        return Asked(self, question, self._begun, found, around)

    async def ask(self, name: str, request: Any, ask: Callable[[], Awaitable[Any]]) -> Any:
        """What a model (or a service that is no tool) answers."""
        asked = self.begin("model", name, request, around=TAPED_CALL.get())
        if asked.recording is not None:
            return asked.answer()
        try:
            answer = await ask()
        except BaseException:
            asked.broke_off()
            raise
        asked.returned(any_json(answer))
        return answer

    # What stands in the file

    def take(self, recording: Recording) -> None:
        """Keeps it until the turn is committed."""
        if self._records is not None:
            self._taken.append(recording)

    def forget(self, key: Key) -> None:
        """One question of this kind does not count."""
        self._asked[key] -= 1

    def keep(self) -> None:
        """The turn is committed: writes what it has recorded."""
        if self._records is not None and self._taken:
            numbered = _numbered([*self._taken, *self.given])
            self._records.add(numbered[: len(self._taken)], numbered[len(self._taken) :])

    def _as_own(self, found: Recording) -> Recording:
        talk, place = self.place.talk, self.place
        return msgspec.structs.replace(
            found,
            turn=place.turn,
            call=self._begun,
            conversation=talk.said,
            again=talk.again,
            session=place.session,
            line=0,
        )

    def whereabouts(self, recording: Recording) -> str:
        name = self._replays.path.name if self._replays is not None else ""
        return f"cassette {name}" + (f":{recording.line}" if recording.line else "")


def _numbered(recordings: Sequence[Recording]) -> list[Recording]:
    """The n-th of its like is who was asked as the n-th of those that are kept: a replay asks no others."""
    begun: dict[Key, set[int]] = {}
    for recording in recordings:
        begun.setdefault(recording.key, set()).add(recording.call)
    calls = {(key, number): call for key, numbers in begun.items() for call, number in enumerate(sorted(numbers), 1)}
    return [msgspec.structs.replace(recording, call=calls[recording.key, recording.call]) for recording in recordings]


def _row(change: Change) -> list[Any]:
    return [change.collection, change.key, *(() if change.after is None else (json.loads(change.after),))]
