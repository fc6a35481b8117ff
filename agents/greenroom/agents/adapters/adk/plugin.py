"""What a turn adds to every agent that runs in it."""

from typing import Any

from google.adk.plugins.base_plugin import BasePlugin

from greenroom.agents.adapters.adk.tools import in_turn
from greenroom.agents.adapters.system import system_texts
from greenroom.agents.adapters.tokens import Tokens
from greenroom.sdk import Turn


class TurnPlugin(BasePlugin):
    """Puts the turn's system texts before the agents' own, their tools into the toolbox, and counts tokens."""

    def __init__(self, turn: Turn) -> None:
        super().__init__(name="greenroom")
        self.tokens = Tokens()
        self._context = "\n\n".join(system_texts(turn))

    async def before_model_callback(self, *, callback_context: Any, llm_request: Any) -> None:
        """The request's own dictionary of tools is the one that its calls are looked up in."""
        for name, tool in llm_request.tools_dict.items():
            llm_request.tools_dict[name] = in_turn(tool)
        own = llm_request.config.system_instruction
        if self._context and (own is None or isinstance(own, str)):
            llm_request.config.system_instruction = f"{self._context}\n\n{own}" if own else self._context

    async def after_model_callback(self, *, callback_context: Any, llm_response: Any) -> None:
        usage = llm_response.usage_metadata
        if usage is not None and not llm_response.partial:
            written = usage.candidates_token_count
            thought = usage.thoughts_token_count
            self.tokens.add(usage.prompt_token_count, (written or 0) + (thought or 0))
