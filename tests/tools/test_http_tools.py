"""A tool that is one HTTP request: what goes out, what comes back, and what is said when it cannot."""

import asyncio
import json
import re
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from stub_endpoint import Asked, Told, endpoint
from tool_talk import sources, table, talking

from greenroom.sdk import AgentError
from greenroom.tools.http import server
from greenroom.tools.tools_file import read_tools_file

CITY = {"properties": {"city": {"type": "string"}, "days": {"type": "integer"}}, "required": ["city"]}
SECRET = "sk-0123456789abcdef"


def weather(url: str, **settings: Any) -> str:
    return table("http.weather", {"url": f"{url}/weather/{{city}}", "parameters": CITY, **settings})


async def until(holds: Callable[[], bool]) -> None:
    end = monotonic() + 15
    while not holds():
        assert monotonic() < end
        await asyncio.sleep(0.005)


async def test_arguments_go_into_the_url_and_the_query_and_the_result_is_selected(tmp_path: Path) -> None:
    async with endpoint(Told({"main": {"temp": 21.5}})) as served:
        told = weather(served.url, result="$.main.temp", description="The weather.", headers={"X-Who": "greenroom"})
        async with talking(*sources(tmp_path, told)) as talk:
            assert await talk.call("weather", city="São Paulo/x?#", days=2) == 21.5
            [tool] = talk.agent.tools
    [asked] = served.asked
    assert (asked.method, asked.path) == ("GET", "/weather/S%C3%A3o%20Paulo%2Fx%3F%23?days=2")
    assert asked.headers["x-who"] == "greenroom"
    assert tool.openai()["function"] == {
        "name": "weather",
        "description": "The weather.",
        "parameters": {"type": "object", **CITY},
    }


@pytest.mark.parametrize(
    ("settings", "path", "body"),
    [
        ({"method": "POST"}, "/orders/7", {"note": "é", "tags": ["a", "b"]}),
        ({"method": "DELETE"}, "/orders/7?note=%C3%A9&tags=a&tags=b", None),
        ({"method": "POST", "send": "query"}, "/orders/7?note=%C3%A9&tags=a&tags=b", None),
    ],
)
async def test_what_has_no_place_in_the_url_goes_as_the_method_wants_it(
    tmp_path: Path, settings: dict[str, Any], path: str, body: Any
) -> None:
    parameters = {"properties": {"id": {"type": "integer"}}, "required": ["id"]}
    async with endpoint(Told(status=204, body=b"")) as served:
        told = table("http.order", {"url": f"{served.url}/orders/{{id}}", "parameters": parameters, **settings})
        async with talking(*sources(tmp_path, told)) as talk:
            assert await talk.call("order", id=7, note="é", tags=["a", "b"]) is None
    assert (served.asked[0].path, served.asked[0].body) == (path, body)


async def test_the_calls_key_goes_along_the_same_on_every_attempt(tmp_path: Path) -> None:
    async with endpoint(Told({})) as served:
        async with talking(*sources(tmp_path, weather(served.url))) as talk:
            await talk.call("weather", city="Oslo")
        async with talking(*sources(tmp_path, weather(served.url))) as talk:
            await talk.call("weather", city="Oslo")
            await talk.call("weather", city="Oslo")
    first, again, other = [asked.headers["idempotency-key"] for asked in served.asked]
    assert first == again != other


@pytest.mark.parametrize(
    ("settings", "header", "path"),
    [
        ({"bearer_env": "KEY"}, ("authorization", f"Bearer {SECRET}"), "/weather/Oslo"),
        ({"basic_env": "PAIR"}, ("authorization", "Basic YWRhOnNrLTAxMjM0NTY3ODlhYmNkZWY="), "/weather/Oslo"),
        ({"header_env": {"X-Api-Key": "KEY"}}, ("x-api-key", SECRET), "/weather/Oslo"),
        ({"query_env": {"appid": "KEY"}}, ("accept", "*/*"), f"/weather/Oslo?appid={SECRET}"),
    ],
)
async def test_credentials_come_from_the_environment_and_are_never_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any], header: tuple[str, str], path: str
) -> None:
    monkeypatch.setenv("KEY", SECRET)
    monkeypatch.setenv("PAIR", f"ada:{SECRET}")
    refusal = Told({"error": f"{SECRET} is no key of ours"}, status=401)
    async with (
        endpoint(refusal) as served,
        talking(*sources(tmp_path, weather(served.url, **settings))) as talk,
    ):
        kind, message = await talk.call("weather", city="Oslo")
        problem = talk.problem()
    [asked] = served.asked
    assert (asked.headers[header[0]], asked.path) == (header[1], path)
    assert kind == "unauthorized"
    assert message == 'http.weather: 401 Unauthorized: {"error": "[redacted] is no key of ours"}'
    assert problem == 'tools of http.weather: 401 Unauthorized: {"error": "[redacted] is no key of ours"}'


