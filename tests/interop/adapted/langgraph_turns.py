"""Turns of real LangGraph graphs with a model that is made up. See test_adapted_graphs.py."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, TypedDict

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import wrap_tool_call
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool, StructuredTool, ToolException, tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.config import get_store
from langgraph.func import entrypoint
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import InjectedState, ToolNode
from langgraph.store.base import BaseStore
from langgraph.store.memory import InMemoryStore
from langgraph.types import interrupt
from played import (
    Played,
    ask,
    play,
    scripted,
    sees_each_session_apart,
    sees_text_streamed_and_tokens_counted,
    sees_the_conversation_before_once,
    sees_the_scenarios_tools,
    sees_the_tools_recorded,
)
from replayed import FAILING, PLAIN, TOOLS, asked_for, fails_by_its_own, names_of, ran, sees_tools_replayed

from greenroom.agents.adapters import adapt, current_turn
from greenroom.agents.adapters.langgraph import LangGraphAgent, Shape
from greenroom.core.errors import AgentFailed
from greenroom.sdk import AgentError


class FakeModel(BaseChatModel):
    """Calls `look_up` when the user asks about an order, and tells the tool's answer; else says how many messages it got."""

    seen: list[list[BaseMessage]] = []  # pydantic copies it

    @property
    def _llm_type(self) -> str:
        return "fake"

    def bind_tools(self, tools: Any, **kwargs: Any) -> "FakeModel":
        return self

    def _answer(self, messages: list[BaseMessage]) -> AIMessage:
        self.seen.append(list(messages))
        usage = {"input_tokens": 10, "output_tokens": 3, "total_tokens": 13}
        last = messages[-1]
        if isinstance(last, ToolMessage):
            return AIMessage(f"The tool says {last.content}", usage_metadata=usage)
        if "order" in last.text:
            calls = [
                {"name": "look_up", "args": {"order_id": word}, "id": f"call-{word}"}
                for word in last.text.split()
                if word.isdigit()
            ]
            return AIMessage("Let me look. ", tool_calls=calls, usage_metadata=usage)
        users = [message.text for message in messages if isinstance(message, HumanMessage)]
        systems = [message.text for message in messages if isinstance(message, SystemMessage)]
        return AIMessage(json.dumps({"users": users, "systems": systems}), usage_metadata=usage)

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=self._answer(messages))])

    def _stream(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
        run_manager = kwargs.get("run_manager")
        whole = self._answer(messages)
        for word in whole.text.split(" "):
            chunk = ChatGenerationChunk(message=AIMessageChunk(f"{word} "))
            if run_manager:
                run_manager.on_llm_new_token(chunk.text, chunk=chunk)
            yield chunk
        last = AIMessageChunk(
            "",
            tool_call_chunks=[
                {"name": call["name"], "args": json.dumps(call["args"]), "id": call["id"], "index": index}
                for index, call in enumerate(whole.tool_calls)
            ],
            usage_metadata=whole.usage_metadata,
            chunk_position="last",
        )
        yield ChatGenerationChunk(message=last)


@tool
def look_up(order_id: str) -> dict[str, str]:
    """Looks an order up.

    Args:
        order_id: The order's number.
    """
    if order_id == "0":
        raise KeyError(order_id)
    current_turn().world["seen"][order_id] = {"times": 1}
    return {"order": order_id, "status": "shipped"}


def shop(**settings: Any) -> Any:
    return create_agent(FakeModel(), [look_up], system_prompt="You are a shop.", name="shop", **settings)


def served(graph: Any = None, **settings: Any) -> LangGraphAgent:
    return LangGraphAgent(shop() if graph is None else graph, world={"seen": {}}, **settings)


async def test_a_graph_is_recognised() -> None:
    agent = adapt(shop(), "my_app:graph")
    assert isinstance(agent, LangGraphAgent)
    [tool_] = agent.tools
    assert tool_.name == "look_up"
    assert tool_.description.startswith("Looks an order up.")
    schema = tool_.signature.schema()
    assert (list(schema["properties"]), schema["properties"]["order_id"]["type"]) == (["order_id"], "string")
    assert schema["required"] == ["order_id"]


async def test_tools_run_in_the_turn_with_their_world_and_are_recorded() -> None:
    await sees_the_tools_recorded(served())


async def test_a_scenario_scripts_them() -> None:
    await sees_the_scenarios_tools(served())


async def test_a_failing_tool_is_the_frameworks_own_error() -> None:
    """It goes to whoever handles tools' errors in the graph; the graph fails if nobody does."""

    @wrap_tool_call
    async def told(request: Any, handler: Any) -> Any:
        try:
            return await handler(request)
        except Exception as error:
            return ToolMessage(f"{type(error).__name__}: {error}", tool_call_id=request.tool_call["id"])

    [reply] = await play(served(shop(middleware=[told])), ["order 0"])
    assert "The tool says KeyError: '0'" in reply.text
    assert [(call.ok, json.loads(call.result_json)["error"]["type"]) for call in reply.tool_calls] == [
        (False, "KeyError")
    ]
    script = scripted({"error": {"code": "down", "message": "It does not answer."}})
    [reply] = await play(served(shop(middleware=[told])), ["order 12"], **script)
    assert "The tool says ToolException: It does not answer." in reply.text
    with pytest.raises(AgentFailed):
        await play(served(), ["order 0"])


async def test_a_sync_wrapper_around_tools_is_kept_and_each_of_its_tries_is_a_call() -> None:
    tries: list[str] = []

    def twice(request: Any, execute: Any) -> Any:
        tries.append(request.tool_call["name"])
        execute(request)
        return execute(request)

    graph = StateGraph(MessagesState)
    graph.add_node("model", lambda state: {"messages": [FakeModel().invoke(state["messages"])]})
    graph.add_node("tools", ToolNode([look_up], wrap_tool_call=twice))
    graph.add_edge(START, "model")
    graph.add_conditional_edges(
        "model", lambda state: "tools" if state["messages"][-1].tool_calls else END, ["tools", END]
    )
    graph.add_edge("tools", "model")
    [reply] = await play(served(graph.compile()), ["order 12"])
    assert tries == ["look_up"]
    assert len(reply.tool_calls) == 2
    assert "shipped" in reply.text


async def test_a_tool_that_a_node_calls_by_itself_is_recorded_from_the_outside() -> None:
    async def node(state: MessagesState) -> dict[str, Any]:
        result = await look_up.ainvoke({"order_id": "7"})
        other = await asyncio.to_thread(look_up.invoke, {"order_id": "8"})
        return {"messages": [AIMessage(f"{result['status']} {other['status']}")]}

    graph = StateGraph(MessagesState).add_node("node", node).add_edge(START, "node").compile()
    [reply] = await play(served(graph), ["Hello"])
    assert reply.text == "shipped shipped"
    assert [(call.name, call.ok, json.loads(call.arguments_json)) for call in reply.tool_calls] == [
        ("look_up", True, {"order_id": "7"}),
        ("look_up", True, {"order_id": "8"}),
    ]
    assert json.loads(reply.tool_calls[0].result_json) == {"order": "7", "status": "shipped"}


async def test_a_number_that_json_has_none_for_fails_no_tool() -> None:
    @tool
    def measure(order_id: str) -> dict[str, float]:
        """Measures what is not there."""
        return {order_id: float("nan")}

    asked = AIMessage("", tool_calls=[{"name": "measure", "args": {"order_id": "7"}, "id": "call-1"}])

    def model(state: MessagesState) -> dict[str, Any]:
        last = state["messages"][-1]
        return {"messages": [AIMessage(last.content) if isinstance(last, ToolMessage) else asked]}

    graph = StateGraph(MessagesState).add_node("model", model).add_node("tools", ToolNode([measure]))
    graph.add_edge(START, "model").add_edge("tools", "model")
    graph.add_conditional_edges("model", lambda state: "tools" if state["messages"][-1].tool_calls else END)
    [reply] = await play(served(graph.compile()), ["Hello"])
    assert reply.text == '{"7": NaN}'
    assert [json.loads(call.result_json) for call in reply.tool_calls] == [{"7": None}]


@pytest.mark.parametrize("memory", [False, True])
async def test_the_history_is_told_once_in_each_turn(memory: bool) -> None:
    model = FakeModel()
    graph = create_agent(
        model, [look_up], system_prompt="You are a shop.", checkpointer=InMemorySaver() if memory else None
    )
    replies = await play(served(graph), ["one", "order 5", "three"])
    assert json.loads(replies[2].text)["users"] == ["one", "order 5", "three"]
    kinds = [type(message).__name__ for message in model.seen[-1]]
    assert kinds == [
        "SystemMessage",
        "HumanMessage",
        "AIMessage",
        "HumanMessage",
        "AIMessage",
        "ToolMessage",
        "AIMessage",
        "HumanMessage",
    ]


@pytest.mark.parametrize("memory", [False, True])
async def test_going_back_rewinds_the_memory(memory: bool) -> None:
    graph = shop(checkpointer=InMemorySaver() if memory else None)
    async with Played(served(graph)) as played:
        first = await played.say("one")
        await played.say("two")
        again = await played.send([*ask("one"), {"role": "assistant", "content": first.turn.reply}, *ask("three")])
        assert json.loads(again.turn.reply)["users"] == ["one", "three"]
        assert ("langgraph" in await played.state()) == memory


@pytest.mark.parametrize("memory", [False, True])
async def test_system_messages_hold_for_their_turn_before_the_graphs_own_prompt_or_after(memory: bool) -> None:
    graph = shop(checkpointer=InMemorySaver() if memory else None)
    async with Played(served(graph, instructions="Be brief.")) as played:
        first = await played.send([{"role": "system", "content": "The user is Ann."}, *ask("one")])
        assert json.loads(first.turn.reply)["systems"] == ["You are a shop.", "Be brief.\n\nThe user is Ann."]
        second = await played.send([{"role": "system", "content": "The user is Bob."}, *ask("two")])
        assert json.loads(second.turn.reply)["systems"] == ["You are a shop.", "Be brief.\n\nThe user is Bob."]
        assert json.loads(second.turn.reply)["users"] == ["one", "two"]


async def test_a_conversation_that_began_elsewhere_is_handed_to_the_memory_once() -> None:
    await sees_the_conversation_before_once(served(shop(checkpointer=InMemorySaver())))


async def test_text_is_streamed_as_the_model_writes_it_and_its_tokens_are_counted() -> None:
    await sees_text_streamed_and_tokens_counted(served())


async def test_an_interrupt_is_a_reply_and_the_next_message_resumes() -> None:
    async def confirm(state: MessagesState) -> dict[str, Any]:
        answer = interrupt("Shall I cancel it?")
        return {"messages": [AIMessage(f"You said {answer}.")]}

    inner = StateGraph(MessagesState).add_node("confirm", confirm).add_edge(START, "confirm").compile()
    graph = (
        StateGraph(MessagesState)
        .add_node("inner", inner)
        .add_edge(START, "inner")
        .compile(checkpointer=InMemorySaver())
    )
    async with Played(served(graph)) as played:
        first = await played.say("Cancel my order.")
        assert first.turn.reply == "Shall I cancel it?"
        second = await played.say("yes")
        assert second.turn.reply == "You said yes."
        # going back to the question asks it again, and takes another answer
        other = await played.send(
            [*ask("Cancel my order."), {"role": "assistant", "content": first.turn.reply}, *ask("no")]
        )
        assert other.turn.reply == "You said no."
        third = await played.say("Again.")
        assert third.turn.reply == "Shall I cancel it?"


@pytest.mark.parametrize(
    ("stops", "told"),
    [
        ({"interrupt_before": ["tools"]}, "interrupt_before tools"),
        ({"interrupt_after": ["model", "tools"]}, "interrupt_after model, interrupt_after tools"),
    ],
)
def test_a_graph_that_stops_without_a_question_is_refused(stops: dict[str, Any], told: str) -> None:
    stopping = shop(checkpointer=InMemorySaver(), **stops)
    around = StateGraph(MessagesState).add_node("inner", stopping).add_edge(START, "inner")
    for graph in (stopping, around.compile(), around.compile(checkpointer=InMemorySaver())):
        with pytest.raises(AgentError, match=rf"agent .*: the graph is compiled to stop \({told}\)"):
            served(graph)
    with pytest.raises(AgentError, match=r"interrupt_before \*"):
        served(lambda: around.compile(interrupt_before="*"), factory=True)


@pytest.mark.parametrize("memory", [False, True])
async def test_what_a_graph_stores_is_of_its_session_and_goes_back_with_it(memory: bool) -> None:
    async def note(state: MessagesState, store: BaseStore) -> dict[str, Any]:
        text = state["messages"][-1].text
        found = [f"{item.key}={item.value['text']}" for item in await store.asearch(("notes",))]
        if text == "forget":
            await store.adelete(("notes",), "seed")
        else:
            await store.aput(("notes",), text, {"text": text})
        return {"messages": [AIMessage(" ".join(sorted(found)))]}

    own = InMemoryStore()
    own.put(("notes",), "seed", {"text": "own"})
    built = StateGraph(MessagesState).add_node("note", note).add_edge(START, "note")
    graph = built.compile(store=own, checkpointer=InMemorySaver() if memory else None)
    async with Played(served(graph)) as played:
        first = await played.say("a")
        assert first.turn.reply == "seed=own"
        assert (await played.say("forget")).turn.reply == "a=a seed=own"
        assert (await played.say("b")).turn.reply == "a=a"
        assert (await played.say("c", session="other")).turn.reply == "seed=own"
        again = await played.send([*ask("a"), {"role": "assistant", "content": "seed=own"}, *ask("d")])
        assert again.turn.reply == "a=a seed=own"
    assert [item.key for item in own.search(("notes",))] == ["seed"]


class Question(TypedDict):
    question: str
    asked: Annotated[list[str], lambda old, new: old + new]
    answer: str


def answering(state: Question) -> dict[str, Any]:
    return {"answer": f"{len(state.get('asked', []))} {state['question']}", "asked": [state["question"]]}


def questions(**settings: Any) -> Any:
    return StateGraph(Question).add_node("answering", answering).add_edge(START, "answering").compile(**settings)


async def test_a_state_without_messages_is_served_by_its_keys() -> None:
    with pytest.raises(
        AgentError,
        match=r"has no 'messages', say what is the input: Shape\(input=…\), one of answer, asked, question, or",
    ):
        LangGraphAgent(questions())
    plain = await play(LangGraphAgent(questions(), shape=Shape(input="question", output="answer")), ["a", "b"])
    assert [reply.text for reply in plain] == ["0 a", "0 b"]
    shape = Shape(input="question", output="answer", memory=True)
    kept = await play(LangGraphAgent(questions(), shape=shape), ["a", "b"])
    assert [reply.text for reply in kept] == ["0 a", "1 b"]
    made = Shape(input=lambda turn: {"question": turn.text.upper()}, output=lambda state: state["answer"] + "!")
    [reply] = await play(LangGraphAgent(questions(), shape=made), ["a"])
    assert reply.text == "0 A!"


async def test_a_workflow_of_the_functional_api_is_served_by_functions() -> None:
    @entrypoint(checkpointer=InMemorySaver())
    async def count(text: str, *, previous: int | None = None) -> Any:
        number = (previous or 0) + 1
        return entrypoint.final(value=f"{number} {text}", save=number)

    with pytest.raises(AgentError, match=r"Shape\(input=…\), a function"):
        LangGraphAgent(count)
    shape = Shape(input=lambda turn: turn.text, output=str)
    assert [reply.text for reply in await play(LangGraphAgent(count, shape=shape), ["a", "b"])] == ["1 a", "2 b"]


async def test_only_nodes_after_which_the_graph_may_end_are_heard() -> None:
    async def thinking(state: MessagesState) -> dict[str, Any]:
        await FakeModel().ainvoke([HumanMessage("thoughts")])
        return {"messages": [AIMessage("I am thinking.")]}

    async def saying(state: MessagesState) -> dict[str, Any]:
        return {"messages": [await FakeModel().ainvoke([HumanMessage("aloud")])]}

    graph = StateGraph(MessagesState).add_node("thinking", thinking).add_node("saying", saying)
    compiled = graph.add_edge(START, "thinking").add_edge("thinking", "saying").add_edge("saying", END).compile()
    [reply] = await play(LangGraphAgent(compiled), ["Hello"])
    assert json.loads(reply.text) == {"users": ["aloud"], "systems": []}
    [reply] = await play(LangGraphAgent(compiled, shape=Shape(speaks={"thinking"})), ["Hello"])
    assert "I am thinking." in reply.text
    assert "aloud" not in reply.text


async def test_a_factory_makes_a_graph_for_each_turn() -> None:
    made: list[Any] = []

    def make() -> Any:
        made.append(shop())
        return made[-1]

    await play(served(make, factory=True), ["one", "two"])
    assert len(made) == 3  # one to read its tools off


@pytest.mark.parametrize("memory", [False, True])
async def test_parallel_sessions_do_not_see_each_other(memory: bool) -> None:
    await sees_each_session_apart(served(shop(checkpointer=InMemorySaver() if memory else None)))


@tool
def in_context(city: str, state: Annotated[dict[str, Any], InjectedState]) -> str:
    """Takes part in the run."""
    ran.append("in_context")
    return f"{city} {len(state['messages'])}"


@tool
def stores(city: str) -> str:
    """Puts something into the graph's store."""
    ran.append("stores")
    get_store().put(("cities",), city, {"seen": True})
    return city


@tool
def asks_a_model(city: str) -> str:
    """Has a model asked, whose tokens count."""
    ran.append("asks_a_model")
    return FakeModel().invoke(city).text


@tool
def known(city: str) -> str:
    """Is called by another tool."""
    return f"{city} is known"


@tool
def asks_a_tool(city: str) -> str:
    """Has another tool called."""
    ran.append("asks_a_tool")
    return str(known.invoke({"city": city}))


@tool
def formatted(city: str) -> str:
    """Gives JSON in a form of its own."""
    ran.append("formatted")
    return json.dumps({"city": city}, indent=1)


@tool
def refuses(city: str) -> str:
    """Says that it cannot, which is a message."""
    ran.append("refuses")
    raise ToolException(f"not {city}")


class Finder(BaseTool):
    """Written as a class, as LangChain's own tools are."""

    name: str = "finder"
    description: str = "Finds."

    def _run(self, city: str, run_manager: Any = None) -> dict[str, str]:
        ran.append("finder")
        return {"found": city}


class Configured(StructuredTool):
    """A function's, but that its author looks into the run's configuration too."""

    def _run(self, *args: Any, config: RunnableConfig, run_manager: Any = None, **kwargs: Any) -> Any:
        ran.append("known")
        return f"{super()._run(*args, config=config, **kwargs)} {len(config['metadata'])}"


def as_tools(functions: Any) -> list[Any]:
    return [tool(one) for one in functions]


class Calls(BaseCallbackHandler):
    """Hears what LangChain tells of tools."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def on_tool_start(self, serialized: Any, input_str: str, **kwargs: Any) -> None:
        self.seen.append(("start", (serialized or {}).get("name"), input_str))

    def on_tool_end(self, output: Any, **kwargs: Any) -> None:
        self.seen.append(("end", repr(output)))

    def on_tool_error(self, error: BaseException, **kwargs: Any) -> None:
        self.seen.append(("error", repr(error)))


def call_city(state: MessagesState) -> dict[str, Any]:
    last = state["messages"][-1]
    if isinstance(last, ToolMessage):
        return {"messages": [AIMessage(f"It says: {last.content!r}")]}
    name, city = asked_for(last.text)
    return {"messages": [AIMessage("", tool_calls=[{"name": name, "args": {"city": city}, "id": "c1"}])]}


async def test_tools_that_take_their_arguments_alone_are_replayed(tmp_path: Path) -> None:
    heard = Calls()
    refuses.handle_tool_error = True
    configured = Configured(**{name: getattr(known, name) for name in ("name", "description", "args_schema", "func")})
    more = [in_context, stores, asks_a_model, asks_a_tool, formatted, refuses, Finder(), configured]

    def agent() -> LangGraphAgent:
        tools = [*as_tools(TOOLS), *more]
        built = StateGraph(MessagesState).add_node("model", call_city)
        built.add_node("tools", ToolNode(tools, handle_tool_errors=True)).add_edge(START, "model")
        built.add_conditional_edges("model", lambda state: "tools" if state["messages"][-1].tool_calls else END)
        graph = built.add_edge("tools", "model").compile(store=InMemoryStore())
        return LangGraphAgent(graph.with_config(callbacks=[heard]))

    live = (in_context, stores, asks_a_model, asks_a_tool, formatted, configured)
    replayed = (*names_of(PLAIN, FAILING), "gives_an_object", "refuses", "finder")
    kept_live = ("with_the_turn", *names_of([fails_by_its_own]), *(one.name for one in live))
    await sees_tools_replayed(agent, tmp_path, replayed, kept_live, heard.seen)


async def test_a_tool_that_waits_for_the_user_is_called_to_ask_and_replayed_when_it_was_answered(
    tmp_path: Path,
) -> None:
    @tool
    def book(city: str) -> str:
        """Books, if the user is sure."""
        ran.append("book")
        return f"{city}: {interrupt('Sure?')}"

    built = StateGraph(MessagesState).add_node("model", call_city).add_node("tools", ToolNode([book]))
    built.add_edge(START, "model").add_edge("tools", "model")
    built.add_conditional_edges("model", lambda state: "tools" if state["messages"][-1].tool_calls else END)
    agent = LangGraphAgent(built.compile(checkpointer=InMemorySaver()))
    path, told = tmp_path / "talk.jsonl", ["book Oslo", "yes", "book Rome", "no"]
    recorded = await play(agent, told, record=path)
    assert [reply.text for reply in recorded] == ["Sure?", "It says: 'Oslo: yes'", "Sure?", "It says: 'Rome: no'"]
    ran.clear()
    again = await play(agent, told, replay=path, session_id="another")
    assert [reply.text for reply in again] == [reply.text for reply in recorded]
    assert len(ran) == 2
