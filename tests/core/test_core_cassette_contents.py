"""What a cassette keeps of what is asked and answered: ids of the session's own, secrets, odd values."""

import json
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest

from greenroom.core.errors import NotRecorded
from greenroom.sdk import Agent, Call, Tool, ToolFailed, ToolSource, Turn, World, tool
from greenroom.sdk.testing import PlayedReply, play

HEX = "0123456789abcdef01234567"


def agent_with(act: Callable[[Turn], Any], *tools: Tool[..., Any] | ToolSource, **parts: Any) -> Agent:
    """It says as JSON what `act` gives."""
    agent = Agent("acting", tools=tools, **parts)

    @agent.reply
    async def reply(turn: Turn) -> str:
        return json.dumps(await act(turn))

    return agent


async def both(
    path: Path, agent: Agent, text: str = "go", users: tuple[str, str] = ("first-user", "other-user"), **how: Any
) -> tuple[PlayedReply, PlayedReply]:
    """A recorded turn, and the same replayed in another user's session."""
    [live] = await play(agent, [text], record=path, session_id="session-1", user_id=users[0], **how)
    [again] = await play(agent, [text], replay=path, session_id="session-2", user_id=users[1], **how)
    assert again.metadata["cassette"]["replayed"] > 0
    return live, again


@tool
async def echo(value: Any) -> Any:
    """Says what it was told."""
    return value


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize("user_id", ["customer", "123456", "session_id", "orders", "1", "a", "true", "number"])
async def test_a_users_id_that_is_a_word_or_a_number_spoils_nothing(tmp_path: Path, user_id: str) -> None:
    path = tmp_path / "c.jsonl"
    told = {"orders": 1234567, "customer": 123456, "amount": [1, True], "text": "orders of session_id 0123456789"}
    agent = agent_with(lambda turn: turn.call(echo, value=told), echo)
    live, again = await both(path, agent, users=(user_id, user_id))
    assert json.loads(live.text) == json.loads(again.text) == told
    assert lines_of(path)[0]["response"]["amount"] == [1, True]


async def test_a_users_number_is_another_users_number_where_it_is_a_text(tmp_path: Path) -> None:
    async def act(turn: Turn) -> Any:
        return await turn.call(echo, value=f"/customers/{turn.user.id}/orders?of={turn.user.id}&n=1{turn.user.id}")

    agent = agent_with(act, echo)
    with pytest.raises(NotRecorded, match="1100045"):  # a longer number is another
        await both(tmp_path / "c.jsonl", agent, users=("100045", "100046"))

    async def short(turn: Turn) -> Any:
        return await turn.call(echo, value=f"/customers/{turn.user.id}/orders?of={turn.user.id}")

    _, again = await both(tmp_path / "d.jsonl", agent_with(short, echo), users=("100045", "100046"))
    assert json.loads(again.text) == "/customers/100046/orders?of=100046"


async def test_a_models_call_ids_may_be_as_short_as_they_like(tmp_path: Path) -> None:
    async def act(turn: Turn) -> Any:
        return await turn.toolbox.call("echo", {"value": {"1": 1, "of": "1 of 10"}}, call_id="1")

    path = tmp_path / "c.jsonl"
    live, again = await both(path, agent_with(act, echo))
    assert live.text == again.text == json.dumps({"1": 1, "of": "1 of 10"})


async def test_a_text_may_look_like_what_stands_for_an_id(tmp_path: Path) -> None:
    texts = ["${session_id}", "$${user_id} ${$}{x} $", "${HOME} costs ${call_id} ${id_1}", "${"]
    agent = agent_with(lambda turn: turn.call(echo, value=[*texts, f"${turn.session_id}", turn.user.id]), echo)
    live, again = await both(tmp_path / "c.jsonl", agent)
    assert json.loads(live.text) == [*texts, "$session-1", "first-user"]
    assert json.loads(again.text) == [*texts, "$session-2", "other-user"]


