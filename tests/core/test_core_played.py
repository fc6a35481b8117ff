"""What an author's tests ask of a reply: `greenroom.sdk.testing`."""

from pathlib import Path
from typing import Any

import pytest

from greenroom.core.errors import AgentFailed, InvalidRequest
from greenroom.sdk import Agent, AgentError, ToolError, ToolFailed, Turn, World, tool
from greenroom.sdk.testing import PlayedReply, play, play_sync


@tool
def get_order(world: World, order_id: str) -> dict[str, Any]:
    """Looks up."""
    if order_id not in world["orders"]:
        raise ToolError("No such order.", code="not_found")
    return dict(world["orders"][order_id])


@tool
def cancel_order(world: World, order_id: str, reason: str = "none") -> str:
    """Cancels."""
    world["orders"][order_id]["status"] = "cancelled"
    return "done"


agent = Agent(
    "shop", tools=[get_order, cancel_order], world={"orders": {"1": {"status": "sent"}, "2": {}}, "open": True}
)


@agent.reply
async def reply(turn: Turn) -> str:
    """Looks up every number it is told, and cancels those after "cancel"."""
    words = turn.text.split()
    if words[0] == "fail":
        raise ZeroDivisionError("by zero")
    for word in words[1:]:
        try:
            await turn.call(cancel_order if words[0] == "cancel" else get_order, order_id=word)
        except ToolFailed as failed:
            return failed.message
    return " ".join(message["content"] for message in turn.messages.openai() if message["role"] == "user")


async def said(text: str, **options: Any) -> PlayedReply:
    [played] = await play(agent, [text], **options)
    return played


async def test_calls_are_found_by_tool_and_by_the_arguments_that_are_named() -> None:
    played = await said("cancel 1 2")
    assert [call.arguments["order_id"] for call in played.called("cancel_order")] == ["1", "2"]
    [second] = played.called(cancel_order, order_id="2")
    assert (second.result, second.ok, second.error) == ("done", True, None)
    assert not played.called("cancel_order", order_id="3")
    assert not played.called("cancel_order", reason=None)
    assert len(played.called()) == 2
    assert played.call(cancel_order, order_id="1").changes[0].after == {"status": "cancelled"}


async def test_a_failed_call_says_how_it_failed() -> None:
    call = (await said("get 9")).call("get_order")
    assert (call.ok, call.result, call.error) == (False, None, {"type": "not_found", "message": "No such order."})
    assert repr(call) == "get_order(order_id='9') failed: not_found: No such order."


async def test_what_an_assert_shows_is_what_was_called_instead() -> None:
    played = await said("get 1 2")
    assert repr(played.called("cancel_order", order_id="1")) == (
        "<no call of cancel_order(order_id='1'); called: get_order(order_id='1'), get_order(order_id='2')>"
    )
    with pytest.raises(AssertionError) as none:
        played.call("cancel_order")
    assert str(none.value).splitlines() == [
        "no call of cancel_order(); the turn called",
        "  get_order(order_id='1') -> {'status': 'sent'}",
        "  get_order(order_id='2') -> {}",
    ]
    with pytest.raises(AssertionError, match=r"^2 calls of get_order\(\); the turn called"):
        played.call(get_order)
    with pytest.raises(AssertionError, match=r"no call of any tool\(\); the turn called\n  nothing$"):
        (await said("get")).call()


async def test_the_world_after_and_what_changed_in_it_can_be_asked_for() -> None:
    played = await said("cancel 1")
    assert played.world["orders"]["1"]["status"] == "cancelled"
    [change] = played.changed("orders", "1", status="cancelled")
    assert (change.collection, change.key, change.before) == ("orders", "1", {"status": "sent"})
    assert played.changed("orders") == played.changes
    assert not played.changed("orders", "2")
    assert not played.changed("orders", "1", status="sent")
    assert repr(played.changed("orders", "2", status="lost")) == (
        "<no change of orders/2 to status='lost'; changed: orders/1: {'status': 'sent'} -> {'status': 'cancelled'}>"
    )
    assert not (await said("get 1")).changes


async def test_a_scenario_is_an_id_a_mapping_or_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    patch = {"orders": {"1": {"status": "lost"}}}
    assert (await said("get 1", scenario={"patch": patch})).call().result == {"status": "lost"}
    folder = tmp_path / "scenarios"
    folder.mkdir()
    (folder / "lost.yaml").write_text("id: lost\nextends: none_left\npatch: {orders: {'1': {status: lost}}}\n")
    (folder / "none.yaml").write_text("id: none_left\npatch: {orders: null}\n")
    (folder / "wrong.yaml").write_text("id: wrong\nclok: real\n")
    for scenario in (folder / "lost.yaml", str(folder / "lost.yaml")):
        assert (await said("get 1", scenario=scenario)).world["orders"] == {"1": {"status": "lost"}}
    with pytest.raises(AgentError, match=r"wrong.yaml:2: clok: there is no such key; did you mean clock\?"):
        await said("get 1", scenario=folder / "wrong.yaml")
    with pytest.raises(AgentError, match="cannot read the scenario"):
        await said("get 1", scenario=folder / "lots.yaml")
    (folder / "wrong.yaml").unlink()
    monkeypatch.chdir(tmp_path)
    assert (await said("get 1", scenario="lost")).call().result == {"status": "lost"}
    with pytest.raises(InvalidRequest, match=r"there is no scenario 'lots'; did you mean lost\?"):
        await said("get 1", scenario="lots", scenarios=folder)


async def test_what_the_agent_raised_is_the_cause() -> None:
    with pytest.raises(AgentFailed) as failed:
        await said("fail")
    assert isinstance(failed.value.__cause__, ZeroDivisionError)
    assert failed.value.__notes__ == ["the agent raised ZeroDivisionError: by zero"]


async def test_a_conversation_that_goes_back_takes_its_world_back() -> None:
    first = {"role": "user", "content": "get 1"}
    answer = {"role": "assistant", "content": "get 1"}
    _, cancelled, again = await play(
        agent, ["get 1", "cancel 1", [first, answer, {"role": "user", "content": "get 2"}]]
    )
    assert cancelled.changed("orders", "1")
    assert (again.history, again.text, again.world["orders"]["1"]) == ("went_back", "get 1 get 2", {"status": "sent"})


def test_a_plain_function_plays_too() -> None:
    [first, second] = play_sync(agent, ["cancel 1", "get 1"])
    assert first.changed("orders", "1")
    assert second.call("get_order").result == {"status": "cancelled"}


async def test_where_a_loop_runs_the_plain_form_says_what_to_do() -> None:
    with pytest.raises(RuntimeError, match="await play"):
        play_sync(agent, ["get 1"])
