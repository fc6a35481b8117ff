"""What the use cases of one core share."""

from dataclasses import dataclass

from greenroom.core.agents import Agents
from greenroom.core.branch import Cache
from greenroom.core.evaluation import Evaluation
from greenroom.core.limits import Limits
from greenroom.core.ports import Store
from greenroom.core.tickets import Tickets
from greenroom.core.tracing import Tracer
from greenroom.core.users import Users


@dataclass(frozen=True, slots=True)
class Parts:
    """Made once by `Core`."""

    agents: Agents
    store: Store
    users: Users
    cache: Cache
    tickets: Tickets
    limits: Limits
    evaluation: Evaluation
    tracer: Tracer | None