@pytest.mark.parametrize(
    ("variable", "secret", "told"),
    [
        ({"basic_env": "KEY"}, "ada:hush", "hush is not right"),
        ({"query_env": {"k": "KEY"}}, "a+b/c==d e", "no ?k=a%2Bb%2Fc%3D%3Dd%20e, no ?k=a%2Bb%2Fc%3D%3Dd+e"),
    ],
)
async def test_a_credential_is_hidden_however_short_and_as_it_stands_in_a_url(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: dict[str, Any], secret: str, told: str
) -> None:
    monkeypatch.setenv("KEY", secret)
    answer = Told(told.encode(), status=401, headers={"content-type": "text/plain"})
    async with (
        endpoint(answer) as served,
        talking(*sources(tmp_path, weather(served.url, **variable))) as talk,
    ):
        _, message = await talk.call("weather", city="Oslo")
    hidden = re.sub(r"a%\S+?(e|(?=,))|^hush", "[redacted]", told)
    assert message == f"http.weather: 401 Unauthorized: {hidden}"


async def test_a_credential_that_is_missing_is_named_and_nothing_is_asked(tmp_path: Path) -> None:
    async with (
        endpoint(Told({})) as served,
        talking(*sources(tmp_path, weather(served.url, bearer_env="NO_SUCH_KEY"))) as talk,
    ):
        assert talk.problem() == "tools of http.weather: NO_SUCH_KEY is not set in the environment"
        assert await talk.call("weather", city="Oslo") == [
            "unauthorized",
            "http.weather: NO_SUCH_KEY is not set in the environment",
        ]
    assert served.asked == []


@pytest.mark.parametrize("city", ["..", ".", "", "../orders", "Oslo/../../orders", "..\\orders", "Oslo/.", "/.."])
async def test_an_argument_never_leads_out_of_its_place_in_the_path(tmp_path: Path, city: str) -> None:
    async with endpoint(Told({})) as served, talking(*sources(tmp_path, weather(served.url))) as talk:
        kind, message = await talk.call("weather", city=city)
    assert (kind, served.asked) == ("invalid_arguments", [])
    assert "city" in message


async def test_arguments_that_the_schema_does_not_take_are_named(tmp_path: Path) -> None:
    async with endpoint(Told({})) as served, talking(*sources(tmp_path, weather(served.url))) as talk:
        kind, message = await talk.call("weather", days="two")
    assert kind == "invalid_arguments"
    assert message == '"city" is a required property; days: "two" is not of type "integer"'
    assert served.asked == []


async def test_an_error_is_told_with_its_status_and_no_more_than_a_bound_of_what_it_says(tmp_path: Path) -> None:
    answers = (Told({"detail": "No such city."}, 404), Told(b"x" * 100_000, 500), Told({"ok": True}))
    async with endpoint(*answers) as served, talking(*sources(tmp_path, weather(served.url))) as talk:
        assert await talk.call("weather", city="Oslo") == [
            "http_404",
            'http.weather: 404 Not Found: {"detail": "No such city."}',
        ]
        kind, message = await talk.call("weather", city="Oslo")
        assert (kind, len(message) < 600, talk.problem()) == ("http_500", True, "")
        assert await talk.call("weather", city="Oslo") == {"ok": True}


async def test_a_server_that_is_down_is_told_and_heals_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "_FIRST_PAUSE", 0.01)
    async with endpoint(Told({"ok": True})) as served:
        port = served.port
    async with talking(*sources(tmp_path, weather(f"http://127.0.0.1:{port}"))) as talk:
        kind, message = await talk.call("weather", city="Oslo")
        assert (kind, message.startswith("http.weather: it cannot be reached: ConnectError")) == ("unreachable", True)
        assert talk.problem().startswith("tools of http.weather: it cannot be reached")
        back = await asyncio.start_server(served._serve, "127.0.0.1", port)
        try:
            await until(lambda: not talk.problem())
            assert await talk.call("weather", city="Oslo") == {"ok": True}
        finally:
            back.close()


