"""What adapters have in common: objects are recognised, made afresh for each turn, and their tools run in its toolbox."""

import json
import sys
from types import ModuleType
from typing import Any

import pytest

from greenroom.agents.adapters import adapt, current_turn, recognition
from greenroom.agents.adapters.failures import failure_for
from greenroom.agents.adapters.instances import Instances
from greenroom.agents.adapters.recognition import Kind
from greenroom.agents.adapters.speech import Speech
from greenroom.agents.adapters.tokens import Tokens
from greenroom.agents.adapters.tools import Scripted, as_json, framework_tool, run_in_turn
from greenroom.sdk import Agent, AgentError, AgentUnavailable, ConversationTooLong, Reply, ToolFailed, Turn, Usage
from greenroom.sdk.testing import play
from greenroom.tools.extras import import_extra

SCHEMA = {"type": "object", "properties": {"order_id": {"type": "string"}}}


class Message:
    """What a framework's tool returns: an object of its own."""

    def __init__(self, content: str) -> None:
        self.content = content

    def __repr__(self) -> str:
        return f"Message({self.content})"


class Refused(Exception):
    """A framework's tool's own error."""


async def look_up(arguments: dict[str, Any]) -> Message:
    if arguments["order_id"] == "0":
        raise Refused("no such order")
    return Message(f"{arguments['order_id']} is on its way")


LOOK_UP = framework_tool("look_up", look_up, description="Looks an order up.", parameters=SCHEMA)


class FrameworkAgent(Agent):
    """Calls the framework's tool with what the user said."""

    def __init__(self) -> None:
        super().__init__("framework", tools=[LOOK_UP], world={"orders": {"1": {}}})
        self.results: list[Any] = []
        self.reply(self.answer)

    async def answer(self, turn: Turn) -> Reply:
        try:
            result = await run_in_turn(turn, LOOK_UP, {"order_id": turn.text}, look_up)
        except ToolFailed as failed:
            self.results.append(failed)
            return Reply("failed")
        self.results.append(result)
        return Reply("done")


def scenario(tool: dict[str, Any]) -> dict[str, Any]:
    return {"id": "scripted", "tools": {"look_up": [tool]}}


async def test_a_frameworks_tool_is_recorded_and_gives_the_framework_its_own_object() -> None:
    agent = FrameworkAgent()
    [reply] = await play(agent, ["1"])
    assert isinstance(agent.results[0], Message)
    [call] = reply.tool_calls
    assert (call.name, call.ok, json.loads(call.arguments_json)) == ("look_up", True, {"order_id": "1"})
    assert json.loads(call.result_json) == "Message(1 is on its way)"


async def test_a_frameworks_tool_that_fails_is_recorded_and_its_own_error_is_at_hand() -> None:
    agent = FrameworkAgent()
    [reply] = await play(agent, ["0"])
    assert isinstance(agent.results[0].__cause__, Refused)
    [call] = reply.tool_calls
    assert (call.ok, json.loads(call.result_json)) == (
        False,
        {"error": {"type": "Refused", "message": "no such order"}},
    )


async def test_a_tool_that_returns_nothing_is_not_taken_for_a_scripted_one() -> None:
    async def nothing(arguments: dict[str, Any]) -> None:
        return None

    agent = Agent("nothing")
    tool = framework_tool("nothing", nothing, description="", parameters={})

    @agent.reply
    async def reply(turn: Turn) -> Reply:
        assert await run_in_turn(turn, tool, {}, nothing) is None
        return Reply("done")

    [reply_] = await play(agent, ["Hello"])
    assert [call.result_json for call in reply_.tool_calls] == ["null"]


async def test_a_frameworks_tool_is_scripted_like_any_other() -> None:
    agent = FrameworkAgent()
    answers = scenario({"return": {"status": "lost"}})
    [reply] = await play(agent, ["1"], scenarios=[answers], metadata={"scenario_id": "scripted"})
    assert agent.results == [Scripted({"status": "lost"})]
    assert reply.tool_calls[0].scripted_by == "scripted: tools.look_up[0]"
    agent = FrameworkAgent()
    fails = scenario({"error": {"code": "down", "message": "It does not answer."}})
    await play(agent, ["1"], scenarios=[fails], metadata={"scenario_id": "scripted"})
    assert (agent.results[0].type, agent.results[0].message) == ("down", "It does not answer.")


async def test_a_frameworks_tool_is_run_alone_where_no_framework_called_it() -> None:
    agent = Agent("alone", tools=[LOOK_UP])

    @agent.reply
    async def reply(turn: Turn) -> Reply:
        return Reply(await turn.call("look_up", order_id="7"))

    [reply_] = await play(agent, ["Hello"])
    assert reply_.text == "Message(7 is on its way)"


async def test_a_frameworks_code_finds_the_turn_and_its_world_and_none_outside_of_one() -> None:
    async def stamp(arguments: dict[str, Any]) -> str:
        current_turn().world["orders"]["1"]["stamped"] = True
        return "stamped"

    tool = framework_tool("stamp", stamp, description="", parameters={})
    agent = Agent("stamps", tools=[tool], world={"orders": {"1": {}}})

    @agent.reply
    async def reply(turn: Turn) -> Reply:
        return Reply(await turn.call(tool))

    [reply_] = await play(agent, ["Hello"])
    assert reply_.world["orders"] == {"1": {"stamped": True}}
    assert len(reply_.tool_calls[0].changes) == 1
    with pytest.raises(AgentError, match="within a turn"):
        current_turn()


def test_what_has_no_json_form_is_shown_as_its_text() -> None:
    assert as_json({"a": Message("b"), "c": b"\xff", "d": float("inf"), "e": {1}}) == {
        "a": "Message(b)",
        "c": "_w==",
        "d": None,
        "e": [1],
    }


