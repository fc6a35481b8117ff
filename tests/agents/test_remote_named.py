"""Remote agents by name, and in agent files."""

from pathlib import Path

import pytest
from commands import script

from greenroom.agents.agent_file import read_agent_file
from greenroom.agents.named import agent_named
from greenroom.agents.remote import CommandAgent, GrpcAgent
from greenroom.core.errors import AgentFailed
from greenroom.sdk import AgentError
from greenroom.sdk.testing import play


def test_an_address_names_a_service_and_a_path_a_command(tmp_path: Path) -> None:
    script(tmp_path, "true")
    assert isinstance(agent_named("grpc://127.0.0.1:1", tmp_path), GrpcAgent)
    command = agent_named("./agent", tmp_path)
    assert (type(command), command.name) == (CommandAgent, "agent")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("./nowhere", "there is no program"),
        ("./plain", r"chmod \+x"),
        ("./module.py", "say which object|name the module|there is no such agent"),
        ("grpc://nowhere", "grpc://host:port"),
    ],
)
def test_what_cannot_be_is_refused_with_what_to_do(tmp_path: Path, name: str, said: str) -> None:
    for plain in ("plain", "module.py"):
        (tmp_path / plain).write_text("", encoding="utf-8")
    with pytest.raises(AgentError, match=said):
        agent_named(name, tmp_path)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("nothing\n", "does its first line name its interpreter, as #!/bin/sh does?"),
        ("#!/no/such/interpreter\n", "is the interpreter there that its first line names?"),
    ],
)
async def test_a_program_that_cannot_be_started_is_explained(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str, hint: str
) -> None:
    (tmp_path / "agent").write_text(text, encoding="utf-8")
    (tmp_path / "agent").chmod(0o755)
    with pytest.raises(AgentFailed):
        await play(agent_named("./agent", tmp_path), ["hi"])
    assert "agent cannot be started: " in caplog.text
    assert hint in caplog.text


async def test_a_file_describes_a_command_beside_it(tmp_path: Path) -> None:
    echo = 'turn = json.loads(sys.stdin.readline())\nwrite(reply=" ".join([sys.argv[1], str(len(turn["tools"]))]))'
    script(tmp_path, echo, python=True)
    (tmp_path / "remote_named_tools.py").write_text(
        'from greenroom.sdk import World, tool\n\n@tool\ndef look(world: World) -> int:\n    """Looks."""\n    return 1\n'
    )
    (tmp_path / "world.json").write_text('{"stock": {"pen": 1}}')
    (tmp_path / "shop.toml").write_text(
        '[command]\ncommand = ["./agent", "hello"]\nname = "shop"\ntools = ["remote_named_tools"]\nworld = "world.json"\n'
    )
    agent = read_agent_file(tmp_path / "shop.toml")
    [reply] = await play(agent, ["hi"])
    assert (agent.name, reply.text, reply.world) == ("shop", "hello 1", {"stock": {"pen": 1}})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[grpc]\n", "grpc.target is missing; for instance target = 'grpc://host:port'"),
        (
            '[grpc]\ntarget = "grpc://127.0.0.1:1"\nkey = "x"\n',
            "grpc.key: there is no such setting; did you mean key_env",
        ),
        (
            '[grpc]\ntarget = "grpc://127.0.0.1:1"\ntools = ["nowhere_at_all"]\n',
            "grpc.tools: nowhere_at_all: no module",
        ),
        ('[command]\ncommand = "./agent"\nworkers = -1\n', "command.workers: "),
        ("[command]\ncommand = []\n", "a program"),
    ],
)
def test_a_mistake_in_a_file_is_told_with_its_field(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "shop.toml").write_text(text)
    with pytest.raises(AgentError) as refusal:
        read_agent_file(tmp_path / "shop.toml")
    assert said in str(refusal.value)
    assert str(refusal.value).startswith(str(tmp_path / "shop.toml"))
