"""What a tool takes, read off its signature and docstring."""

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, get_type_hints

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PydanticSchemaGenerationError,
    TypeAdapter,
    ValidationError,
    create_model,
)
from pydantic_core import to_jsonable_python

_ARGUMENT = re.compile(r"^\s+(\w+)(?:\s*\([^)]*\))?:\s*(.+)$")


class Injectable:
    """A type that tools may ask for by annotation: it is filled in, and never shown to a model."""

    __slots__ = ()
    reaches_further: ClassVar[bool] = False
    """Whether a tool that gets it may do more than return something and write to the world."""

    @classmethod
    def for_call(cls, running: Any) -> Any:
        """The value for one call (a `toolbox.Execution`)."""
        raise NotImplementedError


class InvalidArguments(Exception):
    """A tool was called with arguments it does not take. The message names each."""


@dataclass(frozen=True, slots=True)
class Signature:
    """A function's own parameters (validated, shown to models) and those that are injected by type."""

    description: str
    model: type[BaseModel]
    """Its fields have names of ours and the parameters' as aliases: a parameter may have any name, a model's field not."""
    names: tuple[str, ...]
    """The parameters, in the order of the fields."""
    injected: Mapping[str, type[Injectable]]

    def schema(self) -> dict[str, Any]:
        """JSON Schema of the arguments, as OpenAI's function tools want it."""
        schema = self.model.model_json_schema()
        schema.pop("title", None)
        for parameter in schema.get("properties", {}).values():
            parameter.pop("title", None)
        schema.setdefault("properties", {})
        return schema

    def validated(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments with defaults and types applied. Raises `InvalidArguments`."""
        try:
            return dict(zip(self.names, self.model.model_validate(arguments).__dict__.values(), strict=True))
        except ValidationError as error:
            details = (f"{'.'.join(map(str, e['loc'])) or 'arguments'}: {e['msg']}" for e in error.errors())
            raise InvalidArguments("; ".join(details)) from None

    def keywords(self, given: dict[str, Any]) -> dict[str, Any]:
        """Validated arguments as the function is called with them."""
        return given

    def taken(self, name: str, value: Any) -> Any:
        """One argument as the tool gets it, in JSON's terms. Raises `InvalidArguments` where the tool does not take it."""
        field = self.model.model_fields[f"p{self.names.index(name) + 1}"]
        annotated: Any = Annotated
        kind: Any = annotated[field.annotation, *field.metadata] if field.metadata else field.annotation
        adapter: TypeAdapter[Any] = TypeAdapter(kind)
        try:
            return to_jsonable_python(adapter.validate_python(value), fallback=str)
        except ValidationError as error:
            details = (f"{''.join(f'{part}: ' for part in e['loc'])}{e['msg']}" for e in error.errors())
            raise InvalidArguments("; ".join(details)) from None


@dataclass(frozen=True, slots=True)
class DescribedSignature:
    """What a tool takes by a JSON schema that came with it. Checking arguments against it is its function's affair."""

    description: str
    parameters: Mapping[str, Any]
    injected: Mapping[str, type[Injectable]]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.parameters.get("properties", {}))

    def schema(self) -> dict[str, Any]:
        """As it was given."""
        return dict(self.parameters)

    def validated(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments as they came."""
        return dict(arguments)

    def keywords(self, given: dict[str, Any]) -> dict[str, Any]:
        """They all go to the function's parameter `arguments`."""
        return {"arguments": given}

    def taken(self, name: str, value: Any) -> Any:
        """An argument as it was given."""
        return value


ToolSignature = Signature | DescribedSignature


def describe_signature(
    function: Callable[..., Any], description: str, parameters: Mapping[str, Any]
) -> DescribedSignature:
    """Of a function that takes `arguments`, and what is injected by type. Raises `TypeError` for any other."""
    hints = get_type_hints(function)
    injected: dict[str, type[Injectable]] = {}
    for name in inspect.signature(function).parameters:
        hint = hints.get(name)
        if isinstance(hint, type) and issubclass(hint, Injectable):
            injected[name] = hint
        elif name != "arguments":
            raise TypeError(f"a described tool's function takes `arguments` and what is injected, not {name}")
    return DescribedSignature(description, parameters, injected)


def read_signature(function: Callable[..., Any]) -> Signature:
    """Raises `TypeError` for parameters no model could fill: *args, **kwargs, positional-only, unannotated, of a type that
    JSON has no schema for."""
    name = getattr(function, "__name__", repr(function))
    hints = get_type_hints(function, include_extras=True)
    described = _argument_texts(inspect.getdoc(function) or "")
    names: list[str] = []
    fields: dict[str, Any] = {}
    injected: dict[str, type[Injectable]] = {}
    for parameter in inspect.signature(function).parameters.values():
        hint = hints.get(parameter.name)
        if isinstance(hint, type) and issubclass(hint, Injectable):
            injected[parameter.name] = hint
            continue
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise TypeError(f"tool {name}: parameter {parameter} cannot be given by name")
        if hint is None:
            raise TypeError(f"tool {name}: parameter {parameter.name} has no type annotation")
        default = ... if parameter.default is parameter.empty else parameter.default
        names.append(parameter.name)
        text = described.get(parameter.name)
        fields[f"p{len(names)}"] = (hint, Field(default, alias=parameter.name, description=text))
    try:
        model = create_model(name, __config__=ConfigDict(extra="forbid", arbitrary_types_allowed=False), **fields)
    except PydanticSchemaGenerationError:
        raise TypeError(f"tool {name}: {_beyond_json(names, [hint for hint, _ in fields.values()])}") from None
    return Signature(_summary(inspect.getdoc(function) or ""), model, tuple(names), injected)


def _beyond_json(names: Sequence[str], hints: Sequence[Any]) -> str:
    for name, hint in zip(names, hints, strict=True):
        try:
            TypeAdapter(hint)
        except PydanticSchemaGenerationError:
            kind = hint.__qualname__ if isinstance(hint, type) else str(hint)
            return (
                f"parameter {name}: a {kind} cannot be given as JSON; a TypedDict, a dataclass or a pydantic model can,"
                " and World, Turn, User and Call are filled in"
            )
    return "its parameters cannot be given as JSON"


def _summary(doc: str) -> str:
    return re.split(r"\n\s*(?:Args|Arguments|Parameters|Returns|Raises):", doc, maxsplit=1)[0].strip()


def _argument_texts(doc: str) -> dict[str, str]:
    """The texts of a Google-style `Args:` section."""
    _, found, section = doc.partition("Args:\n")
    texts: dict[str, str] = {}
    for line in section.splitlines() if found else ():
        if line and not line[0].isspace():
            break
        if match := _ARGUMENT.match(line):
            texts[match[1]] = match[2].strip()
    return texts
