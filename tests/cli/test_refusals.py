"""What is wrong is said before anything is served, with the exit code 2."""

import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from running_sandbox import AGENT, PATIENCE, run, run_here

from greenroom.cli.agents import load_agents
from greenroom.cli.assembly import assemble
from greenroom.cli.process import CannotStart
from greenroom.cli.settings import Settings
from greenroom.core.memory import MemoryStore

FREE = ("--port", "0", "--grpc-port", "0")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "counting.py").write_text(AGENT, encoding="utf-8")
    return tmp_path


EXPLAINED = {
    "counting:agnet": "counting has no agnet; did you mean agent?",
    "countng:agent": "no module countng in {folder}; did you mean counting?",
    "counting": "say which object of the module it is, for instance counting:agent",
    "counting:": "say which object of the module it is, for instance counting:agent",
    ":agent": "say which module it is in, for instance my_agent:agent",
    "counting.agent": "an object of a module is named after a colon: counting:agent",
    "shelf.bot": "say which object of the module it is, for instance shelf.bot:agent",
    "shelf.lost:agent": "shelf.lost imports shelf.book, which is not there\n"
    "  shelf/lost.py:1 in <module>: from .book import page",
    ".counting:agent": "modules are named from the current folder: counting:agent",
    "json.bot:agent": "{folder}/json is not read: there is another module json, {json}; rename one of them",
    "asking:agent": "asking does not give its agent: RuntimeError: not yet\n"
    "  asking.py:2 in __getattr__: raise RuntimeError('not yet')",
    "endless:agent": "importing endless failed: RecursionError: maximum recursion depth exceeded\n"
    "  endless.py:3 in <module>: call()\n"
    + "  endless.py:2 in call: call()\n" * 9
    + "  ..."
    + "\n  endless.py:2 in call: call()" * 10,
    "suport": "there is no such agent; did you mean support?",
    "nosuch": "there is no such agent; give support, module:attribute from the current folder, an agent file"
    " (.toml, .yaml), ./program, or an address (docs/agents.md)",
    "counting.py:agent": "name the module, not its file: counting:agent",
    "./counting.py": "name the module, not its file: counting:agent",
    "{folder}/counting.py": "name the module, not its file: counting:agent",
    "./countin.py": "there is no file {folder}/countin.py; did you mean {folder}/counting.py?",
    "../other.py": "modules are named from the folder they are in: cd {folder.parent}, and then other:agent",
    "program.py": "name the module, not its file: program:agent; a program that is an agent is named without .py, or by a"
    " file with [command]",
    "within": "it is a folder; agents are named from within it: cd within",
    "./within": "{folder}/within is a folder; an agent is a program, or an object of a module: module:attribute",
    "./nowhere": "there is no program {folder}/nowhere",
    "./text": "{folder}/text cannot be run: chmod +x {folder}/text",
    "text": "an agent file ends in .toml, .yaml or .yml, and a program is written with its folder: ./text",
    "nowhere.toml": "cannot read {folder}/nowhere.toml: No such file or directory",
    "empty.toml": "{folder}/empty.toml: an agent file has one table that says its kind, for instance [http]; this has none",
    "open.yaml": "{folder}/open.yaml is not valid YAML: while parsing a flow node: expected the node content, but found"
    " '<stream end>' (at line 2, column 1)",
    "router.toml": "{folder}/router.toml: router.agents.a: an endpoint is described by an agent file here, with [http]"
    " or [openai] (docs/http-agent.md)",
    "ftp://host": "no agent is asked at ftp://; an endpoint is at http:// or https://, a process at grpc:// or grpcs://",
    "grpc://host": "grpc://host: a process is asked at grpc://host:port, or at grpcs://host:port with TLS",
    "counting:nothing": "counting:nothing is a int; an agent is an Agent or a function that takes a Turn; did you mean"
    " agent?",
    "functions:alone": "a reply function takes a Turn and nothing else: too many positional arguments",
    "functions:third": "functions has no third; it has alone, pair",
    "shop=": "one agent is given one name: shop=support",
    "shop=a=counting:agent": "one agent is given one name: a=support",
    "schöp=counting:agent": "'schöp' is no name for an agent; one is of letters, digits, '_', '.' and '-'",
    "https://host/chat?code=x": "replies show an address, and behind its ? may be a key: name it, as in"
    " NAME=https://host/chat?code=x",
    "broken:agent": "broken imports no_such_library, which is not installed\n"
    "  broken.py:1 in <module>: import no_such_library",
    "failing:agent": "importing failing failed: KeyError: 'today'\n  failing.py:3 in <module>: agent = slip.make()\n"
    "  slip.py:2 in make: return {{}}['today']",
    "leaving:agent": "importing leaving failed: SystemExit: bye\n  leaving.py:1 in <module>: raise SystemExit('bye')",
    "unclosed:agent": "importing unclosed failed: SyntaxError: '(' was never closed\n"
    "  unclosed.py:1 in <module>: import half\n  half.py:2: def reply(turn:",
    "unmade:agent": "importing unmade failed: TypeError: Agent.__init__() got an unexpected keyword argument 'wrold'\n"
    '  unmade.py:2 in <module>: agent = Agent("x", wrold=3)',
    "llm.toml": "{folder}/llm.toml: llm.tools: failing: importing failing failed: KeyError: 'today'\n"
    "  failing.py:3 in <module>: agent = slip.make()\n  slip.py:2 in make: return {{}}['today']",
}
FILES = {
    "broken.py": "import no_such_library",
    "failing.py": "import slip\n\nagent = slip.make()\n",
    "slip.py": "def make():\n    return {}['today']\n",
    "leaving.py": "raise SystemExit('bye')\n",
    "unclosed.py": "import half\n",
    "half.py": "agent = 1\ndef reply(turn:\n    pass\n",
    "unmade.py": 'from greenroom.sdk import Agent\nagent = Agent("x", wrold=3)\n',
    "shelf/__init__.py": "",
    "shelf/bot.py": "",
    "shelf/lost.py": "from .book import page\n",
    "json/bot.py": "",
    "asking.py": "def __getattr__(name):\n    raise RuntimeError('not yet')\n",
    "endless.py": "def call():\n    call()\ncall()\n",
    "functions.py": "def alone():\n    pass\ndef pair(a, b):\n    pass\n",
    "program.py": "#!/bin/sh\n",
    "../other.py": "",
    "within/a.txt": "",
    "text": "",
    "empty.toml": "",
    "open.yaml": "a: [\n",
    "router.toml": '[router]\nagents = {a = "https://host/v1"}\n',
    "llm.toml": '[llm]\nmodel = "openai:gpt"\ntools = ["failing"]\n',
}
ASK = """
import json
import sys
from greenroom.cli.agents import load_agent
from greenroom.cli.process import CannotStart

for name in sys.argv[1:]:
    try:
        load_agent(name)
    except CannotStart as problem:
        print(json.dumps([problem.code, str(problem)]))
"""


