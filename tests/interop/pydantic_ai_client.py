"""Runs inside an environment that has pydantic-ai: conversations of three turns with the talker, printed as JSON."""

import asyncio
import itertools
import json
import sys
from typing import Any

from pydantic_ai import Agent
from pydantic_ai.exceptions import ModelHTTPError
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

URL, PREFIX = sys.argv[1:]


async def converse(trace: str, stream: bool, own: bool, session: str) -> dict[str, Any]:
    """`own`: the client has a tool of the same name as the talker's."""
    model = OpenAIChatModel("talker", provider=OpenAIProvider(base_url=f"{URL}/v1", api_key="none"))
    agent = Agent(model)
    ran: list[int] = []

    def count(by: int) -> str:
        ran.append(by)
        return "mine"

    if own:
        agent.tool_plain(count)
    settings: Any = {"extra_headers": {"X-Tool-Trace": trace}}
    if session:
        settings["extra_body"] = {"session_id": session}
    history: Any = None
    turns = []
    refused = []
    for _ in range(3):
        asked: Any = {"message_history": history, "model_settings": settings}
        try:
            if stream:
                async with agent.run_stream("so count", **asked) as streamed:
                    text = await streamed.get_output()
                    result: Any = streamed
            else:
                result = await agent.run("so count", **asked)
                text = result.output
        except ModelHTTPError as error:
            refused.append([error.status_code, str(error.body)])
            break
        history = result.all_messages()
        kinds = [part.part_kind for message in result.new_messages() for part in message.parts]
        turns.append({"text": text, "requests": result.usage.requests, "parts": kinds})
    return {"turns": turns, "ran": len(ran), "refused": refused}


async def main() -> None:
    conversations = []
    choices = itertools.product(["message", "metadata"], [False, True], [False, True], [False, True])
    for number, (trace, stream, own, named) in enumerate(choices):
        asked: Any = {"trace": trace, "stream": stream, "own": own, "session": f"{PREFIX}-{number}" if named else ""}
        conversations.append({**asked, **await converse(**asked)})
    print(json.dumps(conversations))


asyncio.run(main())
