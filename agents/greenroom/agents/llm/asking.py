"""One turn's requests to its models: told while they are answered, asked again, and put to the next model."""

import asyncio
import logging
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Final, cast

from pydantic_ai.direct import model_request, model_request_stream
from pydantic_ai.messages import (
    ModelMessage,
    ModelResponse,
    ModelResponseStreamEvent,
    PartDeltaEvent,
    PartStartEvent,
    TextPart,
    TextPartDelta,
)
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.settings import ModelSettings

from greenroom.agents.breaker import Breaker
from greenroom.agents.llm.models import OpenModel
from greenroom.agents.llm.options import LlmOptions
from greenroom.agents.llm.problems import Problem, problem_of
from greenroom.sdk import AgentUnavailable, ConversationTooLong, Turn

logger = logging.getLogger(__name__)

LONGEST_PAUSE: Final = 8.0
"""Seconds between two attempts, unless the model asks for more."""

_LEAST_TIME = 1.0
"""Seconds that must be left of a turn for a pause to be worth it."""

_STOPPED = ("content_filter", "length")


@dataclass(frozen=True, slots=True)
class Request:
    """What a model is asked in one step."""

    messages: Sequence[ModelMessage]
    settings: Mapping[str, Any]
    parameters: ModelRequestParameters


class Asking:
    """The requests of one turn. A model that has answered one of them is asked the next ones first."""

    def __init__(self, turn: Turn, models: Sequence[OpenModel], options: LlmOptions) -> None:
        self._turn = turn
        self._models = models
        self._options = options
        self._current = 0
        self.problems: list[str] = []
        """What went wrong on the way, in order."""
        self.is_down = False
        """Whether the last of them says something of the model, not of what it was asked."""
        self._too_long: set[int] = set()
        """The models for which the conversation is too long."""

    @property
    def model(self) -> str:
        """The name of the model that has answered last."""
        return self._models[self._current].name

    def was_answered_by(self, model: str) -> None:
        """A recorded answer has taken this model's place."""
        self._current = next((n for n, one in enumerate(self._models) if one.name == model), self._current)

    async def ask(self, request: Request) -> ModelResponse:
        """A model's answer, whose text has been told. Raises `AgentUnavailable` when none gave any, or one broke off in the
        midst of what a stream was told already; `ConversationTooLong` where it is that for all of them."""
        problem: Problem | None = None
        for number in range(self._current, len(self._models)):
            self._current = number
            for attempt in range(self._options.retries + 1):
                text = StepText(self._turn)
                try:
                    return await self._attempt(request, text)
                except Problem as found:
                    problem = found
                self._note(problem)
                pause = self._pause(problem, attempt)
                if text.told:
                    raise _unavailable(f"{self.model} broke off: {problem}", problem)
                if pause is None:
                    break
                await asyncio.sleep(pause)
        said = f"no model has answered: {', '.join(self.problems)}"
        if len(self._too_long) == len(self._models):
            raise ConversationTooLong(said)
        raise _unavailable(said, problem)

    def _pause(self, problem: Problem, attempt: int) -> float | None:
        """Seconds until the same model is asked again; None when it is not."""
        if not problem.again or attempt == self._options.retries:
            return None
        if problem.reason == "timeout" and self._current + 1 < len(self._models):
            return None  # it has taken a good part of the turn's time already
        pause = min(self._options.backoff * 2**attempt, LONGEST_PAUSE) * random.uniform(0.5, 1)
        pause = max(pause, problem.retry_after or 0.0)
        return pause if pause <= min(self._options.timeout, self._turn.time_left - _LEAST_TIME) else None

    def _note(self, problem: Problem) -> None:
        self.problems.append(f"{self.model}: {problem}")
        self.is_down = problem.is_models
        if problem.reason == "too_long":
            self._too_long.add(self._current)
        logger.warning("%s gave no answer: %s", self.model, problem)

    async def _attempt(self, request: Request, text: "StepText") -> ModelResponse:
        model = self._models[self._current].model
        streams = self._turn.feed is not None and self._options.stream
        with _attempted(self._models[self._current].breaker) as failed:
            try:
                response = await (self._streamed(model, request, text) if streams else self._whole(model, request))
            except Exception as error:  # a client may raise anything over what a backend sends
                if self._turn.toolbox.refused is not None:
                    raise
                logger.debug("what %s has sent", self.model, exc_info=error)
                problem = problem_of(error)
                if problem.is_down:
                    failed(str(problem))
                raise problem from error
        if response.finish_reason == "error":
            raise Problem("broken_answer", again=True)
        if not streams:
            text.tell("".join(part.content for part in response.parts if isinstance(part, TextPart)))
        if not (text.told or response.tool_calls or response.finish_reason in _STOPPED):
            raise Problem("empty", again=True)
        return response

    async def _whole(self, model: Any, request: Request) -> ModelResponse:
        async with asyncio.timeout(self._options.timeout):
            return await model_request(
                model,
                request.messages,
                model_settings=_settings(request),
                model_request_parameters=request.parameters,
                instrument=False,
            )

    async def _streamed(self, model: Any, request: Request, text: "StepText") -> ModelResponse:
        now = asyncio.get_running_loop().time
        async with (
            asyncio.timeout(self._options.timeout) as silence,
            model_request_stream(
                model,
                request.messages,
                model_settings=_settings(request),
                model_request_parameters=request.parameters,
                instrument=False,
            ) as stream,
        ):
            async for event in stream:
                if piece := _text_of(event):
                    silence.reschedule(None)  # the reader's time is not the model's
                    text.tell(piece)
                    await self._turn.keep_pace()
                silence.reschedule(now() + self._options.timeout)
        return stream.get()


@contextmanager
def _attempted(breaker: Breaker) -> Iterator[Callable[[str], None]]:
    """An attempt that counts for the model's breaker. Raises `Problem` while that refuses any."""
    with ExitStack() as stack:
        try:
            failed = stack.enter_context(breaker.attempt())
        except AgentUnavailable as alone:
            raise Problem("left_alone", again=False, retry_after=alone.retry_after) from None
        yield failed


class StepText:
    """The text of one answer, told to the turn. White space before it is left out, so an answer of nothing else is none."""

    def __init__(self, turn: Turn) -> None:
        self._turn = turn
        self.told = False

    def tell(self, piece: str) -> None:
        """Says a piece. What earlier answers of the turn have said is set off by an empty line."""
        if not self.told:
            piece = piece.lstrip()
            if not piece:
                return
            self.told = True
            if self._turn.said:
                piece = f"\n\n{piece}"
        self._turn.say(piece)


def _unavailable(message: str, problem: Problem | None) -> AgentUnavailable:
    if problem is None or problem.retry_after is None:
        return AgentUnavailable(message)
    return AgentUnavailable(message, retry_after=problem.retry_after)


def _settings(request: Request) -> ModelSettings:
    return cast("ModelSettings", {**request.settings})


def _text_of(event: ModelResponseStreamEvent) -> str:
    match event:
        case PartStartEvent(part=TextPart(content=text)):
            return text
        case PartDeltaEvent(delta=TextPartDelta(content_delta=text)):
            return text
        case _:
            return ""
