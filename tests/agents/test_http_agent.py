"""Agents behind HTTP endpoints of their own shape: what is sent, what is read, and what a wrong or dead one comes to."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from stub_endpoint import Told, endpoint
from talk import talking

from greenroom.agents.agent_file import read_agent_file
from greenroom.agents.breaker import BackendFailed, Breaker
from greenroom.agents.http import AnswerPaths, HttpAgent
from greenroom.agents.http.table import read_http
from greenroom.core.errors import AgentDown, AgentFailed, GreenroomError, TurnTimeout
from greenroom.core.limits import Limits
from greenroom.sdk import AgentError, AgentUnavailable
from greenroom.sdk.testing import play

REPLY = AnswerPaths(reply="$.answer")


def shown(calls: Any) -> list[tuple[str, Any, Any, bool]]:
    return [(call.name, json.loads(call.arguments_json), json.loads(call.result_json), call.ok) for call in calls]


TOLD = {
    "answer": 'It is "on" its way.',
    "sure": 0.75,
    "thread": "t-1",
    "debug": {"intent": "order"},
    "meta": {"route": "billing"},
    "actions": [
        {"name": "get_order", "args": {"id": 7}, "output": {"status": "shipped"}},
        {"function": {"name": "notify", "arguments": '{"to": "a"}'}, "error": "No such user."},
        {"tool": "audit", "id": "their-3", "ok": False, "result": [1]},
        "ping",
    ],
}


async def test_a_turn_is_sent_as_the_template_says_and_its_answer_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_KEY", "sk-1")
    template = tmp_path / "body.json.j2"
    template.write_text(
        """{"q": {{ text | tojson }}, "who": {{ user_id | tojson }}, "n": {{ number }},
        "before": [{% for m in messages[:-1] %}{{ m.content | tojson }}{{ "," if not loop.last }}{% endfor %}],
        "thread": {{ state.get("thread") | tojson }}, "plan": {{ metadata.plan | default("free") | tojson }}}"""
    )
    async with endpoint(Told(TOLD)) as served:
        paths = AnswerPaths(
            reply="$.answer",
            tools="$.actions",
            confidence="$.sure",
            evaluation="$.debug",
            metadata="$.meta",
            keep={"thread": "$.thread"},
        )
        headers = {"Authorization": "Bearer ${SHOP_KEY}", "X-Turn": "{{ session_id }}/{{ number }}"}
        agent = HttpAgent(f"{served.url}/chat", paths, request=template, headers=headers)
        first, second = await play(
            agent, ['Where is "it"?\n#7', "Thanks"], user_id="u-ü", session_id="s1", metadata={"plan": "gold"}
        )
    assert [asked.body for asked in served.asked] == [
        {"q": 'Where is "it"?\n#7', "who": "u-ü", "n": 1, "before": [], "thread": None, "plan": "gold"},
        {
            "q": "Thanks",
            "who": "u-ü",
            "n": 2,
            "before": ['Where is "it"?\n#7', None, *[call.result_json for call in first.tool_calls], first.text],
            "thread": "t-1",
            "plan": "gold",
        },
    ]
    one = served.asked[0]
    assert (one.method, one.path) == ("POST", "/chat")
    assert one.headers["authorization"] == "Bearer sk-1"
    assert one.headers["x-turn"] == "s1/1"
    assert (one.headers["x-session-id"], one.headers["x-user-id"]) == ("s1", "u-ü".encode().decode("utf-8"))
    assert one.headers["idempotency-key"] != served.asked[1].headers["idempotency-key"]
    assert first.text == 'It is "on" its way.'
    assert (first.confidence, first.metadata) == (0.75, {"route": "billing"})
    assert first.evaluation["intent"] == "order"
    assert shown(first.tool_calls) == [
        ("get_order", {"id": 7}, {"status": "shipped"}, True),
        ("notify", {"to": "a"}, {"error": {"type": "failed", "message": "No such user."}}, False),
        ("audit", {}, {"error": {"type": "failed", "message": "[1]"}}, False),
        ("ping", {}, None, True),
    ]
    assert first.tool_calls[2].id == "their-3"
    assert second.turn == 2


async def test_without_a_template_the_usual_is_sent() -> None:
    async with endpoint(Told({"answer": ["a", 1]})) as served:
        [played] = await play(HttpAgent(served.url, REPLY), ["hi"], session_id="s", metadata={"a": 1.0})
    assert served.asked[0].body == {"message": "hi", "session_id": "s", "user_id": "", "metadata": {"a": 1.0}}
    assert "x-user-id" not in served.asked[0].headers
    assert played.text == '["a", 1]'


async def test_sessions_do_not_share_what_is_kept(tmp_path: Path) -> None:
    async with endpoint(
        lambda asked: Told({"answer": asked.body["thread"] or "", "thread": asked.body["s"]})
    ) as served:
        template = tmp_path / "t.j2"
        template.write_text('{"s": {{ session_id | tojson }}, "thread": {{ state.get("thread") | tojson }}}')
        paths = AnswerPaths(reply="$.answer", keep={"thread": "$.thread"})
        async with talking(HttpAgent(served.url, paths, request=template)) as core:
            for sid in ("a", "b"):
                assert (await core.say("1", session_id=sid)).reply == ""
            assert [(await core.say("2", session_id=sid)).reply for sid in ("a", "b")] == ["a", "b"]


SECRET = "Traceback: password=hunter2"


@pytest.mark.parametrize(
    ("told", "failure", "detail"),
    [
        (Told(SECRET, 500), AgentDown, "answered 500"),
        (Told(SECRET, 503, {"retry-after": "9"}), AgentDown, "answered 503"),
        (Told(SECRET, 429, {"retry-after": "soon"}), AgentDown, "answered 429"),
        (Told(SECRET, 401), AgentDown, "answered 401"),
        (Told(SECRET, 400), AgentFailed, "answered 400"),
        (Told(SECRET, 302, {"location": "/login"}), AgentFailed, "redirects to /login"),
        (Told(b"<html>" + SECRET.encode()), AgentFailed, "no JSON (application/json): <html>"),
        (Told(b"[" * 100_000), AgentFailed, "no JSON"),
        (Told(b"\xff\xfe"), AgentFailed, "no JSON"),
        (Told({"text": SECRET}), AgentFailed, "no $.answer: it has the keys text"),
        (Told(SECRET), AgentFailed, "no $.answer: it has a str"),
        (Told({"answer": "a" * 100}, cut=True, headers={"content-length": "5000"}), AgentDown, "RemoteProtocolError"),
        (Told(b"[" + b"1," * 5_000_000 + b"1]"), AgentFailed, "bytes at most"),
    ],
)
async def test_what_goes_wrong_there_is_not_told_here(
    told: Told, failure: type[GreenroomError], detail: str, tmp_path: Path
) -> None:
    async with (
        endpoint(Told({"answer": "hi"}), told) as served,
        talking(HttpAgent(served.url, REPLY)) as core,
    ):
        await core.say("hi")
        error = await core.fails("again")
        assert type(error) is failure
        assert "hunter2" not in str(error)
        assert detail in (await core.failures())[0].detail
        if told.status == 503:
            assert error.retry_after == 9


async def test_a_dead_endpoint_holds_nobody_up_and_is_tried_again(tmp_path: Path) -> None:
    async with endpoint(Told({"answer": "hi"})) as served:
        agent = HttpAgent(served.url, REPLY)
        clock = Clock()
        agent._upstream.breaker._now = clock  # type: ignore[method-assign]
        async with talking(agent, Limits(turn_timeout=0.3)) as core:
            served.answers = [Told("", 500)]
            for number in range(5):
                assert agent.problem() == ""
                assert type(await core.fails(f"{number}")) is AgentDown
            assert "answered 500" in agent.problem()
            error = await core.fails("held back")
            assert (type(error), error.retry_after, len(served.asked)) == (AgentDown, 1.0, 5)
            clock.seconds += 1.0
            assert agent.problem() == ""
            await core.fails("tried")
            clock.seconds += 1.0
            assert (await core.fails("held back")).retry_after == 1.0
            assert len(served.asked) == 6
            clock.seconds += 1.0
            served.answers = [Told({"answer": "well"})]
            assert (await core.say("tried")).reply == "well"
            served.answers = [Told("", 500), Told({"answer": "well"})]
            await core.fails("one fault is none")
            assert (await core.say("goes on")).reply == "well"


async def test_an_endpoint_that_never_answers_counts_as_dead(tmp_path: Path) -> None:
    never = asyncio.Event()
    async with endpoint(Told({"answer": "hi"}, held=never)) as served:
        agent = HttpAgent(served.url, REPLY)
        async with talking(agent, Limits(turn_timeout=0.1)) as core:
            assert type(await core.fails("0")) is TurnTimeout
            for number in range(4):
                await core.fails(f"{number}", session_id=f"s{number}")
            assert "did not answer within the turn's deadline" in agent.problem()
            assert type(await core.fails("held back")) is AgentDown
        never.set()


async def test_nobody_listens(tmp_path: Path) -> None:
    async with endpoint(Told()) as served:
        url = served.url
    async with talking(HttpAgent(url, REPLY)) as core:
        assert type(await core.fails("hi")) is AgentDown


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def test_the_pause_doubles_up_to_half_a_minute() -> None:
    clock = Clock()
    breaker = Breaker("it", clock)

    def fail() -> None:
        with pytest.raises(AgentUnavailable), breaker.attempt():
            raise BackendFailed("no")

    for _ in range(5):
        fail()
    pauses = []
    for _ in range(7):
        start = clock.seconds
        while breaker.problem():
            clock.seconds += 0.5
        pauses.append(clock.seconds - start)
        fail()
    assert pauses == [1, 2, 4, 8, 16, 30, 30]


def test_one_attempt_at_a_time_sees_whether_it_is_over() -> None:
    clock = Clock()
    breaker = Breaker("it", clock)
    for _ in range(5):
        with pytest.raises(BackendFailed), breaker.attempt():
            raise BackendFailed("no")
    clock.seconds = 1
    with breaker.attempt(), pytest.raises(AgentUnavailable, match="left alone"), breaker.attempt():
        raise AssertionError("two at once")
    clock.seconds = 0
    with breaker.attempt(), breaker.attempt():
        pass


def test_an_attempt_that_was_given_up_lets_the_next_one_see(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    breaker = Breaker("it", clock)
    for _ in range(5):
        with pytest.raises(BackendFailed), breaker.attempt():
            raise BackendFailed("no")
    clock.seconds = 1
    attempt = breaker.attempt()
    attempt.__enter__()
    assert breaker.problem() == "no"  # nothing is known to be better yet
    assert not attempt.__exit__(asyncio.CancelledError, asyncio.CancelledError(), None)
    assert breaker.problem() == ""
    with breaker.attempt():
        pass
    with breaker.attempt(), breaker.attempt():
        assert breaker.problem() == ""


def test_attempts_that_began_before_the_others_failed_do_not_make_the_pause_longer() -> None:
    clock = Clock()
    breaker = Breaker("it", clock)
    late = [breaker.attempt() for _ in range(50)]
    for attempt in late:
        attempt.__enter__()
    for attempt in late:
        failure = BackendFailed("no")
        assert not attempt.__exit__(BackendFailed, failure, None)
    clock.seconds = 1
    assert breaker.problem() == ""


@pytest.mark.parametrize(
    ("url", "paths", "options", "said"),
    [
        ("host/chat", REPLY, {}, "one is https://host/chat"),
        ("https://me:secret@host/", REPLY, {}, "holds no password"),
        ("https://host/", AnswerPaths(reply="$.a["), {}, "is no JSONPath"),
        ("https://host/", REPLY, {"request": "nowhere.j2"}, "cannot read the template"),
        ("https://host/", REPLY, {"headers": {"A": "${NO_SUCH_NAME}"}}, "NO_SUCH_NAME"),
        ("https://host/", REPLY, {"headers": {"A": "{{ nothing }}"}}, "'nothing' is undefined"),
    ],
)
def test_what_cannot_be_served_is_explained(url: str, paths: AnswerPaths, options: dict[str, Any], said: str) -> None:
    with pytest.raises(AgentError) as problem:
        HttpAgent(url, paths, **options)
    assert said in str(problem.value)
    assert "secret" not in str(problem.value)


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ('{"a": {{ metadata.items | tojson }}}', "is no JSON; a key that is the name of a dict's method"),
        ('{"q": "{{ text }}"}', "{{ text | tojson }}"),
        ('{"q": {{ txt | tojson }}}', "'txt' is undefined"),
        ('{"q": \n{{ text | tojson }', "line 2"),
    ],
)
def test_a_template_that_makes_no_json_is_refused_at_once(template: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "b.j2"
    file.write_text(template)
    with pytest.raises(AgentError) as problem:
        HttpAgent("https://host/", REPLY, request=file)
    assert said in str(problem.value)


async def test_an_agent_file_describes_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "body.json.j2").write_text('{"q": {{ text | tojson }}}')
    async with endpoint(Told({"answer": "hi", "id": 5})) as served:
        (tmp_path / "shop.toml").write_text(
            f'[http]\nurl = "{served.url}"\nrequest = "body.json.j2"\nreply = "$.answer"\nkeep = {{ id = "$.id" }}\n'
        )
        monkeypatch.chdir(tmp_path.parent)
        [played] = await play(read_agent_file(tmp_path / "shop.toml"), ["hello"])
    assert (played.text, served.asked[0].body) == ("hi", {"q": "hello"})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[htp]\n", "there is no kind of agent [htp]; did you mean [http]?"),
        ("[http]\n[openai]\n", "one table that says its kind, for instance [http]; this has http, openai"),
        ("a = [", "is not valid TOML"),
        ("1: {a: b}", "one table that says its kind"),
        ("http: [1]", "one table that says its kind"),
        ("http: {1: 2}", "http."),
        ("", "one table that says its kind"),
        ('[http]\nreply = "$.a"\nulr = "x"\n', "http.ulr: there is no such setting; did you mean url?"),
        ('[http]\nreply = "$.a"\n', "http.url is missing; for instance url = 'https://host/chat'"),
        ('[http]\nreply = "$.a"\nurl = 5\n', "http.url: Input should be a valid string, not 5"),
        ('[openai]\nurl = "https://h/v1"\napi_key_env = "NO_SUCH"\n', "NO_SUCH is not set in the environment"),
    ],
)
def test_a_wrong_agent_file_is_explained(text: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / ("a.yaml" if ":" in text.partition(" ")[0] else "a.toml")
    file.write_text(text)
    with pytest.raises(AgentError) as problem:
        read_agent_file(file)
    assert said in str(problem.value)
    assert str(file) in str(problem.value)


def test_a_table_tells_all_its_mistakes_at_once() -> None:
    with pytest.raises(AgentError) as problem:
        read_http({"ulr": 1}, Path())
    assert len(str(problem.value).splitlines()) == 3


async def test_connections_are_kept() -> None:
    async with endpoint(Told({"answer": "hi"})) as served, talking(HttpAgent(served.url, REPLY)) as core:
        for number in range(5):
            await core.say(str(number), session_id=f"s{number}")
    assert (len(served.asked), served.connections) == (5, 1)
