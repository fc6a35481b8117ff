"""The OpenAPI document: true, and held together with what parses the bodies."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest
import schemathesis
from edge_running import KEYS, SHIPPED, options, published, served
from fake_core import FakeCore, reply_to
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import (
    content_type_conformance,
    not_a_server_error,
    response_schema_conformance,
    status_code_conformance,
)

from greenroom.edge import chat_reply, chat_request, codec, create_app, schemas, session_schemas
from greenroom.edge.routes import sessions
from greenroom.edge.routes.chat_stream import Chunk
from greenroom.v1 import agent_pb2, session_pb2

SHARED = Path(__file__).parents[3] / "shared" / "spec" / "examples"
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
PAIRS = [
    (chat_request.ChatRequest, schemas.ChatRequest),
    (chat_request.ChatMessage, schemas.ChatMessage),
    (chat_request.Part, schemas.Part),
    (chat_request.CarriedCall, schemas.CarriedCall),
    (chat_request.Function, schemas.Function),
    (chat_request.StreamOptions, schemas.StreamOptions),
    (chat_reply.Completion, schemas.Completion),
    (chat_reply.Choice, schemas.Choice),
    (chat_reply.ReplyMessage, schemas.ReplyMessage),
    (chat_reply.ReplyMetadata, schemas.ReplyMetadata),
    (chat_reply.ReplyScenario, schemas.Scenario),
    (chat_reply.ReplyUsage, schemas.Usage),
    (chat_reply.Function, schemas.CalledFunction),
    (sessions.ForkFrom, session_schemas.ForkFrom),
]


@pytest.mark.parametrize(("parsed", "documented"), PAIRS, ids=lambda model: model.__name__)
def test_what_is_parsed_is_what_is_documented(parsed: type[msgspec.Struct], documented: type[Any]) -> None:
    fields = {field.encode_name: field.required for field in msgspec.structs.fields(parsed)}
    shown = {name: field.is_required() for name, field in documented.model_fields.items()}
    assert set(fields) == set(shown)
    if parsed.__module__ == chat_request.__name__ and parsed is not chat_request.Part:
        assert fields == shown


def test_replies_and_the_published_examples_fit_the_models() -> None:
    reply = reply_to(agent_pb2.RunTurnRequest(session_id="s", attempt_id="a"), confidence=0.5)
    schemas.Completion.model_validate_json(codec.from_reply(reply), strict=True)
    schemas.Completion.model_validate_json(codec.from_reply(reply, trace_in_metadata=True), strict=True)
    for name in ("minimal", "basic", "full", "tools", "curl"):
        schemas.ChatRequest.model_validate(published(f"chat-{name}.request"))
    schemas.UserRequest.model_validate(published("users.request"))
    assert "choices" in Chunk.__struct_fields__


@pytest.mark.skipif(not SHARED.exists(), reason="the published bodies are not beside this repository")
def test_the_shipped_examples_are_the_published_ones() -> None:
    assert {path.name: path.read_bytes() for path in SHIPPED.glob("*.json")} == {
        path.name: path.read_bytes() for path in SHARED.glob("*.json")
    }


def test_the_document_is_ours() -> None:
    document = create_app(options("unix:/nowhere"), None).openapi()
    assert "422" not in str(document)
    assert "HTTPValidationError" not in document["components"]["schemas"]
    chat = document["paths"]["/v1/chat/completions"]["post"]
    media = chat["requestBody"]["content"]["application/json"]
    assert media["examples"]["chat-full"]["value"] == published("chat-full.request")
    answers = chat["responses"]["200"]["content"]
    assert answers["application/json"]["examples"]["chat-tools"]["value"] == published("chat-tools.response")
    assert set(answers) == {"application/json", "text/event-stream"}
    assert chat["security"] == [{"bearer": []}, {"key": []}]
    for status in ("400", "429", "500"):
        shown = chat["responses"][status]["content"]["application/json"]
        assert shown["schema"] == {"$ref": "#/components/schemas/ErrorBody"}
        assert shown["example"] == published(f"error-{status}.response")
    assert "security" not in document["paths"]["/health"]["get"]


@pytest.mark.parametrize("keyed", [False, True])
@pytest.mark.parametrize("mode", list(GenerationMode))
async def test_schemathesis_finds_nothing(core: FakeCore, keyed: bool, mode: GenerationMode) -> None:
    turn = session_pb2.Turn(number=1, reply=reply_to(agent_pb2.RunTurnRequest(session_id="s1", attempt_id="a")))
    core.open_session("s1", [turn])
    async with served(options(core.target), KEYS.get if keyed else None) as url, asyncio.timeout(120):
        await asyncio.to_thread(explore, url, mode, {"authorization": "Bearer sk-all"} if keyed else {})


def explore(url: str, mode: GenerationMode, headers: dict[str, str]) -> None:
    """A bounded number of generated requests to every operation."""
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
    explored = 0
    for found in schema.get_all_operations():
        operation = found.ok()
        strategy = operation.as_strategy(generation_mode=mode)

        @settings(max_examples=5, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        @given(case=strategy)
        def check(case: schemathesis.Case) -> None:
            case.call_and_validate(headers=headers, checks=CHECKS)

        try:
            check()
        except Unsatisfiable:
            continue  # nothing can be wrong with a request that has no parts
        explored += 1
    assert explored >= 4
