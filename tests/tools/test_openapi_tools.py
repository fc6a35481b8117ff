"""The operations of an OpenAPI document as tools."""

import asyncio
import json
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
import yaml
from shop_api import OK, one, shop
from stub_endpoint import Asked, Told, endpoint
from tool_talk import Talk, sources, table, talking

from greenroom.sdk import AgentError, ToolSource

SECRET = "sk-0123456789abcdef"
TEXT = {"schema": {"type": "string"}}


def described(document: Any, answer: Any = None) -> Any:
    """An endpoint's answers: the document where it is asked for, else the answer."""
    return lambda asked: (
        Told(document) if asked.path == "/openapi.json" else Told({"ok": True} if answer is None else answer)
    )


def in_file(folder: Path, written: Any, url: str, /, **settings: Any) -> list[ToolSource]:
    (folder / "shop.json").write_text(json.dumps(written), encoding="utf-8")
    base = {"base_url": f"{url}/api"} if url else {}
    return list(sources(folder, table("openapi.shop", {"document": "shop.json", **base, **settings})))


async def heals(talk: Talk) -> None:
    """Returns when nothing is wrong any more."""
    until = monotonic() + 10
    while talk.problem():
        assert monotonic() < until, talk.problem()
        await asyncio.sleep(0.02)


async def test_what_reads_is_a_tool_and_what_writes_is_one_when_it_is_allowed(tmp_path: Path) -> None:
    assert [tool.name for tool in in_file(tmp_path, shop(), "http://x")[0].tools] == [
        "listOrders",
        "getOrder",
        "get_ping",
    ]
    wanted = {"allow": ["*Order", "get_ping", "!cancel*"], "prefix": "shop_"}
    [source] = in_file(tmp_path, shop(), "http://x", **wanted)
    assert [tool.name for tool in source.tools] == ["shop_createOrder", "shop_getOrder", "shop_get_ping"]
    assert source.problem() == ""


async def test_a_tool_says_what_the_document_says_of_it(tmp_path: Path) -> None:
    [source] = in_file(tmp_path, shop(), "http://x", allow=["listOrders", "createOrder"])
    listing, creating = (tool.openai()["function"] for tool in source.tools)
    assert listing == {
        "name": "listOrders",
        "description": "All orders.",
        "parameters": {
            "type": "object",
            "properties": {"page": {"type": "integer", "minimum": 1}},
            "additionalProperties": False,
        },
    }
    assert creating["parameters"] == {
        "type": "object",
        "properties": {"body": {"$ref": "#/$defs/Order"}},
        "additionalProperties": False,
        "required": ["body"],
        "$defs": {
            "Order": {
                "type": "object",
                "required": ["items"],
                "properties": {"items": {"type": "array", "items": {"$ref": "#/$defs/Item"}}},
            },
            "Item": {
                "type": "object",
                "required": ["sku"],
                "properties": {
                    "sku": {"type": "string"},
                    "parts": {"type": "array", "items": {"$ref": "#/$defs/Item"}},
                },
            },
        },
    }


@pytest.mark.parametrize("form", ["json", "yaml"])
async def test_a_document_is_fetched_and_its_operations_are_called(tmp_path: Path, form: str) -> None:
    text = json.dumps(shop()) if form == "json" else yaml.safe_dump(shop())
    async with endpoint(described(text.encode())) as served:
        told = table("openapi.shop", {"document": f"{served.url}/openapi.json", "allow": ["*"]})
        async with talking(*sources(tmp_path, told)) as talk:
            assert talk.names == ["listOrders", "createOrder", "getOrder", "cancelOrder", "get_ping"]
            assert await talk.call("listOrders", page=2) == {"ok": True}
            assert await talk.call("getOrder", order_id="7/8") == {"ok": True}
            body = {"items": [{"sku": "A", "parts": [{"sku": "B"}]}]}
            assert await talk.call("createOrder", body=body) == {"ok": True}
            assert await talk.call("createOrder", body={"items": [{"sku": "A", "parts": [{}]}]}) == [
                "invalid_arguments",
                'body.items.0.parts.0: "sku" is a required property',
            ]
            assert (await talk.call("getOrder"))[0] == "invalid_arguments"
            assert await talk.call("listOrders", pag=1) == [
                "invalid_arguments",
                "Additional properties are not allowed ('pag' was unexpected)",
            ]
    assert [(asked.method, asked.path, asked.body) for asked in served.asked[1:]] == [
        ("GET", "/api/orders?page=2", None),
        ("GET", "/api/orders/7%2F8", None),
        ("POST", "/api/orders", body),
    ]
    assert len({asked.headers["idempotency-key"] for asked in served.asked[1:]}) == 3


