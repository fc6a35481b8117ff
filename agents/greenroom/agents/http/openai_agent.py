"""An agent behind an OpenAI-compatible endpoint."""

import os
from collections.abc import Mapping
from typing import Any

from greenroom.agents.http.chat_completions import ADDED, Completion, as_body, request_of
from greenroom.agents.http.exchange import Refused
from greenroom.agents.http.upstream import Upstream
from greenroom.sdk import Agent, AgentUnavailable, Reply, Turn
from greenroom.tools.headers import from_environment

_LONGEST_EVENT = 1024 * 1024


class OpenAiAgent(Agent):
    """Sends the whole conversation of each turn to `url`/chat/completions and passes the reply on, as it comes where
    somebody reads along.

    `model` is the name the endpoint knows; "" takes the first that it lists. The key is `api_key`, or in the environment's
    `OPENAI_API_KEY`; none is sent where there is none. In the values of `headers` `${NAME}` is the environment's. Tools run
    there: the calls that it tells of are recorded, with their results where it tells them. Raises `AgentError` for what
    cannot be served.
    """

    def __init__(
        self,
        url: str,
        *,
        model: str = "",
        api_key: str = "",
        headers: Mapping[str, str] | None = None,
        name: str = "",
        **agent: Any,
    ) -> None:
        address, mark, query = url.partition("?")
        super().__init__(name or address, **agent)
        own = from_environment(headers or {})
        key = (api_key or os.environ.get("OPENAI_API_KEY", "")).strip()
        if key and "authorization" not in {header.lower() for header in own}:
            own["Authorization"] = f"Bearer {key}"
        self._query = mark + query
        """Goes with every request: some gateways want a version there."""
        self._upstream = Upstream(address.rstrip("/").removesuffix("/chat/completions"), own)
        self._model = model
        self._listed: Any = None
        """What the endpoint says of its models, once it has been asked."""
        self._left_out: frozenset[str] = frozenset()
        """What it was found to refuse."""
        self.on_startup(self._upstream.open)
        self.on_shutdown(self._upstream.close)
        self.on_health(self._upstream.breaker.problem)
        self.reply(self._reply)

    async def _reply(self, turn: Turn) -> Reply:
        model = self._model or await self._first_model(turn)
        asked = request_of(turn, model)
        if not turn.is_taped:
            return (await self._ask(turn, asked)).settle(turn)
        live = Completion()

        async def ask() -> dict[str, Any]:
            nonlocal live
            live = await self._ask(turn, asked)
            return live.whole()

        told = await turn.recorded(model, asked, ask)
        if live.is_empty:
            live.add_whole(told)
        return live.settle(turn)

    async def _ask(self, turn: Turn, asked: Mapping[str, Any]) -> Completion:
        """The answer; of a stream all text has been said. An endpoint that knows no `user`, or no `stream_options`, and
        therefore refuses the request is asked without."""
        left_out = self._left_out
        while True:
            body = as_body(asked, stream=turn.streamed, without=left_out)
            try:
                completion = await self._sent(turn, body)
            except Refused as refused:
                left_out |= {name for name in ADDED if name in refused.told}
                if as_body(asked, stream=turn.streamed, without=left_out) == body:
                    raise
            else:
                self._left_out |= left_out
                return completion

    async def _sent(self, turn: Turn, body: bytes) -> Completion:
        upstream, completion = self._upstream, Completion()
        async with upstream.post(turn, f"{upstream.url}/chat/completions{self._query}", body, {}) as answer:
            if not answer.is_stream:
                completion.add_whole(await answer.json())
                return completion
            async for data in answer.events(_LONGEST_EVENT):
                text = completion.add_event(data)
                if text:
                    turn.say(text)
                    answer.awaited = False
                    await turn.keep_pace()
                    answer.awaited = True
            completion.check_end()
        return completion

    async def _first_model(self, turn: Turn) -> str:
        url = f"{self._upstream.url}/models"

        async def ask() -> Any:
            if self._listed is None:
                self._listed = await self._upstream.get_json(turn, url + self._query)
            return self._listed

        listed = await turn.recorded(url, {}, ask)
        try:
            return str(listed["data"][0]["id"])
        except (TypeError, KeyError, IndexError):
            self._listed = None
            raise AgentUnavailable(
                f"{self._upstream.url}/models lists no model; name one with --upstream-model"
            ) from None