async def test_two_ids_that_users_name_are_two_questions(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    agent = agent_with(lambda turn: turn.call(echo, value=turn.text), echo)
    await play(agent, [f"order_{HEX}"], record=path)
    [again] = await play(agent, [f"order_{HEX}"], replay=path, session_id="session-2")
    assert json.loads(again.text) == f"order_{HEX}"
    with pytest.raises(NotRecorded):
        await play(agent, [f"order_{HEX[::-1]}"], replay=path)


@pytest.mark.parametrize("prefix", ["refund", "refund_request", "ORD", "a2"])
async def test_ids_made_here_are_the_sessions_own_whatever_their_prefix(tmp_path: Path, prefix: str) -> None:
    async def act(turn: Turn) -> Any:
        made = turn.state.setdefault("made", turn.ids.new(prefix))
        return [made, await turn.call(echo, value=f"<{made}>")]

    agent = agent_with(act, echo)
    path = tmp_path / "c.jsonl"
    await play(agent, ["go", "What is it?"], record=path, session_id="session-1")
    again = await play(agent, ["go", "What is it?"], replay=path, session_id="session-2")
    for reply in again:
        made, told = json.loads(reply.text)
        assert told == f"<{made}>"


async def test_an_id_that_a_tool_gives_first_is_what_it_was_and_may_be_asked_about(tmp_path: Path) -> None:
    @tool
    async def find_order() -> dict[str, str]:
        """Asks a service whose ids look like those that are made here."""
        return {f"order_{HEX}": f"user_{HEX[::-1]}"}

    async def act(turn: Turn) -> Any:
        [(order, user)] = (await turn.call(find_order)).items()
        return [order, user, await turn.call(echo, value=f"{user} has {order}")]

    agent = agent_with(act, find_order, echo)
    for reply in await both(tmp_path / "c.jsonl", agent):
        order, user, told = json.loads(reply.text)
        assert (order, user) == (f"order_{HEX}", f"user_{HEX[::-1]}")
        assert told == f"{user} has {order}"


async def test_one_id_within_another_is_not_taken_for_it(tmp_path: Path) -> None:
    agent = agent_with(lambda turn: turn.call(echo, value=f"{turn.user.id} in {turn.session_id}"), echo)
    users = ("session-1-of-ann", "ann-and-session-2")
    _, again = await both(tmp_path / "c.jsonl", agent, users=users)
    assert json.loads(again.text) == "ann-and-session-2 in session-2"


async def test_what_a_tool_wrote_under_an_id_is_written_under_the_sessions_own(tmp_path: Path) -> None:
    @tool
    def book(world: World, call: Call, user_id: str) -> str:
        """Books."""
        world["bookings"][call.id] = {"for": user_id}
        world[f"cart of {user_id}"] = {"n": 1}
        del world["old"]
        world["count"] = 1
        return call.id

    agent = agent_with(
        lambda turn: turn.call(book, user_id=turn.user.id), book, world={"bookings": {}, "old": {"1": {}}, "count": 0}
    )
    _, again = await both(tmp_path / "c.jsonl", agent)
    assert again.world == {
        "bookings": {json.loads(again.text): {"for": "other-user"}},
        "count": 1,
        "cart of other-user": {"n": 1},
    }


@dataclass
class Order:
    id: str
    password: str


@pytest.mark.parametrize(
    "value",
    [
        float("nan"),
        [float("inf"), 1e16, 2**70, -0.0],
        {1: "a", "b": 2, None: 3},
        "\ud800 lone",
        {"\udfff": "\udfff"},
        {"b", "a"},
        Order("1", "hidden"),
        b"\xff",
        (1, (2,)),
    ],
    ids=["no number", "odd numbers", "odd keys", "lone surrogate", "lone in key", "set", "object", "bytes", "tuple"],
)
async def test_any_argument_can_be_recorded(tmp_path: Path, value: Any) -> None:
    async def act(turn: Turn) -> Any:
        return await turn.call(length, value=value)

    @tool
    async def length(value: Any) -> int:
        """Anything."""
        return 7

    path = tmp_path / "c.jsonl"
    live, again = await both(path, agent_with(act, length))
    assert live.text == again.text == "7"
    assert "hidden" not in path.read_text()


async def test_numbers_that_json_has_none_for_do_not_fail_a_recorded_answer(tmp_path: Path) -> None:
    async def act(turn: Turn) -> Any:
        async def ask() -> Any:
            return {"logprob": float("-inf"), "big": 2**70, "text": "\ud800"}

        return (await turn.recorded("model", {"top": float("nan")}, ask))["big"]

    live, again = await both(tmp_path / "c.jsonl", agent_with(act))
    assert live.text == again.text == str(2**70)


async def test_secrets_in_names_and_keys_reach_no_cassette_and_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEATHER_API_KEY", "a-value-that-is-secret")
    url = "https://ann:pass-word@host/chat?api_key=a-value-that-is-secret"

    async def act(turn: Turn) -> Any:
        async def ask() -> Any:
            return {"a-value-that-is-secret": 1}

        return await turn.recorded(url, {"a-value-that-is-secret": turn.text}, ask)

    path = tmp_path / "c.jsonl"
    agent = agent_with(act)
    agent.name = url
    await both(path, agent)
    with pytest.raises(NotRecorded) as missing:
        await play(agent, ["another"], replay=path)
    for told in (path.read_text(), str(missing.value)):
        assert "a-value-that-is-secret" not in told
        assert "pass-word" not in told


SECRET = 'a+value/that "is" secret=='


@pytest.mark.parametrize(
    "text",
    [
        SECRET,
        quote(SECRET),
        quote_plus(SECRET),
        json.dumps({"x": SECRET}),
        json.dumps({"x": json.dumps(SECRET)}),
        *(
            b64encode(f"{before}{SECRET}{behind}".encode()).decode()
            for before in ("", "a:", "ab:")
            for behind in ("", "b")
        ),
        urlsafe_b64encode(f"ann:{SECRET}".encode()).decode(),
        "{'password': 'pass-word', 'a': 1}",
        "password=pass-word&user=ann",
        "host=x password=pass-word",
    ],
)
async def test_a_secret_is_hidden_however_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv("WEATHER_APIKEY_2", SECRET)
    path = tmp_path / "c.jsonl"
    agent = agent_with(lambda turn: turn.call(echo, value=[f"<{text}>"]), echo)
    await both(path, agent, text="hello")
    kept = json.loads(path.read_text().splitlines()[0])["response"][0]
    assert "[redacted]" in kept
    assert "pass-word" not in kept
    if "pass-word" not in text:
        assert not [text[n : n + 10] for n in range(len(text) - 9) if text[n : n + 10] in kept]


class Elsewhere(ToolSource):
    @property
    def name(self) -> str:
        return "elsewhere"

    @property
    def tools(self) -> tuple[Tool[..., Any], ...]:
        about = {"description": "At https://ann:pass-word@host/", "parameters": {"type": "object", "properties": {}}}
        return (Tool.described("far", self._far, **about),)

    async def _far(self, arguments: dict[str, Any]) -> str:
        return "far away"


async def test_secrets_in_what_tools_say_of_themselves_reach_no_cassette(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    await both(path, agent_with(lambda turn: turn.call("far"), Elsewhere()))
    assert "At https://[redacted]@host/" in path.read_text()


async def test_a_failure_says_the_sessions_own_ids(tmp_path: Path) -> None:
    @tool
    async def refuse(user_id: str) -> None:
        """Never works."""
        raise ValueError(f"not for {user_id}, not with ${{HOME}}")

    async def act(turn: Turn) -> Any:
        try:
            await turn.call(refuse, user_id=turn.user.id)
        except ToolFailed as failed:
            return [failed.type, failed.message]

    _, again = await both(tmp_path / "c.jsonl", agent_with(act, refuse))
    assert json.loads(again.text) == ["ValueError", "not for other-user, not with ${HOME}"]