LIST, MAP = {"schema": {"type": "array"}}, {"schema": {"type": "object"}}
COLOURS, POINT = ["blue", "a b"], {"x": 1, "y": 2}


@pytest.mark.parametrize(
    ("parameter", "value", "path"),
    [
        ({"in": "query", **LIST}, COLOURS, "/x?p=blue&p=a+b"),
        ({"in": "query", "explode": False, **LIST}, COLOURS, "/x?p=blue%2Ca+b"),
        ({"in": "query", "style": "pipeDelimited", **LIST}, COLOURS, "/x?p=blue%7Ca+b"),
        ({"in": "query", "style": "deepObject", **MAP}, POINT, "/x?p%5Bx%5D=1&p%5By%5D=2"),
        ({"in": "query", "style": "deepObject", **LIST}, COLOURS, "/x?p%5B0%5D=blue&p%5B1%5D=a+b"),
        ({"in": "query", "style": "deepObject", **MAP}, {"a": {"b": [1]}, "c": None}, "/x?p%5Ba%5D%5Bb%5D%5B0%5D=1"),
        ({"in": "query", **MAP}, POINT, "/x?x=1&y=2"),
        ({"in": "query", "content": {"application/json": MAP}}, POINT, "/x?p=%7B%22x%22%3A+1%2C+%22y%22%3A+2%7D"),
        ({"in": "query", "schema": {"type": "boolean"}}, True, "/x?p=true"),
        ({"in": "path", **LIST}, COLOURS, "/x/blue,a%20b"),
        ({"in": "path", "style": "label", **LIST}, COLOURS, "/x/.blue,a%20b"),
        ({"in": "path", "style": "matrix", "explode": True, **LIST}, COLOURS, "/x/;p=blue;p=a%20b"),
        ({"in": "path", "explode": True, **MAP}, POINT, "/x/x=1,y=2"),
    ],
)
async def test_arguments_are_placed_in_the_style_of_their_parameter(
    tmp_path: Path, parameter: dict[str, Any], value: Any, path: str
) -> None:
    document = one({"name": "p", **parameter}, path="/x/{p}" if parameter["in"] == "path" else "/x")
    async with endpoint(Told({})) as served, talking(*in_file(tmp_path, document, served.url)) as talk:
        await talk.call("x", p=value)
    assert [asked.path for asked in served.asked] == [f"/api{path}"]


async def test_headers_and_cookies_are_sent_and_names_that_meet_are_told_apart(tmp_path: Path) -> None:
    document = one(
        {"name": "id", "in": "query", **TEXT},
        {"name": "id", "in": "cookie", **TEXT},
        {"name": "X-Id", "in": "header", **TEXT},
        {"name": "Authorization", "in": "header", **TEXT},
    )
    async with endpoint(Told({})) as served, talking(*in_file(tmp_path, document, served.url)) as talk:
        [tool] = talk.agent.tools
        assert list(tool.signature.schema()["properties"]) == ["id", "id_cookie", "X-Id"]
        await talk.call("x", **{"id": "a", "id_cookie": "b; c=d", "X-Id": "e\r\nX-More: f"})
    [asked] = served.asked
    assert (asked.path, asked.headers["cookie"]) == ("/api/x?id=a", "id=b%3B%20c%3Dd")
    assert (asked.headers["x-id"], "x-more" in asked.headers) == ("e X-More: f", False)


async def test_what_3_0_writes_otherwise_holds(tmp_path: Path) -> None:
    schema = {"type": "integer", "minimum": 0, "exclusiveMinimum": True, "nullable": True}
    document = {**one({"name": "n", "in": "query", "schema": schema}), "openapi": "3.0.3"}
    async with endpoint(Told({})) as served, talking(*in_file(tmp_path, document, served.url)) as talk:
        assert (await talk.call("x", n=0))[0] == "invalid_arguments"
        assert await talk.call("x", n=None) == {}
        assert await talk.call("x", n=1) == {}
    assert [asked.path for asked in served.asked] == ["/api/x", "/api/x?n=1"]


