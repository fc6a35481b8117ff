"""What is said of a question that a cassette has no answer to: the recorded one that is most like it, and how they differ."""

import json
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, Any

from greenroom.core.cassettes.question import Question
from greenroom.core.cassettes.recording import Recording

if TYPE_CHECKING:
    from greenroom.core.cassettes.cassette import Cassette
    from greenroom.core.cassettes.tape import Place

_COMPARED = 200
"""How many recordings are looked at, and how many characters of each."""
_SHOWN = 60


def explain_miss(cassette: "Cassette", place: "Place", question: Question, call: int) -> str:
    """For the n-th of its like in the turn."""
    kind, name, request, talk = question.kind, question.name, question.request, place.talk
    where = f"in turn {place.turn} of scenario {talk.scenario}" + (f", asked {call} times there" if call > 1 else "")
    miss = f"{cassette.path.name} has no recording of the {kind} {name} {where}"
    found = _nearest(cassette, place, question)
    if found is None:
        others = sorted({recording.name for recording in cassette if recording.kind == kind})
        there = f"of {', '.join(others[:5])} alone" if others else "of none"
        return f"{miss} (agent {talk.agent}); there are recordings {there}"
    line = f"line {found.line}" if found.line else "one of this run"
    where = f"turn {found.turn}" + (f" of scenario {found.scenario}" if found.scenario != talk.scenario else "")
    where += f" of agent {found.agent}" if found.agent != talk.agent else ""
    return f"{miss}; the nearest is {line} ({where}): {_difference(json.loads(request), _request_of(found))}"


def _nearest(cassette: "Cassette", place: "Place", question: Question) -> Recording | None:
    alike = [recording for recording in cassette if (recording.kind, recording.name) == (question.kind, question.name)]
    agent, scenario, *_ = place.talk
    alike.sort(key=lambda one: (one.agent != agent, one.scenario != scenario, abs(one.turn - place.turn), one.line))
    matcher = SequenceMatcher(autojunk=False)
    matcher.set_seq2(question.request[-_COMPARED:])  # what a conversation ends with tells it from another

    def likeness(recording: Recording) -> float:
        matcher.set_seq1(bytes(recording.request).decode()[-_COMPARED:])
        return matcher.quick_ratio()

    return max(alike[:_COMPARED], key=likeness, default=None)


def _request_of(recording: Recording) -> Any:
    return json.loads(bytes(recording.request))


def _difference(here: Any, there: Any, place: str = "") -> str:
    """The first place in which they differ, in words."""
    if isinstance(here, dict) and isinstance(there, dict):
        for key in {**here, **there}:
            if here.get(key) != there.get(key) or (key in here) != (key in there):
                if key not in there or key not in here:
                    return f"{place}{key} is only {'here' if key in here else 'there'}"
                return _difference(here[key], there[key], f"{place}{key}.")
    if isinstance(here, list) and isinstance(there, list):
        for number, (one, other) in enumerate(zip(here, there, strict=False)):
            if one != other:
                return _difference(one, other, f"{place}{number}.")
        if len(here) != len(there):
            return f"{place.rstrip('.')} has {len(here)} items here and {len(there)} there"
    if here == there:
        return "it asks the same"
    return f"{place.rstrip('.') or 'it'} is {_shown(here)} here and {_shown(there)} there"


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
