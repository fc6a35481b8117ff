"""From the rules in a file to those that a turn plays, checked against the agent's tools."""

from collections.abc import Mapping, Sequence
from typing import Any

from greenroom.core.plain import to_json
from greenroom.core.scenario_files.mistake import Place, dotted, meant, shown
from greenroom.core.scenario_files.sources import Document
from greenroom.core.scenario_files.written import InPart, RegexPart, RulePart, WrittenScenario
from greenroom.core.schema import InvalidArguments, ToolSignature
from greenroom.core.script import Among, Condition, Equal, Fails, Found, Returns, Rule, TimesOut, equal
from greenroom.core.tools import Tool

Tools = Mapping[str, Tool[..., Any]]


def check_names(document: Document, tools: Tools) -> None:
    """Complains of tools that the agent has not, whatever else is wrong with the file."""
    named = document.data.get("tools") if isinstance(document.data, dict) else None
    for name in named if isinstance(named, dict) else ():
        if name not in tools:
            known = f"; its tools: {', '.join(tools) or 'none'}"
            document.complain(("tools", name), f"the agent has no such tool{meant(name, tools) or known}")


def check_rules(written: WrittenScenario, document: Document, tools: Tools) -> None:
    """Complains of arguments that a tool does not take, and of rules that no call can reach."""
    for name, rules in (written.tools or {}).items():
        place: Place = ("tools", name)
        for number, rule in enumerate(rules):
            _check_reach(rules[:number], rule, document, place)
            if rule.when is not None and rule.when.args and name in tools:
                _check_arguments(rule.when.args, tools[name], document, (*place, number, "when", "args"))


def rules_of(scenario: str, tool: str, rules: Sequence[RulePart]) -> tuple[Rule, ...]:
    return tuple(_rule(f"{scenario}: {dotted(('tools', tool, number))}", rule) for number, rule in enumerate(rules))


def _check_reach(earlier: Sequence[RulePart], rule: RulePart, document: Document, place: Place) -> None:
    for number, other in enumerate(earlier):
        always = other.when is None or other.when.model_dump(exclude_none=True) in ({}, {"args": {}})
        if always or other.when == rule.when:
            calls = "every call" if always else "the same calls"
            document.complain((*place, len(earlier)), f"is never reached: {dotted((*place, number))} is for {calls}")
            return


def _check_arguments(args: Mapping[str, Any], tool: Tool[..., Any], document: Document, place: Place) -> None:
    signature = tool.signature
    for name, condition in args.items():
        if name not in signature.names:
            known = f"; it takes {', '.join(signature.names) or 'none'}"
            text = f"{tool.name} takes no such argument{meant(name, signature.names) or known}"
            document.complain((*place, name), text)
        elif isinstance(condition, InPart):
            for number, value in enumerate(condition.among):
                _check_value(signature, name, value, document, (*place, name, "in", number))
        elif not isinstance(condition, RegexPart):
            _check_value(signature, name, condition, document, (*place, name))


def _check_value(signature: ToolSignature, name: str, value: Any, document: Document, place: Place) -> None:
    try:
        taken = signature.taken(name, value)
    except InvalidArguments as error:
        quote = "; put it in quotes" if isinstance(value, int | float) and "valid string" in str(error) else ""
        document.complain(place, f"no call has it: the tool does not take {shown(value)} ({error}){quote}")
        return
    if not equal(taken, value):
        document.complain(place, f"no call has it: what the tool gets is {to_json(taken)}")


def _rule(by: str, rule: RulePart) -> Rule:
    when = rule.when
    outcome: Fails | Returns | TimesOut | None = None
    if rule.error is not None:
        outcome = Fails(rule.error.code, rule.error.message)
    elif rule.timeout:
        outcome = TimesOut()
    elif "returns" in rule.model_fields_set:
        outcome = Returns(to_json(rule.returns))
    return Rule(
        by=by,
        call=when.call if when else None,
        turn=when.turn if when else None,
        args={name: _condition(value) for name, value in (when.args or {}).items()} if when else {},
        delay=rule.delay.total_seconds() if rule.delay else 0.0,
        outcome=outcome,
    )


def _condition(value: Any) -> Condition:
    if isinstance(value, RegexPart):
        return Found(value.regex)
    return Among(tuple(value.among)) if isinstance(value, InPart) else Equal(value)
