"""Which turns are recorded, which are replayed, and where: by the settings, or by their scenario."""

import asyncio
import hashlib
import logging
from pathlib import Path

from greenroom.core.agent import Agent
from greenroom.core.cassettes.cassette import Cassette, CassetteError
from greenroom.core.cassettes.recorded_source import RecordedSource, record_tools
from greenroom.core.cassettes.recording import Talk
from greenroom.core.cassettes.rule import CassetteRule
from greenroom.core.cassettes.tape import Place, Tape
from greenroom.core.errors import NotRecorded
from greenroom.core.records import SessionRecord
from greenroom.core.redaction import DocumentRedactor
from greenroom.core.scenario import Scenario

_log = logging.getLogger(__name__)


class Deck:
    """The open cassettes of a core. `rule` holds where a scenario has none of its own. Raises `ValueError` for one that cannot
    be used."""

    def __init__(self, rule: CassetteRule | None = None, redactor: DocumentRedactor | None = None) -> None:
        self._rule = rule
        self._redactor = redactor or DocumentRedactor()
        self._open: dict[str, Cassette] = {}
        self._reading = asyncio.Lock()
        if rule is not None:
            rule.check()
            for path in filter(None, (rule.replay, rule.record)):
                cassette = self._cassette(path)
                _log.info("cassette %s: %d recordings", path, len(cassette))

    @property
    def replays_all(self) -> bool:
        """Whether nothing at all is asked outside, wherever the scenario says nothing else."""
        rule = self._rule
        return rule is not None and bool(rule.replay) and not rule.record and rule.until_turn is None

    @property
    def problem(self) -> str:
        """What is wrong with what is recorded to; "" for nothing."""
        return "; ".join(sorted({cassette.problem for cassette in self._open.values() if cassette.problem}))

    def rule_of(self, scenario: Scenario) -> CassetteRule | None:
        """What is recorded and replayed of its sessions."""
        return scenario.cassette or self._rule

    async def tape(
        self,
        agent: Agent,
        scenario: Scenario,
        turn: int,
        session: SessionRecord,
        *,
        said: str,
        again: int,
        given: frozenset[str],
    ) -> Tape | None:
        """The part of a turn, the n-th on its path; None where nothing is recorded or replayed. `said`, `again`: see `Talk`.
        `given`: see `ids_given`. Raises `NotRecorded` where a cassette cannot be read."""
        rule = self.rule_of(scenario)
        if rule is None:
            return None
        replay = rule.replay if rule.until_turn is None or turn <= rule.until_turn else ""
        if not replay and not rule.record:
            return None
        try:
            replays = await self._opened(replay) if replay else None
            records = await self._opened(rule.record) if rule.record else None
        except CassetteError as error:
            _log.error("%s", error)
            raise NotRecorded(
                f"the cassette {Path(replay or rule.record).name} cannot be used; the log says why"
            ) from None
        if records is not None and agent.rack.sources:
            record_tools(agent.name, agent.rack.sources, records, self._redactor)
        ids = {"${session_id}": session.session_id, "${chat_id}": session.chat_id, "${user_id}": session.user_id}
        talk = Talk(self._redactor.text(agent.name), scenario.id, said, again)
        place = Place(talk, turn, _hash(session.session_id), ids, given)
        return Tape(place, replays, records, self._redactor)

    def prepare(self, agent: Agent) -> None:
        """Before the agent is started: where nothing is asked outside, its sources of tools are not either."""
        agent.is_live = not self.replays_all
        if self._rule is None or agent.is_live:
            agent.rack.stand_in(None)
            return
        cassette = self._cassette(self._rule.replay)
        agent.rack.stand_in(
            tuple(
                [
                    RecordedSource(source.name, self._redactor.text(agent.name), cassette)
                    for source in agent.rack.sources
                ]
            )
        )

    def forget(self) -> None:
        """Files are read anew when they are next wanted: all that was recorded is in them."""
        self._open.clear()

    async def _opened(self, path: str) -> Cassette:
        found = self._open.get(path)
        if found is not None:
            return found
        async with self._reading:  # one reads it, whoever else waits for it
            return await asyncio.to_thread(self._cassette, path)

    def _cassette(self, path: str) -> Cassette:
        found = self._open.get(path)
        if found is None:
            file = Path(path).resolve()  # a scenario may name it by another way
            found = next((cassette for cassette in self._open.values() if cassette.path == file), None)
            found = self._open[path] = Cassette(file) if found is None else found
        return found


def _hash(id: str) -> str:
    return hashlib.blake2b(id.encode(errors="replace"), digest_size=6).hexdigest()