async def test_a_server_that_nobody_calls_is_well_again_once_it_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "_FIRST_PAUSE", 0.01)
    monkeypatch.setenv("KEY", SECRET)
    async with (
        endpoint(Told(status=503)) as served,
        talking(*sources(tmp_path, weather(served.url, bearer_env="KEY"))) as talk,
    ):
        await talk.call("weather", city="Oslo", days=2)
        await until(lambda: len(served.asked) > 2)
        assert talk.problem().startswith("tools of http.weather: 503")
        served.answers = [Told(status=404)]
        await until(lambda: not talk.problem())
    look = served.asked[-1]
    assert (look.method, look.path, "authorization" in look.headers) == ("HEAD", "/weather/Oslo", False)


async def test_a_server_that_does_not_let_us_in_is_not_well_because_it_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "_FIRST_PAUSE", 0.01)
    held, refusing = asyncio.Event(), [Told(b"", status=503), Told(b"", status=401)]

    def answer(asked: Asked) -> Told:
        return Told(status=404, held=held) if asked.method == "HEAD" else refusing.pop(0)

    async with endpoint(answer) as served, talking(*sources(tmp_path, weather(served.url))) as talk:
        await talk.call("weather", city="Oslo")
        await until(lambda: served.asked[-1].method == "HEAD")
        await talk.call("weather", city="Oslo")
        looking = [task for task in asyncio.all_tasks() if "Server._look" in repr(task.get_coro())]
        held.set()
        async with asyncio.timeout(10):
            await asyncio.gather(*looking)
        assert (len(looking), talk.problem()) == (1, "tools of http.weather: 401 Unauthorized")


async def test_a_server_that_dies_in_the_middle_of_a_call_fails_that_call_alone(tmp_path: Path) -> None:
    answers = (Told(pieces=(b'{"a":',), cut=True), Told({"ok": True}))
    async with endpoint(*answers) as served, talking(*sources(tmp_path, weather(served.url))) as talk:
        kind, message = await talk.call("weather", city="Oslo")
        assert kind == "unreachable"
        assert message.startswith("http.weather: it cannot be reached: RemoteProtocolError")
        assert await talk.call("weather", city="Oslo") == {"ok": True}
        assert talk.problem() == ""


async def test_a_server_that_never_answers_costs_no_more_than_the_timeout(tmp_path: Path) -> None:
    async with (
        endpoint(Told(held=asyncio.Event())) as served,
        talking(*sources(tmp_path, weather(served.url, timeout=0.05))) as talk,
    ):
        assert await talk.call("weather", city="Oslo") == ["timeout", "http.weather: no answer within 0.05 s"]
        assert talk.problem() == "tools of http.weather: no answer within 0.05 s"


async def test_nonsense_is_told_as_such(tmp_path: Path) -> None:
    answers = (
        Told(b"<html>not json"),
        Told(b"\xff\xfe\x00\x01", headers={"content-type": "image/png"}),
        Told({"other": 1}),
    )
    async with (
        endpoint(*answers) as served,
        talking(*sources(tmp_path, weather(served.url, result="$.main.temp"))) as talk,
    ):
        assert [await talk.call("weather", city="Oslo") for _ in answers] == [
            ["bad_answer", "http.weather: the answer says that it is JSON, and is not: <html>not json"],
            ["bad_answer", "http.weather: the answer is no text: 4 bytes, image/png"],
            ["bad_answer", "http.weather: the answer has no $.main.temp; it has the keys other"],
        ]


@pytest.mark.parametrize("size", [2_000, 10 * 1024 * 1024])
async def test_a_long_answer_is_cut_and_says_so(tmp_path: Path, size: int) -> None:
    body = json.dumps({"text": "x" * size}).encode()
    async with (
        endpoint(Told(body)) as served,
        talking(*sources(tmp_path, weather(served.url, max_bytes=1000))) as talk,
    ):
        result = await talk.call("weather", city="Oslo")
    told = str(size + 11) if size < 10_000 else "more than 8388608"
    assert result["truncated"] == f"this is the beginning of {told} bytes; ask for less"
    assert (len(result["beginning"]), result["beginning"][:10]) == (
        1000,
        '{"text":"x' if size < 10_000 else '{"text": "',
    )