def secured(kind: dict[str, Any], **more: Any) -> dict[str, Any]:
    return one(security=[{"key": []}], **more) | {"components": {"securitySchemes": {"key": kind}}}


@pytest.mark.parametrize(
    ("scheme", "header", "path"),
    [
        ({"type": "http", "scheme": "bearer"}, ("authorization", f"Bearer {SECRET}"), "/api/x"),
        ({"type": "oauth2", "flows": {}}, ("authorization", f"Bearer {SECRET}"), "/api/x"),
        ({"type": "apiKey", "in": "header", "name": "X-Key"}, ("x-key", SECRET), "/api/x"),
        ({"type": "apiKey", "in": "cookie", "name": "k"}, ("cookie", f"k={SECRET}"), "/api/x"),
        ({"type": "apiKey", "in": "query", "name": "k"}, ("host", ""), f"/api/x?k={SECRET}"),
    ],
)
async def test_an_operation_is_let_in_by_the_environment_as_the_document_wants_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scheme: dict[str, Any], header: tuple[str, str], path: str
) -> None:
    monkeypatch.setenv("SHOP_KEY", SECRET)
    settings = {"credentials_env": {"key": "SHOP_KEY"}}
    refused = Told({"message": f"no {SECRET} here"}, status=403)
    async with (
        endpoint(refused, Told({})) as served,
        talking(*in_file(tmp_path, secured(scheme), served.url, **settings)) as talk,
    ):
        kind, message = await talk.call("x")
        assert (kind, message) == ("unauthorized", 'openapi.shop: 403 Forbidden: {"message": "no [redacted] here"}')
        assert talk.problem() == 'tools of openapi.shop: 403 Forbidden: {"message": "no [redacted] here"}'
        assert (await talk.call("x"), talk.problem()) == ({}, "")
    assert served.asked[0].path == path
    assert served.asked[0].headers[header[0]] == (header[1] or served.asked[0].headers[header[0]])


async def test_a_credential_that_is_missing_is_named_and_the_others_go_on(tmp_path: Path) -> None:
    document = secured({"type": "http", "scheme": "bearer"})
    document["paths"]["/open"] = {"get": {"operationId": "open", "security": [], **OK}}
    async with endpoint(Told({})) as served:
        async with talking(*in_file(tmp_path, document, served.url)) as talk:
            wanted = "it wants key; credentials_env.key names the variable that holds it"
            assert talk.problem() == f"tools of openapi.shop: {wanted}"
            assert await talk.call("x") == ["unauthorized", f"openapi.shop: {wanted}"]
            assert await talk.call("open") == {}
        named = in_file(tmp_path, document, served.url, credentials_env={"key": "NO_SUCH", "kye": "A"})
        assert named[0].problem() == (
            "credentials_env.kye: the document has no such security scheme; it has key;"
            " NO_SUCH is not set in the environment"
        )


async def test_who_may_come_in_without_credentials_shows_those_that_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = secured({"type": "http", "scheme": "bearer"}, responses={})
    document["paths"]["/x"]["get"]["security"] = [{}, {"key": []}]
    settings = {"credentials_env": {"key": "SHOP_KEY"}}
    async with endpoint(Told({})) as served:
        async with talking(*in_file(tmp_path, document, served.url, **settings)) as talk:
            assert (await talk.call("x"), talk.problem()) == ({}, "")
        monkeypatch.setenv("SHOP_KEY", SECRET)
        async with talking(*in_file(tmp_path, document, served.url, **settings)) as talk:
            await talk.call("x")
    assert [asked.headers.get("authorization") for asked in served.asked] == [None, f"Bearer {SECRET}"]


async def test_references_may_lead_as_far_as_they_like(tmp_path: Path) -> None:
    links: dict[str, Any] = {
        f"S{number}": {"type": "object", "properties": {"next": {"$ref": f"#/components/schemas/S{number + 1}"}}}
        for number in range(1000)
    }
    links["S1000"] = {"type": "integer"}
    document = one({"name": "p", "in": "query", "schema": {"$ref": "#/components/schemas/S0"}})
    document["components"] = {"schemas": links}
    [source] = in_file(tmp_path, document, "http://x")
    assert (source.problem(), len(source.tools[0].signature.schema()["$defs"])) == ("", 1001)


