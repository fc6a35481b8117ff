"""The agent whose turns the OpenAI Agents SDK runs."""

import importlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from greenroom.agents.adapters.failures import backend_failures
from greenroom.agents.adapters.instances import Instances
from greenroom.agents.adapters.memory import Memory
from greenroom.agents.adapters.openai_agents.company import Company, ToolFronts
from greenroom.agents.adapters.openai_agents.history import Item, context_items, items_of, said
from greenroom.agents.adapters.openai_agents.telling import Telling
from greenroom.agents.adapters.tools import as_json, serving
from greenroom.sdk import Agent, AgentError, AgentUnavailable, Reply, Turn, Usage
from greenroom.tools.extras import import_extra

REFUSAL = "I am sorry, I cannot help with that."

_RUN = frozenset({"run_config", "max_turns", "hooks", "error_handlers"})
"""What may be said of each run; where its memory is kept is not among it."""


class OpenAIAgentsAgent(Agent):
    """Serves an `agents.Agent` with all that it can hand over to. The next turn goes on with whoever spoke last.

    `factory` says that `target` is a callable that makes the agent. `context` makes a run's context from its turn. `run` is
    what each run gets of `run_config`, `max_turns`, `hooks` and `error_handlers`; without a `run_config` nothing is traced.
    `refusal` is the reply where a guardrail stopped the run. Further parts (`world`, `scenarios`, …) are those of any
    `Agent`. Raises `AgentError`.
    """

    def __init__(
        self,
        target: Any,
        *,
        name: str = "",
        factory: bool = False,
        context: Callable[[Turn], Any] | None = None,
        run: Mapping[str, Any] | None = None,
        refusal: str = REFUSAL,
        **parts: Any,
    ) -> None:
        import_extra("agents.run", "openai-agents")
        sdk: Any = importlib.import_module("agents")
        instances: Instances[Any] = Instances(target, lambda agent: agent, factory=factory)
        fronts = ToolFronts(sdk)
        first = Company(sdk, instances.pristine, fronts).first
        super().__init__(name or first.name, tools=fronts.known, **parts)
        self._sdk = sdk
        self._instances = instances
        self._fronts = None if factory else fronts
        self._context = context
        self._run = _run_of(sdk, self.name, run or {})
        self._refusal = refusal
        self.reply(self._answer)

    async def _answer(self, turn: Turn) -> Reply:
        sdk = self._sdk
        company = Company(sdk, self._instances.fresh(), self._fronts or ToolFronts(sdk))
        memory = Memory(turn, "openai_agents")
        kept = memory.recall()
        items = items_of(turn.messages) if kept is None else [*kept["items"], *items_of(memory.said)]
        speaker = company.first if kept is None else company.named(kept["agent"])
        telling = Telling(turn, hold=company.guarded)
        with serving(turn), backend_failures():
            about = {"context": self._context(turn) if self._context else None, **self._run}
            result = sdk.Runner.run_streamed(speaker, [*context_items(turn), *items], **about)
            ending = await self._told(result, telling)
        if ending.stopped:
            agent, items = speaker.name, [*items, said("".join(turn.said))]
        else:
            agent, items = result.last_agent.name, _without(context_items(turn), as_json(result.to_input_list()))
        memory.keep({"agent": agent, "items": items})
        shown = {"agent": agent, "guardrail": ending.guardrail} if ending.guardrail else {"agent": agent}
        return Reply("", usage=_usage(result), metadata={"openai_agents": shown})

    async def _told(self, result: Any, telling: Telling) -> "_Ending":
        """Tells a run until it is over."""
        errors = self._sdk.exceptions
        events = result.stream_events()
        try:
            async for event in events:
                await telling.event(event)
        except errors.ModelTimeoutError as late:
            raise AgentUnavailable(str(late)) from late
        except errors.ModelRefusalError:
            await telling.release()
            return _Ending(stopped=True)
        except (errors.InputGuardrailTripwireTriggered, errors.OutputGuardrailTripwireTriggered) as tripped:
            await telling.refuse(self._refusal)
            return _Ending(stopped=True, guardrail=tripped.guardrail_result.guardrail.get_name())
        except (errors.ToolInputGuardrailTripwireTriggered, errors.ToolOutputGuardrailTripwireTriggered) as tripped:
            await telling.refuse(self._refusal)
            return _Ending(stopped=True, guardrail=tripped.guardrail.get_name())
        finally:
            if not result.is_complete:
                result.cancel()
            await events.aclose()
        if result.interruptions:
            waiting = ", ".join(str(item.name) for item in result.interruptions)
            raise AgentError(f"agent {self.name}: {waiting} waits for an approval, which nobody gives here")
        if result.new_items and result.new_items[-1].type != "message_output_item":
            await telling.say(_text(result.final_output))
        await telling.release()
        return _Ending()


@dataclass(frozen=True, slots=True)
class _Ending:
    """How a run ended. One that was stopped, by a guardrail or a refusal, has no history of its own."""

    stopped: bool = False
    guardrail: str = ""


def _without(passing: list[Item], items: list[Item]) -> list[Item]:
    """What the next turn's run begins with: all but what holds for this turn only."""
    return [item for item in items if item not in passing]


def _run_of(sdk: Any, name: str, run: Mapping[str, Any]) -> dict[str, Any]:
    unknown = sorted(run.keys() - _RUN)
    if unknown:
        raise AgentError(f"agent {name}: run takes {', '.join(sorted(_RUN))}, not {', '.join(unknown)}")
    return {"run_config": sdk.RunConfig(tracing_disabled=True), **run}


def _usage(result: Any) -> Usage | None:
    used = result.context_wrapper.usage
    return Usage(used.input_tokens, used.output_tokens) if used.input_tokens or used.output_tokens else None


def _text(output: Any) -> str:
    return output if isinstance(output, str) else json.dumps(as_json(output), ensure_ascii=False)
