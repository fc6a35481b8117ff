"""What an agent is told of its user's earlier sessions: settled when a path begins, and stored with its first turn."""

import msgspec

from greenroom.core.evidence import memory_json
from greenroom.core.limits import Limits
from greenroom.core.notes import EARLIER_READ, NOTHING_KNOWN, known_json, known_of
from greenroom.core.plan import Plan
from greenroom.core.ports import Store
from greenroom.core.records import TurnRecord
from greenroom.core.user_memory import Recollection


class Recall:
    """Finds what a turn's agent is to know."""

    def __init__(self, store: Store, limits: Limits) -> None:
        self._store = store
        self._limits = limits

    async def of(self, plan: Plan) -> Recollection | None:
        """None: its path began without memory, and stays without."""
        path = plan.branch.path
        known = await self._known(plan)
        if not known:
            return None
        if plan.adopted and not path:
            first = plan.adopted[0]
            plan.adopted = (msgspec.structs.replace(first, seen_json=f'{{"memory":{known}}}'), *plan.adopted[1:])
        notes = path[-1].memory_json if path else ""
        return Recollection(
            known_json=known,
            notes_json=notes,
            begins=not path and not plan.adopted,
            opening="" if notes else _opening(plan),
            turns=plan.depth + 1,
        )

    async def _known(self, plan: Plan) -> str:
        """As the path's first turn has it. A path that begins takes it from the one that it begins anew: what other
        sessions have left meanwhile does not make the same request another one."""
        path = plan.branch.path
        first = path[0] if path else plan.superseded
        known = memory_json(first) if first is not None else ""
        if known or path:
            return known
        if plan.new_user:
            return NOTHING_KNOWN
        left = await self._store.load_memories(plan.session, EARLIER_READ)
        return known_json(known_of(left, self._limits)) if left else NOTHING_KNOWN


def _opening(plan: Plan) -> str:
    """What the user said first on the path."""
    turns: tuple[TurnRecord, ...] = (*plan.branch.path[:1], *plan.adopted[:1])
    messages = turns[0].messages if turns else plan.intake.carried.input
    return next((message.content or "" for message in messages if message.role == "user"), "")
