"""Turns of real LlamaIndex agents with a model that is made up. See test_adapted_graphs.py."""

import json
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import Any

import pytest
from llama_index.core.agent.workflow import AgentWorkflow, FunctionAgent, ReActAgent
from llama_index.core.llms import (
    ChatMessage,
    ChatResponse,
    CompletionResponse,
    LLMMetadata,
)
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.llms.llm import ToolSelection
from llama_index.core.tools import FunctionTool
from llama_index.core.workflow import Context, HumanResponseEvent, InputRequiredEvent
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
    streamed,
    users,
)
from replayed import FAILING, LIVE, PLAIN, TOOLS, asked_for, fails_by_its_own, names_of, ran, sees_tools_replayed

from greenroom.agents.adapters import adapt, current_turn
from greenroom.agents.adapters.llama_index import LlamaIndexAgent


class FakeModel(FunctionCallingLLM):
    """Calls a tool when the user asks about an order, and tells the tool's answer; else says what it was told."""

    reacts: bool = False

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata(is_function_calling_model=not self.reacts, is_chat_model=True, model_name="fake")

    def _answer(self, messages: Sequence[ChatMessage], tools: Sequence[Any]) -> ChatMessage:
        last = messages[-1]
        text = last.content or ""
        if last.role == "tool":
            return ChatMessage(role="assistant", content=f"The tool says {text}")
        if self.reacts and text.startswith("Observation:"):
            return ChatMessage(role="assistant", content=f"Thought: I can answer.\nAnswer: The tool says {text[13:]}")
        if "order" in text:
            names = [tool.metadata.name for tool in tools] or ["look_up"]
            words = [word for word in text.split() if word.isdigit()]
            if self.reacts:
                asked = json.dumps({"order_id": words[0]})
                return ChatMessage(
                    role="assistant", content=f"Thought: I look.\nAction: look_up\nAction Input: {asked}"
                )
            calls = [{"name": names[0], "args": {"order_id": word}, "id": f"call-{word}"} for word in words]
            return ChatMessage(role="assistant", content="Let me look. ", additional_kwargs={"calls": calls})
        users = [message.content for message in messages if message.role == "user"]
        systems = [message.content for message in messages if message.role == "system"]
        told = json.dumps({"users": users, "systems": [] if self.reacts else systems})
        return ChatMessage(role="assistant", content=f"Thought: I know.\nAnswer: {told}" if self.reacts else told)

    async def achat(self, messages: Sequence[ChatMessage], tools: Sequence[Any] = (), **kwargs: Any) -> ChatResponse:
        usage = {"usage": {"prompt_tokens": 10, "completion_tokens": 3}}
        return ChatResponse(message=self._answer(messages, tools), raw=usage)

    async def astream_chat(
        self, messages: Sequence[ChatMessage], tools: Sequence[Any] = (), **kwargs: Any
    ) -> AsyncGenerator[ChatResponse, None]:
        whole = await self.achat(messages, tools)

        async def words() -> AsyncGenerator[ChatResponse, None]:
            text = ""
            for word in (whole.message.content or "").split(" "):
                text += f"{word} "
                yield ChatResponse(message=ChatMessage(role="assistant", content=text), delta=f"{word} ")
            said = ChatMessage(role="assistant", content=text, additional_kwargs=whole.message.additional_kwargs)
            yield ChatResponse(message=said, delta="", raw=whole.raw)

        return words()

    def _prepare_chat_with_tools(
        self, tools: Any, user_msg: Any = None, chat_history: Any = None, **kwargs: Any
    ) -> dict[str, Any]:
        return {"messages": chat_history, "tools": tools}

    def get_tool_calls_from_response(self, response: Any, **kwargs: Any) -> list[ToolSelection]:
        calls = response.message.additional_kwargs.get("calls", [])
        return [ToolSelection(tool_id=call["id"], tool_name=call["name"], tool_kwargs=call["args"]) for call in calls]

    def chat(self, messages: Any, **kwargs: Any) -> Any:
        raise NotImplementedError

    def stream_chat(self, messages: Any, **kwargs: Any) -> Any:
        raise NotImplementedError

    def complete(self, prompt: str, **kwargs: Any) -> CompletionResponse:
        raise NotImplementedError

    def stream_complete(self, prompt: str, **kwargs: Any) -> Any:
        raise NotImplementedError

    async def acomplete(self, prompt: str, **kwargs: Any) -> CompletionResponse:
        raise NotImplementedError

    async def astream_complete(self, prompt: str, **kwargs: Any) -> Any:
        raise NotImplementedError


