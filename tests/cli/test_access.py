"""Keys, TLS and what the log shows, on real servers."""

import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import grpc
import httpx2
import pytest
import trustme
from running_sandbox import PATIENCE, Sandbox, run_here

from greenroom.cli.keys import hashed
from greenroom.v1 import agent_pb2, agent_pb2_grpc, session_pb2, session_pb2_grpc
from greenroom.v1.turn_pb2 import Message

SERVE = ("serve", "counting:agent", "--port", "0", "--grpc-port", "0")
KEYS = f"usertrace:chat:KEY-IN-CLEAR,ops:chat+inspect:{hashed('KEY-THAT-IS-HASHED')}"


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def run_turn(address: str, *metadata: tuple[str, str], credentials: grpc.ChannelCredentials | None = None) -> str:
    channel = grpc.secure_channel(address, credentials) if credentials else grpc.insecure_channel(address)
    request = agent_pb2.RunTurnRequest(messages=[Message(role="user", content="hello")], session_id="g1")
    with channel:
        return agent_pb2_grpc.AgentServiceStub(channel).RunTurn(request, timeout=PATIENCE, metadata=metadata).reply.text


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A key, and what a server is told of it."""
    folder = tmp_path_factory.mktemp("made")
    return run_here(folder, "keys", "create", "maker", "--scope", "chat,inspect").stdout.split()


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, made: list[str]) -> Iterator[Sandbox]:
    """Bound to every address, and guarded by keys."""
    keys = f"{KEYS},{made[1]}"
    folder = tmp_path_factory.mktemp("guarded")
    with Sandbox(folder, *SERVE, "--host", "0.0.0.0", GREENROOM_API_KEYS=keys) as sandbox:
        yield sandbox


def test_keys_guard_http_and_grpc_alike(guarded: Sandbox) -> None:
    assert guarded.chat("hello").status_code == 401
    assert guarded.chat("hello", headers=bearer("KEY-IN-CLEAS")).status_code == 401
    assert guarded.chat("hello", headers=bearer("KEY-IN-CLEAR")).status_code == 200
    assert guarded.chat("hello", headers={"X-API-Key": "KEY-THAT-IS-HASHED"}).status_code == 200
    sessions = f"{guarded.http}/v1/sessions"
    assert httpx2.get(sessions, headers=bearer("KEY-IN-CLEAR")).status_code == 403
    assert httpx2.get(sessions, headers=bearer("KEY-THAT-IS-HASHED")).status_code == 200
    assert httpx2.get(f"{guarded.http}/health").status_code == 200

    address = guarded.addresses["grpc"]
    assert run_turn(address, ("authorization", "Bearer KEY-IN-CLEAR")) == "1"
    with pytest.raises(grpc.RpcError) as caught:
        run_turn(address)
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
    with grpc.insecure_channel(address) as channel, pytest.raises(grpc.RpcError) as caught:
        session_pb2_grpc.SessionServiceStub(channel).ListSessions(
            session_pb2.ListSessionsRequest(), metadata=[("authorization", "Bearer KEY-IN-CLEAR")], timeout=PATIENCE
        )
    assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED


def test_with_keys_an_outside_address_may_be_bound(guarded: Sandbox) -> None:
    assert guarded.http.startswith("http://0.0.0.0:")
    port = guarded.http.rpartition(":")[2]
    assert httpx2.get(f"http://127.0.0.1:{port}/health").status_code == 200


def test_a_key_made_by_the_command_works(guarded: Sandbox, made: list[str]) -> None:
    assert made[1] == f"maker:chat+inspect:{hashed(made[0])}"
    assert guarded.chat("hello", headers=bearer(made[0])).status_code == 200


def test_no_secret_reaches_the_log(tmp_path: Path) -> None:
    with Sandbox(
        tmp_path, *SERVE, "--log-bodies", "--log-redact", "card", "--log-level", "debug", GREENROOM_API_KEYS=KEYS
    ) as sandbox:
        key = bearer("KEY-IN-CLEAR")
        body = {
            "messages": [{"role": "user", "content": "my header is Authorization: Bearer KEY-IN-CLEAR"}],
            "metadata": {
                "card": "4111111111111111",
                "deep": [{"card": "4222-2222-card"}],
                "key": "gr_abcdefghijklmnopqrstuvwx",
            },
        }
        url = f"{sandbox.http}/v1/chat/completions"
        assert httpx2.post(f"{url}?key=KEY-IN-CLEAR", json=body, headers=key).status_code == 200
        assert httpx2.post(url, content=b'{"x": "KEY-IN-CLEAR"}', headers=key).status_code in (400, 415)
        assert sandbox.stop() == 0
        log = sandbox.log()
    assert "my header is" in log
    for secret in ("KEY-IN-CLEAR", "4111111111111111", "4222-2222-card", "gr_abcdef"):
        assert secret not in log


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def written(folder: Path, name: str, certificate: trustme.LeafCert) -> tuple[str, str]:
    """The files of a certificate and its key."""
    cert, key = folder / f"{name}.pem", folder / f"{name}.key"
    cert.write_bytes(b"".join(part.bytes() for part in certificate.cert_chain_pems))
    key.write_bytes(certificate.private_key_pem.bytes())
    return str(cert), str(key)


def test_https_from_tls_1_2_on(tmp_path: Path, authority: trustme.CA) -> None:
    cert, key = written(tmp_path, "edge", authority.issue_cert("localhost", "127.0.0.1"))
    with Sandbox(tmp_path, *SERVE, "--tls-cert", cert, "--tls-key", key) as sandbox:
        assert sandbox.http.startswith("https://")
        context = ssl.create_default_context()
        authority.configure_trust(context)
        assert httpx2.get(f"{sandbox.http}/health", verify=context).json()["status"] == "healthy"
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        authority.configure_trust(old)
        old.set_ciphers("ALL:@SECLEVEL=0")
        with pytest.warns(DeprecationWarning, match="TLSv1_1"):
            old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
        port = int(sandbox.http.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), PATIENCE) as raw, pytest.raises(ssl.SSLError):
            old.wrap_socket(raw, server_hostname="localhost")


def test_an_edge_reaches_its_core_by_mutual_tls_and_others_do_not(tmp_path: Path, authority: trustme.CA) -> None:
    (tmp_path / "ca.pem").write_bytes(authority.cert_pem.bytes())
    ca = str(tmp_path / "ca.pem")
    core_cert, core_key = written(tmp_path, "core", authority.issue_cert("localhost"))
    edge_cert, edge_key = written(tmp_path, "edge", authority.issue_cert("edge", common_name="edge"))
    core = ("core", "counting:agent", "--grpc-host", "0.0.0.0", "--grpc-port", "0")
    core_tls = ("--grpc-tls-cert", core_cert, "--grpc-tls-key", core_key, "--grpc-tls-ca", ca)
    with Sandbox(tmp_path, *core, *core_tls) as behind:
        address = "localhost:" + behind.addresses["grpc"].rpartition(":")[2]
        edge_tls = ("--core-tls-ca", ca, "--core-tls-cert", edge_cert, "--core-tls-key", edge_key)
        with Sandbox(tmp_path, "edge", "--port", "0", "--core", address, *edge_tls) as before:
            assert before.said("hello") == "1"
        with pytest.raises(grpc.RpcError) as caught:
            run_turn(address, credentials=grpc.ssl_channel_credentials(authority.cert_pem.bytes()))
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


def test_an_edge_elsewhere_acts_for_its_callers_with_a_key_of_its_own(tmp_path: Path) -> None:
    keys = f"{KEYS},edge:edge:KEY-OF-THE-EDGE,other@team:chat+inspect:KEY-OF-THE-TEAM"
    with Sandbox(tmp_path, "core", "counting:agent", "--grpc-port", "0", GREENROOM_API_KEYS=keys) as behind:
        settings = {"GREENROOM_API_KEYS": keys, "GREENROOM_CORE_KEY": "KEY-OF-THE-EDGE"}
        with Sandbox(tmp_path, "edge", "--port", "0", "--core", behind.addresses["grpc"], **settings) as before:
            for key, said in (("KEY-IN-CLEAR", "1"), ("KEY-OF-THE-TEAM", "1"), ("KEY-IN-CLEAR", "2")):
                answer = before.chat("hello", headers=bearer(key))
                assert answer.json()["choices"][0]["message"]["content"] == said
    assert "KEY-OF-THE-EDGE" not in behind.log()
