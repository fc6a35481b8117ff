"""Graphs that tell all they know. What they keep is in their memory and in the turn's world."""

import json
from typing import Any

from langchain_core.messages import AIMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode
from notes import known, read_notes, save_note

from greenroom.agents.adapters.langgraph import LangGraphAgent


def model(state: MessagesState) -> dict[str, Any]:
    """Notes what it is told, reads its notes, and says everything."""
    last = state["messages"][-1]
    if last.type == "human":
        note = {"name": "save_note", "args": {"note": last.text}, "id": "save"}
        return {"messages": [AIMessage("", tool_calls=[note, {"name": "read_notes", "args": {}, "id": "read"}])]}
    said = [message.text for message in state["messages"] if message.type in ("human", "system", "tool")]
    return {"messages": [AIMessage(json.dumps({"known": known(), "said": said}))]}


def graph(**settings: Any) -> Any:
    built = StateGraph(MessagesState).add_node("model", model).add_node("tools", ToolNode([save_note, read_notes]))
    built.add_edge(START, "model").add_edge("tools", "model")
    built.add_conditional_edges("model", lambda state: "tools" if state["messages"][-1].tool_calls else END)
    return built.compile(**settings)


forgetful = LangGraphAgent(graph(), name="forgetful", world={"notes": {}})
remembering = LangGraphAgent(graph(checkpointer=InMemorySaver()), name="remembering", world={"notes": {}})
