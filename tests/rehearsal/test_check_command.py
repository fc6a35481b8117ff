"""The command: what it prints, where, and its exit code. In process, against small servers."""

import asyncio
import json
import os
import pty
import re
import ssl
import subprocess
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
import trustme
from running_sandbox import command, environment, run_here
from upright_server import Answered, Handle, Headers, Upright, serving

SMALL = ("--sessions", "2", "--rate", "50", "--duration", "0.1")
Done = subprocess.CompletedProcess[str]


async def checked(folder: Path, *arguments: str, **settings: str) -> Done:
    """The command, in a thread beside the server."""
    return await asyncio.to_thread(run_here, folder, "check", *arguments, **settings)


def always(status: int, text: str, **headers: str) -> Handle:
    """A server that answers the same to everything."""

    async def handle(method: str, path: str, asked: Headers, body: bytes) -> Answered:
        del method, path, asked, body
        return status, text, {name.replace("_", "-"): value for name, value in headers.items()}

    return handle


async def test_off_a_terminal_it_prints_plain_lines_of_which_nothing_is_cut(tmp_path: Path) -> None:
    async with serving(Upright("other words for 400")) as url:
        done = await checked(tmp_path, url, "--only", "errors", "--only", "HEALTH-01")
    assert (done.returncode, done.stderr) == (1, "")
    table, _, rest = done.stdout.partition("\n\n")
    rows = [line.split("\t") for line in table.splitlines()]
    assert {len(row) for row in rows} == {6}
    assert ["fails", "errors.published", "ERR-01", "required"] in [row[:4] for row in rows]
    assert "does not hold: errors.published [ERR-01] (required)" in rest
    assert '  right: "type": "invalid_request_error", "code": "bad_request"' in rest
    assert "  asked: POST /v1/chat/completions" in rest
    assert "Not ready: 1 finding (1 required)." in rest


async def test_the_json_report_and_the_junit_file_say_the_same(tmp_path: Path) -> None:
    async with serving(Upright(key="sk-1")) as url:
        done = await checked(tmp_path, url, "--json", "--junit", "report.xml", *SMALL, GREENROOM_KEY="sk-1")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["schema"], report["verdict"], report["exit_code"], report["url"]) == (1, "holds", 0, url)
    assert sum(report["counts"].values()) == len(report["checks"])
    assert report["load"]["sent"] == 5
    cases = list(ET.parse(tmp_path / "report.xml").getroot().iter("testcase"))
    assert [str(case.get("name")).partition(":")[0] for case in cases] == [one["name"] for one in report["checks"]]
    assert "Ready for an evaluator" in done.stderr


@pytest.mark.parametrize(
    ("handle", "said"),
    [
        (always(200, "<html><h1>Welcome</h1></html>", content_type="text/html"), "an HTML page, status 200"),
        (always(200, "hello"), "what is no JSON ('hello'), status 200"),
        (always(307, "", location="https://elsewhere.example/chat"), "redirects to https://elsewhere.example/chat"),
        (always(401, '{"error": {}}'), "wants a key: give it with --key or in GREENROOM_KEY"),
        (always(404, '{"detail": "Not Found"}'), "there is no chat at this address"),
    ],
    ids=["HTML", "no JSON", "a redirect", "no key", "no chat"],
)
async def test_what_cannot_be_checked_is_explained(tmp_path: Path, handle: Handle, said: str) -> None:
    async with serving(handle) as url:
        done = await checked(tmp_path, url)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert done.stderr.startswith(f"greenroom: POST {url}/v1/chat/completions ")
    assert done.stderr.count("\n") == 1


async def test_an_endpoint_that_is_down_or_never_answers_is_explained(tmp_path: Path) -> None:
    async with serving(always(200, "{}")) as url:
        pass
    down = await checked(tmp_path, url, "--json")
    assert down.returncode == 2
    assert json.loads(down.stdout)["verdict"] == "not checked"
    assert down.stderr == f"greenroom: {url} cannot be reached: connection refused; is it running?\n"
    stuck = asyncio.Event()

    async def waits(method: str, path: str, asked: Headers, body: bytes) -> Answered:
        del method, path, asked, body
        await stuck.wait()
        return 200, "{}", {}

    async with serving(waits) as url:
        slow = await checked(tmp_path, url, "--timeout", "0.2")
        stuck.set()
    assert slow.returncode == 2
    assert ": no answer within 0.2 s\n" in slow.stderr


