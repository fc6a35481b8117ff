"""An agent behind an OpenAI-compatible endpoint."""

import json
import os
from collections.abc import Mapping
from typing import Any

from greenroom.agents.http.chat_completions import Completion, request_body
from greenroom.agents.http.upstream import Upstream, from_environment
from greenroom.sdk import Agent, AgentError, AgentUnavailable, Reply, Turn

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
        super().__init__(name or url, **agent)
        own = {header: from_environment(value, f"header {header}") for header, value in (headers or {}).items()}
        key = (api_key or os.environ.get("OPENAI_API_KEY", "")).strip()
        if key and "authorization" not in {header.lower() for header in own}:
            own["Authorization"] = f"Bearer {key}"
        self._upstream = Upstream(url.rstrip("/").removesuffix("/chat/completions"), own)
        self._model = model
        self.on_startup(self._upstream.open)
        self.on_shutdown(self._upstream.close)
        self.on_health(self._upstream.breaker.problem)
        self.reply(self._reply)

    async def _reply(self, turn: Turn) -> Reply:
        upstream, completion = self._upstream, Completion()
        if not self._model:
            self._model = await self._first_model()
        url = f"{upstream.url}/chat/completions"
        if not turn.streamed:
            async with upstream.post(turn, url, request_body(turn, self._model, stream=False), {}) as answer:
                completion.add_whole(await upstream.json_of(answer))
            return completion.settle(turn, told=False)
        async with upstream.post(turn, url, request_body(turn, self._model, stream=True), {}) as answer:
            if not answer.headers.get("content-type", "").startswith("text/event-stream"):
                completion.add_whole(await upstream.json_of(answer))
                return completion.settle(turn, told=False)
            async for data in upstream.events(answer, _LONGEST_EVENT):
                text = completion.add_chunk(_event(data))
                if text:
                    turn.say(text)
                    await turn.keep_pace()
            return completion.settle(turn, told=True)

    async def _first_model(self) -> str:
        listed = await self._upstream.get_json(f"{self._upstream.url}/models")
        try:
            return str(listed["data"][0]["id"])
        except (TypeError, KeyError, IndexError):
            raise AgentUnavailable(
                f"{self._upstream.url}/models lists no model; name one with --upstream-model"
            ) from None


def _event(data: str) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        raise AgentError(f"an event of the stream is no JSON: {data[:100]}") from None
