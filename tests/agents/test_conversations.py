"""Whole conversations, said live and carried by a client that keeps the history itself."""

from typing import Any

import pytest
from conversations import CONVERSATIONS, Conversation

from greenroom.agents.support import agent
from greenroom.sdk.testing import play

EFFECTS = {"cancel_order", "change_delivery_address", "request_refund"}


@pytest.mark.parametrize("conversation", CONVERSATIONS, ids=lambda conversation: conversation.name)
async def test_a_conversation_goes_as_written(conversation: Conversation) -> None:
    replies = await play(agent, [step.text for step in conversation.steps], user_id=conversation.user)
    for step, reply in zip(conversation.steps, replies, strict=True):
        assert [call.name for call in reply.tool_calls] == step.tools, (step.text, reply.text)
        for words in step.words:
            assert words in reply.text, step.text


@pytest.mark.parametrize("conversation", CONVERSATIONS, ids=lambda conversation: conversation.name)
async def test_a_carried_past_is_answered_like_a_live_one(conversation: Conversation) -> None:
    """Up to the first effect: what was never done here has not happened."""
    live = await play(agent, [step.text for step in conversation.steps], user_id=conversation.user)
    past: list[dict[str, Any]] = []
    for step, reply in zip(conversation.steps, live, strict=True):
        request = [*past, {"role": "user", "content": step.text}]
        [carried] = await play(agent, [request], user_id=conversation.user)
        assert carried.text == reply.text, step.text
        assert [call.name for call in carried.tool_calls] == [call.name for call in reply.tool_calls]
        if EFFECTS & {call.name for call in reply.tool_calls}:
            break
        past = [*request, {"role": "assistant", "content": reply.text}]