async def look_up(ctx: Context, order_id: str) -> dict[str, Any]:
    """Looks an order up."""
    if order_id == "0":
        raise KeyError(order_id)
    await ctx.store.set("last", order_id)
    current_turn().world["seen"][order_id] = {"times": 1}
    return {"order": order_id, "status": "shipped"}


def shop(**settings: Any) -> FunctionAgent:
    fields: dict[str, Any] = {"name": "shop", "llm": FakeModel(), "tools": [look_up], **settings}
    return FunctionAgent(system_prompt="You are a shop.", description="A shop.", **fields)


def served(target: Any = None, **settings: Any) -> LlamaIndexAgent:
    return LlamaIndexAgent(shop() if target is None else target, world={"seen": {}}, **settings)


async def test_agents_and_workflows_of_agents_are_recognised() -> None:
    for target in (shop(), AgentWorkflow(agents=[shop()])):
        agent = adapt(target, "my_app:agent")
        assert isinstance(agent, LlamaIndexAgent)
        [tool] = agent.tools
        assert tool.name == "look_up"
        assert "Looks an order up." in tool.description
        assert list(tool.signature.schema()["properties"]) == ["order_id"]


@pytest.mark.parametrize("workflow", [False, True])
async def test_tools_run_in_the_turn_with_their_world_and_are_recorded(workflow: bool) -> None:
    await sees_the_tools_recorded(served(AgentWorkflow(agents=[shop()]) if workflow else shop()))


async def test_a_scenario_scripts_them() -> None:
    await sees_the_scenarios_tools(served())


async def test_a_failing_tool_is_an_error_that_the_model_reads() -> None:
    [reply] = await play(served(), ["order 0"])
    assert "The tool says '0'" in reply.text
    assert [(call.ok, json.loads(call.result_json)["error"]["type"]) for call in reply.tool_calls] == [
        (False, "KeyError")
    ]
    script = scripted({"error": {"code": "down", "message": "It does not answer."}})
    [reply] = await play(served(), ["order 12"], **script)
    assert "The tool says It does not answer." in reply.text


async def test_the_history_is_told_once_in_each_turn() -> None:
    replies = await play(served(), ["one", "order 5", "three"])
    assert users(replies[2].text) == ["one", "order 5", "three"]


async def test_going_back_rewinds_the_memory() -> None:
    plain = served(shop(tools=[FunctionTool.from_defaults(async_fn=look_up)]))
    async with Played(plain) as played:
        first = await played.say("one")
        await played.say("two")
        again = await played.send([*ask("one"), {"role": "assistant", "content": first.turn.reply}, *ask("three")])
        assert users(again.turn.reply) == ["one", "three"]


async def test_system_messages_hold_for_their_turn_before_the_agents_own_prompt() -> None:
    async with Played(served(instructions="Be brief.")) as played:
        for name in ("Ann", "Bob"):
            reply = await played.send([{"role": "system", "content": f"The user is {name}."}, *ask(name)])
            told = json.loads(reply.turn.reply)["systems"]
            assert told == [f"Be brief.\n\nThe user is {name}.\n\nYou are a shop."]


async def test_a_conversation_that_began_elsewhere_is_handed_to_the_memory_once() -> None:
    await sees_the_conversation_before_once(served())


async def test_text_is_streamed_as_the_model_writes_it_and_its_tokens_are_counted() -> None:
    await sees_text_streamed_and_tokens_counted(served())


