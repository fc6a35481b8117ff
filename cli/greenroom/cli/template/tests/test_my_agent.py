from greenroom.sdk.testing import play_sync
from my_agent import agent


def test_it_says_where_an_order_stands() -> None:
    [reply] = play_sync(agent, ["Where is order 1001?"])
    assert reply.text == "Order 1001 is preparing."
    assert reply.called("get_order", order_id="1001")
    assert not reply.changes


def test_it_cancels_an_order_when_asked_to() -> None:
    [where, cancelled] = play_sync(agent, ["Where is order 1001?", "Cancel 1001, please."])
    assert not where.called("cancel_order")
    assert cancelled.call("cancel_order").ok
    assert cancelled.world["orders"]["1001"]["status"] == "cancelled"


def test_an_order_that_has_left_is_not_cancelled() -> None:
    [reply] = play_sync(agent, ["Cancel 1001, please."], scenario="already_shipped")
    assert reply.call("cancel_order").error["type"] == "too_late"
    assert reply.text == "Order 1001 is shipped and cannot be cancelled."
    assert not reply.changes
