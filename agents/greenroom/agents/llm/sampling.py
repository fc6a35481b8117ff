"""The settings of one turn's requests: the agent's own, and over them what the client has asked for."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from greenroom.agents.llm.options import LlmOptions


class _Asked(BaseModel):
    """What is passed on of a request's options. The tools are the agent's, and so is the model."""

    model_config = ConfigDict(extra="ignore", strict=True)

    temperature: Annotated[float | None, Field(ge=0, le=2)] = None
    top_p: Annotated[float | None, Field(ge=0, le=1)] = None
    top_k: Annotated[int | None, Field(ge=1)] = None
    max_tokens: Annotated[int | None, Field(ge=1)] = None
    max_completion_tokens: Annotated[int | None, Field(ge=1)] = None
    presence_penalty: Annotated[float | None, Field(ge=-2, le=2)] = None
    frequency_penalty: Annotated[float | None, Field(ge=-2, le=2)] = None
    seed: int | None = None
    stop: str | list[str] | None = None
    logit_bias: dict[str, int] | None = None
    parallel_tool_calls: bool | None = None
    reasoning_effort: str | None = None
    verbosity: str | None = None


PASSED_ON = frozenset(_Asked.model_fields)

_RENAMED = {
    "max_completion_tokens": "max_tokens",
    "reasoning_effort": "openai_reasoning_effort",
    "verbosity": "openai_text_verbosity",
}


def settings_of(options: LlmOptions) -> dict[str, Any]:
    """What holds for all turns, in pydantic-ai's names."""
    names = ("temperature", "top_p", "max_tokens", "seed", "parallel_tool_calls")
    settings = {name: value for name in names if (value := getattr(options, name)) is not None}
    if options.confidence == "logprobs":
        settings["openai_logprobs"] = True
    return settings


def settings_for(own: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """The same with `turn.options` laid over it. A value that its option cannot have is left out."""
    if not options:
        return dict(own)
    asked = _read(options).model_dump(exclude_none=True)
    settings = {**own, **{_RENAMED.get(name, name): value for name, value in asked.items()}}
    if (stop := settings.pop("stop", None)) is not None:
        settings["stop_sequences"] = [stop] if isinstance(stop, str) else stop
    return settings


def _read(options: Mapping[str, Any]) -> _Asked:
    try:
        return _Asked.model_validate(options)
    except ValidationError as error:
        wrong = {str(mistake["loc"][0]) for mistake in error.errors()}
        return _Asked.model_validate({name: value for name, value in options.items() if name not in wrong})