def test_each_turn_gets_a_copy_of_its_own_or_what_the_factory_makes() -> None:
    instances: Instances[list[int]] = Instances([1], list)
    one, other = instances.fresh(), instances.fresh()
    one.append(2)
    assert (instances.pristine, one, other) == ([1], [1, 2], [1])
    made: Instances[list[int]] = Instances(lambda: [3], list, factory=True)
    assert made.fresh() is not made.pristine
    assert made.fresh() == [3]
    with pytest.raises(AgentError, match="factory=True is for a callable"):
        Instances([1], list, factory=True)


def test_an_object_is_known_by_its_class_or_one_that_it_derives_from(monkeypatch: pytest.MonkeyPatch) -> None:
    home = ModuleType("greenroom.agents.adapters.stage")
    home.__dict__["StageAgent"] = lambda target, name, factory: Agent(f"{name} of {type(target).__name__}")
    monkeypatch.setitem(sys.modules, home.__name__, home)
    monkeypatch.setattr(recognition, "KINDS", (Kind("stage.plays", "Play", "stage", "StageAgent"),))
    play_class = type("Play", (), {"__module__": "stage.plays.drama"})
    comedy = type("Comedy", (play_class,), {"__module__": "my_app"})
    found = adapt(comedy(), "shop")
    assert found is not None
    assert found.name == "shop of Comedy"
    assert adapt(type("Play", (), {"__module__": "stage.playsets"})(), "shop") is None
    assert adapt(type("Other", (), {"__module__": "stage.plays"})(), "shop") is None
    assert adapt(lambda turn: "", "shop") is None
    assert adapt(comedy, "shop") is None
    monkeypatch.setattr(recognition, "KINDS", (Kind("stage.plays", "Play", "stage", "StageAgent", classes=True),))
    found = adapt(comedy, "shop")
    assert found is not None
    assert found.name == "shop of type"


def test_a_framework_that_is_not_installed_is_told_with_its_extra() -> None:
    with pytest.raises(AgentError, match=r"not_there is not installed; pip install 'greenroom\[stage\]'"):
        import_extra("not_there", "stage")


def client_error(package: str, name: str, text: str = "secret text", **attributes: Any) -> Exception:
    made = type(name, (Exception,), {"__module__": f"{package}.errors", **attributes})
    error: Exception = made(text)
    return error


class Response:
    def __init__(self, status_code: int, **headers: str) -> None:
        self.status_code = status_code
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


@pytest.mark.parametrize(
    ("error", "retry_after"),
    [
        (client_error("openai", "RateLimitError", status_code=429, response=Response(429, retry_after="7")), 7.0),
        (client_error("openai", "APIConnectionError"), 1.0),
        (client_error("google.genai", "ServerError", code=503), 1.0),
        (client_error("anthropic", "AuthenticationError", status_code=401), 1.0),
        (client_error("httpx", "HTTPStatusError", response=Response(502, retry_after="soon")), 1.0),
        (ConnectionRefusedError("no"), 1.0),
        (client_error("openai", "BadRequestError", status_code=400), None),
        (client_error("my_app", "RateLimitError", status_code=429), None),
        (client_error("openai", "LengthFinishReasonError"), None),
        (ValueError("no"), None),
    ],
)
def test_an_error_of_a_backend_is_told_from_any_other(error: Exception, retry_after: float | None) -> None:
    found = failure_for(error)
    assert (found.retry_after if isinstance(found, AgentUnavailable) else found) == retry_after
    wrapped = RuntimeError("a node failed")
    wrapped.__cause__ = error
    assert type(failure_for(wrapped)) is type(found)


@pytest.mark.parametrize(
    ("error", "too_long"),
    [
        (client_error("openai", "BadRequestError", status_code=400, body={"code": "context_length_exceeded"}), True),
        (client_error("google.genai", "ClientError", "The input token count (9) exceeds the maximum", code=400), True),
        (client_error("botocore", "ClientError", "Input is too long for requested model.", response={}), True),
        (client_error("httpx", "HTTPStatusError", response=Response(413)), True),
        (client_error("litellm", "ContextWindowExceededError", status_code=400), True),
        (client_error("crewai", "LLMContextLengthExceededError"), True),
        (client_error("openai", "BadRequestError", status_code=400, body={"code": "invalid_image"}), False),
        (client_error("openai", "RateLimitError", "Reduce the length of your prompt.", status_code=429), False),
        (client_error("my_app", "TooLarge", "The prompt is too long.", status_code=400), False),
    ],
)
def test_a_conversation_that_is_too_long_for_a_model_is_told_from_any_other_error(
    error: Exception, too_long: bool
) -> None:
    wrapped = RuntimeError("a node failed")
    wrapped.__cause__ = error
    assert [isinstance(failure_for(one), ConversationTooLong) for one in (error, wrapped)] == [too_long] * 2


async def test_messages_are_told_piece_by_piece_and_completed_once_they_are_known() -> None:
    agent = Agent("speaks")

    @agent.reply
    async def reply(turn: Turn) -> Reply:
        speech, tokens = Speech(turn), Tokens()
        assert tokens.usage is None
        await speech.piece("1", "Let me ")
        await speech.piece("1", "look.")
        await speech.whole("1", "Let me look.")
        await speech.piece("2", "It is")
        await speech.piece("2", "")
        await speech.whole("2", "It is here.")
        await speech.whole("1", "Something else.")
        tokens.add(3, None)
        tokens.add(4, 5)
        assert tokens.usage == Usage(7, 5)
        return Reply("", usage=tokens.usage)

    [reply_] = await play(agent, ["Hello"])
    assert reply_.text == "Let me look.\n\nIt is here."
