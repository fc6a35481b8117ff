"""Runs inside an environment that has langchain and langchain-openai: conversations of three turns, printed as JSON."""

import itertools
import json
import sys
from typing import Any

from langchain.agents import create_agent
from langchain_core.messages import HumanMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from openai import APIStatusError

URL, PREFIX = sys.argv[1:]


def converse(kind: str, trace: str, stream: bool, session: str) -> dict[str, Any]:
    """`kind`: the chat model alone, an agent around it, or an agent that has a tool of the same name as the talker's."""
    ran = []

    @tool
    def count(by: int) -> str:
        """Counts."""
        ran.append(by)
        return "mine"

    model = ChatOpenAI(
        model="talker",
        base_url=f"{URL}/v1",
        api_key="none",
        max_retries=0,
        stream_usage=True,
        default_headers={"X-Tool-Trace": trace},
        extra_body={"session_id": session} if session else {},
    )
    agent = create_agent(model, tools=[count] if kind == "own tool" else [])
    turns = []
    refused = []
    history: list[Any] = []
    for _ in range(3):
        history.append(HumanMessage("so count"))
        before = len(history)
        try:
            history += model_says(model, stream, history) if kind == "model" else agent_says(agent, stream, history)
        except APIStatusError as error:
            refused.append([error.status_code, str(error.body)])
            break
        first = history[before]
        turns.append(
            {
                "text": history[-1].content,
                "messages": [message.type for message in history[before:]],
                "calls": [[call["name"], call["args"]] for call in first.tool_calls],
                "invalid": first.invalid_tool_calls,
                "tokens": first.usage_metadata["total_tokens"],
                "finish": first.response_metadata["finish_reason"],
            }
        )
    return {"turns": turns, "ran": len(ran), "refused": refused}


def model_says(model: ChatOpenAI, stream: bool, history: list[Any]) -> list[Any]:
    if not stream:
        return [model.invoke(history)]
    chunks = list(model.stream(history))
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole += chunk
    return [whole]


def agent_says(agent: Any, stream: bool, history: list[Any]) -> list[Any]:
    """Streamed, the agent takes the model's answers in parts, which this puts together as the agent does."""
    if not stream:
        return agent.invoke({"messages": history})["messages"][len(history) :]
    states = [
        state
        for mode, state in agent.stream({"messages": history}, stream_mode=["messages", "values"])
        if mode == "values"
    ]
    return states[-1]["messages"][len(history) :]


conversations = []
for number, (kind, trace, stream, named) in enumerate(
    itertools.product(["model", "agent", "own tool"], ["message", "metadata"], [False, True], [False, True])
):
    asked: Any = {"kind": kind, "trace": trace, "stream": stream, "session": f"{PREFIX}-{number}" if named else ""}
    conversations.append({**asked, **converse(**asked)})
print(json.dumps(conversations))
