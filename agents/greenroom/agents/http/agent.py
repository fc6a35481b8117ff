"""An agent behind an HTTP endpoint of its own shape."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from greenroom.agents.http.answer import AnswerPaths, AnswerReader
from greenroom.agents.http.template import DEFAULT, BodyTemplate, HeaderTemplate, template_text, values_of
from greenroom.agents.http.upstream import Upstream
from greenroom.sdk import Agent, Reply, Turn
from greenroom.tools.headers import from_environment


class HttpAgent(Agent):
    """Sends each turn to `url` as the JSON that a Jinja template makes of it, and reads the reply by JSONPath.

    `request` is the template's file, None for a body of message, session_id, user_id and metadata. In the values of
    `headers` `${NAME}` is the environment's, and `{{ … }}` what a template may name. The tools run there: what the answer
    tells of them is recorded. Raises `AgentError` for what cannot be served; docs/http-agent.md says what a dead or wrong
    endpoint comes to.
    """

    def __init__(
        self,
        url: str,
        answer: AnswerPaths,
        *,
        request: str | Path | None = None,
        headers: Mapping[str, str] | None = None,
        name: str = "",
        **agent: Any,
    ) -> None:
        super().__init__(name or url.partition("?")[0], **agent)
        self._upstream = Upstream(url, {}, tuple(from_environment(headers or {}).values()))
        named = "the request's template" if request is None else str(request)
        self._body = BodyTemplate(DEFAULT if request is None else template_text(self.beside(request)), named)
        self._headers = {
            header: HeaderTemplate(value, f"header {header}")
            for header, value in from_environment(headers or {}, templates=True).items()
        }
        self._names = self._body.names.union(*(template.names for template in self._headers.values()))
        self._answer = AnswerReader(answer)
        self.on_startup(self._upstream.open)
        self.on_shutdown(self._upstream.close)
        self.on_health(self._upstream.breaker.problem)
        self.reply(self._reply)

    async def _reply(self, turn: Turn) -> Reply:
        values = values_of(turn, self._names)
        headers = {header: template.value(values) for header, template in self._headers.items()}
        body, upstream = self._body.body(values), self._upstream

        async def ask() -> Any:
            async with upstream.post(turn, upstream.url, body, headers) as answer:
                return await answer.json()

        if not turn.is_taped:
            return self._answer.read(turn, await ask())
        shown = upstream.url.partition("?")[0]  # a query may be a key, and cassettes are shown to others
        return self._answer.read(turn, await turn.recorded(shown, json.loads(body), ask))
