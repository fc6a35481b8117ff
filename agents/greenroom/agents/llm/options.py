"""What an LLM agent is told: which model, where it is, how patiently it is asked."""

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from greenroom.tools.tables import Table


def _model_name(given: str) -> str:
    if re.match(r"[a-z0-9/-]+:.", given) is None:
        raise ValueError('a model is "openai:NAME", "anthropic:NAME" or "google:NAME"')
    return given


def _address(given: str) -> str:
    if given and re.match(r"https?://.", given) is None:
        raise ValueError("an address begins with http:// or https://")
    return given


ModelName = Annotated[str, AfterValidator(_model_name), Field(examples=["openai:gpt-5-mini"])]
Address = Annotated[str, AfterValidator(_address)]


class Endpoint(Table):
    """A model and where it is reached.

    `model` is "openai:NAME" (chat completions, of OpenAI or of any endpoint that speaks them), "anthropic:NAME", "google:NAME"
    or another name that pydantic-ai knows. `api_key_env` names the environment variable that holds the key; by default that is
    the provider's own (OPENAI_API_KEY, ANTHROPIC_API_KEY, GOOGLE_API_KEY), and no key goes to a `base_url` for which none was
    named.
    """

    model: ModelName
    base_url: Address = ""
    api_key_env: str = ""


def _as_endpoint(given: Any) -> Any:
    return {"model": given} if isinstance(given, str) else given


class LlmOptions(Table):
    """How the model is asked. Seconds, where it is about time."""

    timeout: Annotated[float, Field(gt=0, le=600)] = 30.0
    """How long a model may be silent: until its answer, or where the reply is streamed until the next piece of it."""
    stream: bool = True
    """Whether the model is asked for a stream where the client is; False for an endpoint that has none."""
    retries: Annotated[int, Field(ge=0, le=10)] = 2
    """How often a model is asked again that was out of order or said nothing."""
    backoff: Annotated[float, Field(ge=0, le=60)] = 0.5
    """How long it is left alone before that: twice as long each time, up to 8, and as long as it asks for itself."""
    fallback: tuple[Annotated[Endpoint, BeforeValidator(_as_endpoint)], ...] = ()
    """Models that are asked, in this order, when the one before them gave no answer."""
    max_steps: Annotated[int, Field(ge=1, le=100)] = 8
    """How often the model is asked in one turn. It gets no tools the last time."""
    temperature: Annotated[float | None, Field(ge=0)] = None
    top_p: Annotated[float | None, Field(gt=0, le=1)] = None
    max_tokens: Annotated[int | None, Field(gt=0)] = None
    seed: int | None = None
    parallel_tool_calls: bool | None = None
    """Whether the model may call several tools at once; None leaves it to the model."""
    confidence: Literal["none", "logprobs"] = "none"
    """"logprobs": asked for with every request, and the reply's confidence where the model gives them."""
    apology: Annotated[str, Field(min_length=1)] = "I'm sorry, I can't answer that."
    """The reply where the model was stopped by a content filter, or at `max_steps`, and has said nothing."""
