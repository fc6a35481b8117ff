"""What a framework gets of a tool call that a cassette answers: the same as when it was recorded, or the call stays live."""

import builtins
import inspect
from ast import literal_eval
from collections.abc import Callable, Collection
from math import isfinite
from typing import Any


class Again:
    """For frameworks that take a tool's result as it is, and look at all of its failures. Those are given again where their
    class is Python's own, or one of `errors`, and their text says all there is to them."""

    def __init__(self, *errors: type[Exception]) -> None:
        self._errors = {error.__name__: error for error in errors}

    def returns(self, value: Any) -> bool:
        """Whether JSON of what the tool gave is enough to have it again."""
        return is_plain(value)

    def raises(self, error: BaseException) -> bool:
        """Whether the name of its class and its text are enough to have its failure again."""
        made = self.failure(type(error).__name__, str(error))
        if made is None or type(made) is not type(error) or not is_plain([*error.args, vars(error)]):
            return False
        return (made.args, vars(made)) == (error.args, vars(error))

    async def given(self, result: Any) -> Any:
        """What the framework gets for a recorded result."""
        return result

    async def failed(self, failure: Exception) -> Exception:
        """What the framework gets for a recorded failure."""
        return failure

    def failure(self, name: str, text: str) -> Exception | None:
        """A failure as it was; None where nothing is known that it could have been."""
        kind = self._errors.get(name) or getattr(builtins, name, None)
        if not isinstance(kind, type) or not issubclass(kind, Exception) or kind is TimeoutError:
            return None
        try:
            made: Exception = kind(literal_eval(text) if kind is KeyError else text)  # its text is Python's for the key
        except (TypeError, ValueError, SyntaxError):
            return None
        return made


class ByName(Again):
    """For frameworks that look at the class's name and the text of a failure alone. Those of their own steer a run, and
    Greenroom's have a code in the place of the name."""

    def __init__(self, *packages: str) -> None:
        super().__init__()
        self._packages = (*packages, "greenroom")

    def raises(self, error: BaseException) -> bool:
        if not isinstance(error, Exception) or type(error).__module__.partition(".")[0] in self._packages:
            return False
        made = self.failure(type(error).__name__, str(error))
        return (type(made).__name__, str(made)) == (type(error).__name__, str(error))

    def failure(self, name: str, text: str) -> Exception | None:
        if name == TimeoutError.__name__:
            return None
        made = super().failure(name, text)
        return type(name, (Exception,), {})(text) if made is None else made


def is_plain(value: Any) -> bool:
    """Whether it is JSON as it stands: what is read from JSON of it is the same."""
    kind = type(value)
    if kind is dict:
        return all(type(key) is str and is_plain(item) for key, item in value.items())
    if kind is list:
        return all(map(is_plain, value))
    return value is None or kind in (str, int, bool) or (kind is float and isfinite(value))


def takes_only(function: Callable[..., Any], names: Collection[str]) -> bool:
    """Whether these arguments are all that a function is given: nothing of its framework's run is among them."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return False
    return all(one.kind in (one.VAR_KEYWORD, one.VAR_POSITIONAL) or one.name in names for one in parameters)