async def test_a_text_is_a_text(tmp_path: Path) -> None:
    told = Told("grün".encode(), headers={"content-type": "text/plain; charset=utf-8"})
    async with endpoint(told) as served, talking(*sources(tmp_path, weather(served.url))) as talk:
        assert await talk.call("weather", city="Oslo") == "grün"


async def test_a_redirect_is_followed_on_the_same_host_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY", SECRET)
    async with endpoint(Told({"here": True})) as other:

        def answer(asked: Asked) -> Told:
            if asked.path == "/weather/Oslo":
                return Told(status=302, headers={"location": "/moved"})
            if asked.path == "/weather/Rome":
                return Told(status=302, headers={"location": f"{other.url}/away"})
            return Told({"here": asked.headers["authorization"] == f"Bearer {SECRET}"})

        async with (
            endpoint(answer) as served,
            talking(*sources(tmp_path, weather(served.url, bearer_env="KEY"))) as talk,
        ):
            assert await talk.call("weather", city="Oslo") == {"here": True}
            kind, message = await talk.call("weather", city="Rome")
    assert kind == "http_302"
    assert message == f"http.weather: 302 Found: it redirects to {other.url}/away; name that address"
    assert other.asked == []


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "http.t.url is missing; for instance url = 'https://host/orders/{order_id}'"),
        ({"url": "ftp://x/"}, "http.t.url: 'ftp://x/' is no URL; one is https://host/orders/{order_id}"),
        ({"url": "https://{host}/"}, "http.t.url: 'https://{host}/' is no URL; one is https://host/orders/{order_id}"),
        ({"url": "https://u:pw@x/"}, "http.t.url: 'x/' is no URL; one is https://host/orders/{order_id}"),
        ({"url": "https://x/{id}"}, "http.t.url: {id} is no required parameter; there are none"),
        ({"url": "https://x", "parameters": {"type": "objct"}}, "http.t.parameters: no JSON schema of arguments"),
        (
            {"url": "https://x", "parameters": {"properties": {"a": {"type": "strin"}}}},
            'http.t.parameters: no JSON schema: "strin" is not valid',
        ),
        (
            {"url": "https://x", "parameters": {"properties": {"a": {"$ref": "http://127.0.0.1:1/x"}}}},
            "http.t.parameters: no JSON schema: ",
        ),
        ({"url": "https://x", "result": "main.temp"}, "http.t.result: 'main.temp' is no JSONPath"),
        ({"url": "https://x", "headers": {"a": "${NO_SUCH}"}}, "http.t.headers: header a names ${NO_SUCH}, which is"),
        ({"url": "https://x", "methd": "GET"}, "http.t.methd: there is no such setting; did you mean method?"),
    ],
)
def test_a_mistake_names_file_table_and_field(tmp_path: Path, settings: dict[str, Any], said: str) -> None:
    with pytest.raises(AgentError) as problem:
        sources(tmp_path, table("http.t", settings))
    assert str(problem.value).startswith(f"{tmp_path / 'tools.toml'}: {said}")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "a tools file has tables that say their kind and name, for instance [http.weather]; this has nothing"),
        (
            '[http]\nurl = "x"',
            "a tools file has tables that say their kind and name, for instance [http.weather]; this",
        ),
        ('[htp.a]\nurl = "x"', "there is no kind of tools [htp]; did you mean [http]?"),
        ('[http."a b"]\nurl = "x"', "http.a b: a name is of letters, digits, '_' and '-'"),
        ("[http", "is not valid TOML"),
    ],
)
def test_a_file_that_is_none_is_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "tools.toml").write_text(text, encoding="utf-8")
    with pytest.raises(AgentError, match=r"tools\.toml") as problem:
        read_tools_file(tmp_path / "tools.toml")
    assert said in str(problem.value)


def test_all_mistakes_of_a_file_are_told(tmp_path: Path) -> None:
    with pytest.raises(AgentError) as problem:
        sources(tmp_path, table("http.a", {}) + table("http.b", {"url": "x"}))
    assert [line.split(": ")[1][:10] for line in str(problem.value).splitlines()] == ["http.a.url", "http.b.url"]