def test_an_agent_that_cannot_be_had_is_explained(folder: Path) -> None:
    """All in one process, which takes its time to start; the next test sees the command say so."""
    for name, text in FILES.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    (folder / "program.py").chmod(0o755)
    places = {"folder": folder, "json": json.__file__}
    agents = {agent.format(**places): said.format(**places) for agent, said in EXPLAINED.items()}
    done = subprocess.run(
        [sys.executable, "-c", ASK, *agents],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=True,
    )
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert told == [[2, f"agent {agent}: {said}"] for agent, said in agents.items()]
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("agents", "given", "said"),
    [
        (["https://h/chat"], {"upstream_reply": "$.a", "upstream_model": "m"}, "--upstream-model is for OpenAI"),
        (["https://h/v1"], {"upstream_tools": "$.a"}, "--request and --tools come with --reply"),
        (["HTTPS://h/chat"], {}, "say where the text stands in what it answers"),
        (["support"], {"upstream_model": "m"}, "is for the agent at https://…, and there is none"),
        (["a=https://h/v1", "b=https://h/v1"], {"upstream_model": "m"}, "is for one agent, and there are several"),
        (["a=support", "a=support"], {}, "two agents have this name"),
    ],
)
def test_what_is_said_of_an_endpoint_fits_it(agents: list[str], given: dict[str, str], said: str) -> None:
    with pytest.raises(CannotStart) as problem:
        load_agents(Settings.model_construct(agent=agents, **given))
    assert said in str(problem.value)


