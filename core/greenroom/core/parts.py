"""What the use cases of one core share."""

from dataclasses import dataclass

from greenroom.core.branch import Cache
from greenroom.core.evaluation import Evaluation
from greenroom.core.limits import Limits
from greenroom.core.ports import Store
from greenroom.core.served import Served
from greenroom.core.tickets import Tickets
from greenroom.core.users import Users


@dataclass(frozen=True, slots=True)
class Parts:
    """Made once by `Core`."""

    served: Served
    store: Store
    users: Users
    cache: Cache
    tickets: Tickets
    limits: Limits
    evaluation: Evaluation