async def test_a_certificate_must_be_trusted_unless_told_otherwise(tmp_path: Path) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    certificate.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "server.pem"))
    async with serving(Upright(), ssl_certfile=tmp_path / "server.pem", ssl_version=ssl.PROTOCOL_TLS_SERVER) as url:
        only = ("--only", "health.shape", "--only", "access.https")
        refused = await checked(tmp_path, url, *only)
        trusted = await checked(tmp_path, url, *only, "--ca", "ca.pem")
        insecure = await checked(tmp_path, url, *only, "--insecure")
    assert refused.returncode == 2
    assert "its certificate is not trusted" in refused.stderr
    assert trusted.returncode == insecure.returncode == 0, trusted.stderr
    assert "holds\taccess.https" in trusted.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "which endpoint?"),
        (("localhost:8000",), "give it as https://host or http://127.0.0.1:8000"),
        (("http://u:p@127.0.0.1:1",), "must not hold a password"),
        (("http://127.0.0.1:1/?a=1",), "has no ? or #"),
        (("http://127.0.0.1:1", "--only", "helth"), "did you mean health?"),
        (("http://127.0.0.1:1", "--only", "load", "--skip", "load"), "no check is left"),
        (("http://127.0.0.1:1", "--key", "gr_…"), "the key holds characters that no header can"),
        (("http://127.0.0.1:1", "--header", "sk-secret"), "write it as 'Name: value'"),
        (("http://127.0.0.1:1", "--junit", "nowhere/report.xml"), "No such file"),
        (("https://127.0.0.1:1", "--ca", "nowhere.pem"), "No such file"),
    ],
)
def test_what_is_wrong_with_the_arguments_is_said(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    done = run_here(tmp_path, "check", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr


def test_the_checks_are_listed(tmp_path: Path) -> None:
    done = run_here(tmp_path, "check", "--list")
    assert done.returncode == 0
    assert "isolation.canaries\tCHAT-16\trequired\t" in done.stdout


async def test_keys_are_never_shown(tmp_path: Path) -> None:
    server = Upright()

    async def repeats(method: str, path: str, asked: Headers, body: bytes) -> Answered:
        if path == "/nowhere" or (method, path) == ("GET", "/v1/chat/completions"):
            return 500, json.dumps({"error": f"not {asked.get('authorization')} nor {asked.get('x-api-key')}"}), {}
        return await server(method, path, asked, body)

    async with serving(repeats) as url:
        arguments = ("--key", "sk-first-of-all", "--header", "X-API-Key: sk-second-of-all", "--only", "errors")
        done = await checked(tmp_path, url, *arguments)
    assert done.returncode == 1
    assert "not … nor …" in done.stdout
    assert "of-all" not in done.stdout + done.stderr


@pytest.mark.parametrize("columns", [40])
async def test_on_a_terminal_a_bar_runs_and_a_table_fits(tmp_path: Path, columns: int) -> None:
    async with serving(Upright("other words for 400")) as url:
        shown = await asyncio.to_thread(_on_terminal, tmp_path, columns, url)
    assert "━" in shown
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown).replace("\r\n", "\n")
    table, _, rest = plain.rpartition("\r")[2].partition("does not hold:")
    assert max(len(line) for line in table.splitlines()) <= columns
    assert "DOES NOT HOLD" in table
    assert "errors.published" in rest
    assert "Not ready: 1 finding (1 required)." in rest


def _on_terminal(folder: Path, columns: int, url: str) -> str:
    ours, theirs = pty.openpty()
    settings = environment(COLUMNS=str(columns), TERM="xterm-256color")
    running = subprocess.Popen(
        command("check", url, "--only", "errors"), cwd=folder, env=settings, stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    shown = b""
    while part := _read(ours):
        shown += part
    os.close(ours)
    assert running.wait(20) == 1, shown
    return shown.decode()


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except OSError:  # the other end is closed
        return b""