def test_serve_says_the_same_and_ends(folder: Path) -> None:
    (folder / "half.py").write_text(FILES["half.py"], encoding="utf-8")
    said = "greenroom: agent half:agent: importing half failed: SyntaxError: '(' was never closed\n"
    said += "  half.py:2: def reply(turn:\n"
    done = run(folder, "serve", "half:agent", *FREE)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    for command in (("chat",), ("tools", "list"), ("tools", "call")):
        here = run_here(folder, *command, "half:agent", *(("x",) if command[-1] == "call" else ()))
        assert (here.returncode, here.stdout, here.stderr) == (2, "", said)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (("serve", "--host", "0.0.0.0"), "host (from --host)"),
        (("serve", "--grpc-host", "0.0.0.0"), "grpc_host (from --grpc-host)"),
        (("serve", "--host", "example.org"), "host (from --host)"),
        (("edge", "--host", "::"), "host (from --host)"),
        (("core", "--grpc-host", "10.0.0.1"), "grpc_host (from --grpc-host)"),
    ],
)
def test_without_a_key_nothing_is_opened_to_others(folder: Path, arguments: tuple[str, ...], name: str) -> None:
    done = run_here(folder, *arguments)
    assert done.returncode == 2
    assert done.stderr.startswith(f"greenroom: {name}: {arguments[-1]} can be reached from outside, and no API key")
    assert "greenroom keys create" in done.stderr


def test_a_port_that_is_taken_is_named(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        http = run(folder, "serve", "counting:agent", "--port", port, "--grpc-port", "0")
        grpc = run(folder, "core", "counting:agent", "--grpc-port", port)
    assert (http.returncode, grpc.returncode) == (2, 2)
    assert f"port: cannot listen on 127.0.0.1:{port}: Address already in use" in http.stderr
    assert f"grpc_port: cannot listen on 127.0.0.1:{port}" in grpc.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("chat", " "), "agent (from the argument): at least one is needed"),
        (("serve", "--port", "http"), "port (from --port): input should be a valid integer"),
        (
            ("core", "--grpc-port", "0", "--database", "mysql://x"),
            "database_url: 'mysql' is not a database that Greenroom knows",
        ),
        (("core", "--database", "postgres://x/y"), "begins with postgresql://"),
        (("keys", "create", "a b"), "the name must be 1 to 64"),
        (("keys", "create", "a", "--scope", "chat,admin"), "no scope is called 'admin'; there are chat, inspect, edge"),
        (("sessions", "prune", "--idle", "long"), "--idle: give seconds"),
        (("migrate", "--database", "sqlite:///no/such/folder/x.db"), "does not exist"),
    ],
)
def test_a_wrong_setting_says_what_would_be_right(folder: Path, arguments: tuple[str, ...], said: str) -> None:
    done = (run if arguments[0] == "core" else run_here)(folder, *arguments)
    assert done.returncode in (1, 2)
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"replay": "nowhere.jsonl"}, "replay: there is no cassette .*nowhere.jsonl; record one first"),
        ({"record": "nowhere/talk.jsonl"}, "record: there is no folder for .*talk.jsonl"),
        ({"replay": "counting.py"}, "replay: .*counting.py, line 2, is no recording: "),
        ({"replay_until": 3}, "replay_until: .* give --replay FILE"),
    ],
)
def test_a_cassette_that_cannot_be_used_is_explained(
    folder: Path, monkeypatch: pytest.MonkeyPatch, given: dict[str, Any], said: str
) -> None:
    monkeypatch.chdir(folder)
    with pytest.raises(CannotStart, match=said):
        assemble(Settings(**given), MemoryStore())
