"""Gives a command the flags of the settings it takes, so that they are written down once."""

import inspect
import typing
from collections.abc import Callable
from typing import Annotated, Any

import typer

from greenroom.cli.settings import Settings, flag_of, row_of, variables_of


def takes_settings(command: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Adds a flag for every setting of `command`. The function takes them as `**flags`, those that were given only; their
    values are read by the settings, so that a wrong one is explained the same way whatever its source."""

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(function)
        hints = typing.get_type_hints(function, include_extras=True)
        own = [
            parameter.replace(annotation=hints[name], kind=inspect.Parameter.KEYWORD_ONLY)
            for name, parameter in signature.parameters.items()
            if parameter.kind is not inspect.Parameter.VAR_KEYWORD
        ]
        names = [name for name in Settings.model_fields if command in row_of(name).takes and flag_of(name)]

        def run(**values: Any) -> None:
            given = {name: values.pop(name) for name in names}
            function(**values, **{name: value for name, value in given.items() if value is not None})

        run.__name__ = function.__name__
        run.__doc__ = function.__doc__
        parameters = [*own, *(_option(name) for name in names)]
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return run

    return decorate


def _option(name: str) -> inspect.Parameter:
    field = Settings.model_fields[name]
    flag = flag_of(name)
    if field.annotation is bool:
        kind: Any = bool | None
        declarations = (f"{flag}/--no-{flag.removeprefix('--')}",)
    else:
        kind = str | None
        declarations = (flag,)
    option = typer.Option(
        *declarations,
        help=f"{field.description} [{', '.join(variables_of(name))}]{_default(field.default)}",
        show_default=False,
        metavar=None if field.annotation is bool else "VALUE",
    )
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind, option])


def _default(value: Any) -> str:
    if value in (None, (), False, ""):
        return ""
    shown = value.get_secret_value() if hasattr(value, "get_secret_value") else value
    if isinstance(shown, tuple):
        shown = ",".join(shown)
    return f" (default: {shown})" if shown else ""