async def test_of_a_react_agent_the_user_hears_the_answer_and_not_the_thoughts() -> None:
    react = ReActAgent(name="react", llm=FakeModel(reacts=True), tools=[look_up])
    told, reply = await streamed(served(react), "order 12")
    assert reply.turn.reply.startswith("The tool says {'order': '12'")
    assert "Thought" not in reply.turn.reply
    assert [call.name for call in reply.turn.tool_calls] == ["look_up"]
    assert len(told) > 3


async def test_a_tool_that_waits_for_the_user_asks_and_the_next_message_answers() -> None:
    async def cancel(ctx: Context, order_id: str) -> str:
        """Cancels an order."""
        asked = InputRequiredEvent(prefix="Shall I cancel it?")  # type: ignore[call-arg]
        answer = await ctx.wait_for_event(HumanResponseEvent, waiter_id="cancel", waiter_event=asked)
        return f"You said {answer.response}."

    async with Played(served(shop(tools=[cancel]))) as played:
        first = await played.say("order 12")
        assert first.turn.reply.endswith("Shall I cancel it?")
        second = await played.say("yes")
        assert "The tool says You said yes." in second.turn.reply
        other = await played.send([*ask("order 12"), {"role": "assistant", "content": first.turn.reply}, *ask("no")])
        assert "The tool says You said no." in other.turn.reply


async def test_agents_hand_off_to_each_other_and_the_next_turn_goes_on_with_the_last() -> None:
    class Router(FakeModel):
        def _answer(self, messages: Sequence[ChatMessage], tools: Sequence[Any]) -> ChatMessage:
            if messages[-1].role == "user":
                call = {"name": "handoff", "args": {"to_agent": "shop", "reason": "a shop's affair"}, "id": "handoff"}
                return ChatMessage(role="assistant", content="", additional_kwargs={"calls": [call]})
            return super()._answer(messages, tools)

    router = FunctionAgent(name="router", description="Routes.", llm=Router(), tools=[], can_handoff_to=["shop"])
    workflow = AgentWorkflow(agents=[router, shop(can_handoff_to=[])], root_agent="router")
    replies = await play(served(workflow), ["one", "order 5"])
    assert [call.name for call in replies[1].tool_calls] == ["look_up"]
    assert replies[1].text.startswith("Let me look.")


async def test_parallel_sessions_do_not_see_each_other() -> None:
    await sees_each_session_apart(served())


class Caller(FakeModel):
    """Calls the tool that the user names, with the word behind it."""

    def _answer(self, messages: Sequence[ChatMessage], tools: Sequence[Any]) -> ChatMessage:
        if messages[-1].role == "tool":
            return super()._answer(messages, tools)
        name, city = asked_for(messages[-1].content or "")
        call = {"name": name, "args": {"city": city}, "id": "c1"}
        return ChatMessage(role="assistant", content="", additional_kwargs={"calls": [call]})


async def in_context(ctx: Context, city: str) -> str:
    """Takes part in the run."""
    ran.append("in_context")
    await ctx.store.set("city", city)
    return city


def called_back(city: str) -> str:
    """Has what it gives changed."""
    ran.append("called_back")
    return city


@pytest.mark.parametrize("workflow", [False, True])
async def test_tools_that_take_their_arguments_alone_are_replayed(tmp_path: Path, workflow: bool) -> None:
    seen: list[Any] = []

    class Noting(FunctionAgent):
        async def handle_tool_call_results(self, ctx: Context, results: Any, memory: Any) -> None:
            seen.extend((one.tool_name, one.tool_output.model_dump(), one.return_direct) for one in results)
            await super().handle_tool_call_results(ctx, results, memory)

    def agent() -> LlamaIndexAgent:
        back = FunctionTool.from_defaults(fn=called_back, callback=lambda raw: f"<{raw}>")
        one = Noting(name="shop", description="A shop.", llm=Caller(), tools=[*TOOLS, in_context, back])
        return LlamaIndexAgent(AgentWorkflow(agents=[one]) if workflow else one)

    replayed = names_of(PLAIN, FAILING, [fails_by_its_own])
    await sees_tools_replayed(agent, tmp_path, replayed, (*names_of(LIVE), "in_context", "called_back"), seen)
