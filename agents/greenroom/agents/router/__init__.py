"""Several agents in one session, each for its own turns.

from greenroom.agents.router import Router, Rule

agent = Router("desk", {"orders": orders, "billing": billing}, rules=[Rule("billing", keywords=["refund", "invoice"])])
"""

from greenroom.agents.router.router import Router
from greenroom.agents.router.routes import Choice, Rule

__all__ = ["Choice", "Router", "Rule"]