async def test_of_forms_that_a_discriminator_tells_apart_several_may_fit(tmp_path: Path) -> None:
    pets = [{"properties": {"kind": {"type": "string"}, name: {"type": "integer"}}} for name in ("lives", "legs")]
    pet: dict[str, Any] = {"oneOf": pets, "discriminator": {"propertyName": "kind"}}
    document = one(method="post", requestBody={"content": {"application/json": {"schema": pet}}})
    async with endpoint(Told({})) as served, talking(*in_file(tmp_path, document, served.url, allow=["*"])) as talk:
        assert await talk.call("x", body={"kind": "cat", "lives": 9}) == {}
        assert (await talk.call("x", body={"kind": 1}))[0] == "invalid_arguments"


async def test_a_form_is_sent_as_one(tmp_path: Path) -> None:
    form = {
        "schema": {"properties": {"a": {"type": "array"}}},
        "encoding": {"d": {"style": "deepObject", "explode": True}},
    }
    body = {"content": {"application/x-www-form-urlencoded": form}}
    bodies: list[bytes] = []

    def asked(request: Asked) -> Told:
        raise AssertionError(request)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        bodies.append(await reader.readexactly(length))
        writer.write(b"HTTP/1.1 204 Done\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    document = one(method="post", requestBody=body)
    async with server, talking(*in_file(tmp_path, document, url, allow=["*"])) as talk:
        assert await talk.call("x", body={"a": ["b", "c d"], "e": 1, "d": {"f": 2}, "g": {"h": 3}}) is None
        assert await talk.call("x", body="a=b") == ["invalid_arguments", "body: a form wants an object"]
    assert bodies == [b"a=b&a=c+d&e=1&d%5Bf%5D=2&g=%7B%22h%22%3A+3%7D"]


BROKEN = [
    ({"name": "p", "in": "query", "schema": {"type": "strng"}}, 'no JSON schema: "strng" is not valid under'),
    (
        {"name": "p", "in": "query", "schema": {"$ref": "#/components/schemas/Nope"}},
        "there is no #/components/schemas/Nope",
    ),
    ({"name": "p", "in": "query", "schema": {"$ref": "http://x/y.json"}}, "http://x/y.json leads to another document"),
    ({"$ref": "#/paths/~1x/get/parameters/0"}, "references go round in a circle"),
    ({"name": "p", "in": "path", **TEXT}, "{p} is in the path or among its parameters, not in both"),
    ({"name": "p", "in": "query", "content": {}}, "it is not as OpenAPI wants it"),
    ({"name": "p", "in": "body"}, "'p' is no parameter: it is in 'body'"),
]


@pytest.mark.parametrize(("parameter", "said"), BROKEN)
async def test_an_operation_that_is_none_is_left_out_and_told_and_the_others_go_on(
    tmp_path: Path, parameter: dict[str, Any], said: str
) -> None:
    document = one(parameter)
    document["paths"]["/good"] = {"get": {"operationId": "good", **OK}}
    [source] = in_file(tmp_path, document, "http://x")
    assert [tool.name for tool in source.tools] == ["good"]
    assert source.problem().startswith(f"x is left out: {said}")
    [source] = in_file(tmp_path, document, "http://x", allow=["*", "!x"])
    assert source.problem() == ""


async def test_a_document_that_is_not_there_at_start_is_fetched_again_until_it_is(tmp_path: Path) -> None:
    answers = (Told(b"<html>", 503), Told(b"{nonsense"), Told({"swagger": "2.0"}), described(shop()))
    async with endpoint(*answers) as served:
        told = table("openapi.shop", {"document": f"{served.url}/openapi.json"})
        told += table("http.other", {"url": f"{served.url}/other"})
        async with talking(*sources(tmp_path, told)) as talk:
            assert talk.names == ["listOrders", "getOrder", "get_ping", "other"] or talk.names == ["other"]
            await heals(talk)
            assert await talk.call("getOrder", order_id="1") == {"ok": True}


async def test_a_document_may_be_longer_than_an_answer_and_come_later_than_one(tmp_path: Path) -> None:
    long = shop(info={"title": "Shop", "version": "1", "description": "x" * 9_000_000})
    async with endpoint(described(long)) as served:
        told = table("openapi.shop", {"document": f"{served.url}/openapi.json", "timeout": 0.001})
        async with talking(*sources(tmp_path, told)) as talk:
            assert (talk.problem(), talk.names[-1]) == ("", "get_ping")


async def test_a_document_that_never_comes_is_told_and_holds_nothing_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("greenroom.tools.openapi.source._AT_START", 0.05)
    async with endpoint(Told(held=asyncio.Event())) as served:
        told = table("openapi.shop", {"document": f"{served.url}/openapi.json"})
        async with talking(*sources(tmp_path, told)) as talk:
            assert talk.problem() == "tools of openapi.shop: its document has not been read yet"
            assert talk.names == []


async def test_a_document_from_elsewhere_sends_nobody_to_a_third_host(tmp_path: Path) -> None:
    document = shop(servers=[{"url": "https://elsewhere.example/api"}])
    async with endpoint(described(document)) as served:
        settings = {"document": f"{served.url}/openapi.json"}
        async with talking(*sources(tmp_path, table("openapi.shop", settings))) as talk:
            assert talk.names == []
            assert (
                "a server elsewhere, https://elsewhere.example/api; base_url says that this is right" in talk.problem()
            )
        settings["base_url"] = f"{served.url}/v2"
        async with talking(*sources(tmp_path, table("openapi.shop", settings))) as talk:
            assert (await talk.call("get_ping"), served.asked[-1].path) == ({"ok": True}, "/v2/ping")


async def test_two_documents_with_the_same_names_get_along_by_prefix(tmp_path: Path) -> None:
    (tmp_path / "shop.json").write_text(json.dumps(shop()), encoding="utf-8")
    settings = {"document": "shop.json", "base_url": "http://x"}
    first, second = table("openapi.a", settings), table("openapi.b", {**settings, "allow": ["get_ping"]})
    talk = Talk(*sources(tmp_path, first + second))
    assert talk.problem() == (
        "tools of openapi.b: get_ping is left out, that of openapi.a has this name; a prefix tells them apart"
    )
    prefixed = table("openapi.b", {**settings, "allow": ["get_ping"], "prefix": "b_"})
    talk = Talk(*sources(tmp_path, first + prefixed))
    assert (talk.problem(), talk.names[-1]) == ("", "b_get_ping")


@pytest.mark.parametrize(
    ("document", "settings", "said"),
    [
        (
            {"swagger": "2.0"},
            {},
            "openapi.shop.document: {path}: no OpenAPI document 3.0 to 3.2: its version is '2.0'",
        ),
        ("[", {}, "openapi.shop.document: {path}: no OpenAPI document 3.0 to 3.2: it does not say its version"),
        (None, {"document": "nowhere.json"}, "openapi.shop.document: cannot read {folder}/nowhere.json: No such file"),
        (None, {"document": "https://u:p@x/y"}, "openapi.shop.document: 'x/y' is no URL"),
        (
            None,
            {"base_url": "x"},
            "openapi.shop.base_url: 'x' is no URL; one is https://host/orders/{{order_id}}, not 'x'",
        ),
        (None, {"prefix": "a b"}, "openapi.shop.prefix: String should match pattern"),
    ],
)
def test_a_mistake_of_the_table_is_told_at_the_start(
    tmp_path: Path, document: Any, settings: dict[str, Any], said: str
) -> None:
    with pytest.raises(AgentError) as problem:
        in_file(tmp_path, document or shop(), "", **settings)
    told = said.format(path=tmp_path / "shop.json", folder=tmp_path)
    assert str(problem.value).startswith(f"{tmp_path / 'tools.toml'}: {told}")


def test_a_pattern_that_allows_nothing_is_told_with_what_there_is(tmp_path: Path) -> None:
    [source] = in_file(tmp_path, shop(), "http://x", allow=["getOrders", "getOrder"])
    assert source.problem() == (
        "allow: getOrders is the name of no operation; there are listOrders, createOrder, getOrder, cancelOrder, get_ping"
    )
