"""Which adapter serves an object, told by where its classes come from. No framework is imported to find out."""

import importlib
from dataclasses import dataclass
from typing import Any

from greenroom.sdk import Agent


@dataclass(frozen=True, slots=True)
class Kind:
    """Objects of one class, or of what derives from it, and the adapter that serves them."""

    package: str
    """Where the class is defined: this package, or one below it."""
    class_name: str
    module: str
    """The adapter's, in this package."""
    adapter: str
    classes: bool = False
    """A class of them is served, too: it is called to make one."""

    def has(self, cls: type) -> bool:
        return cls.__name__ == self.class_name and f"{cls.__module__}.".startswith(f"{self.package}.")


KINDS = (
    Kind("agents", "Agent", "openai_agents", "OpenAIAgentsAgent"),
    Kind("agno", "Agent", "agno", "AgnoAgent"),
    Kind("agno", "Team", "agno", "AgnoAgent"),
    Kind("crewai", "Agent", "crewai", "CrewAIAgent"),
    Kind("crewai", "Crew", "crewai", "CrewAIAgent"),
    Kind("crewai", "Flow", "crewai", "CrewAIFlowAgent", classes=True),
    Kind("google.adk", "App", "adk", "AdkAgent"),
    Kind("google.adk", "BaseNode", "adk", "AdkAgent"),
    Kind("langgraph", "Pregel", "langgraph", "LangGraphAgent"),
    Kind("llama_index.core.agent", "AgentWorkflow", "llama_index", "LlamaIndexAgent"),
    Kind("llama_index.core.agent", "BaseWorkflowAgent", "llama_index", "LlamaIndexAgent"),
    Kind("pydantic_ai", "AbstractAgent", "pydantic_ai", "PydanticAIAgent"),
)


def adapt(target: Any, name: str, *, factory: bool = False) -> Agent | None:
    """The agent that serves a framework's object, or those that a factory or, with some frameworks, a class makes; None when
    no adapter knows it. Raises `AgentError` when it cannot be served as it is."""
    is_class = isinstance(target, type) and not factory
    of: type = target if is_class else type(target() if factory else target)
    for cls in of.__mro__:
        for kind in KINDS:
            if kind.has(cls) and (kind.classes or not is_class):
                adapter = getattr(importlib.import_module(f"{__package__}.{kind.module}"), kind.adapter)
                agent: Agent = adapter(target, name=name, factory=factory)
                return agent
    return None
