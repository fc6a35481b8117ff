"""What the clients of several modules run on, and the sandbox that they talk to."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from node_project import Node, find_node
from running_sandbox import Sandbox


@pytest.fixture(scope="session", autouse=True)
def authorities() -> None:
    """The system's: what is installed here comes over HTTPS."""


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Node:
    return find_node(tmp_path_factory.mktemp("node"))


@pytest.fixture(scope="module")
def talker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """Serves the agent of talker.py."""
    folder = tmp_path_factory.mktemp("talker")
    shutil.copy(Path(__file__).parent / "talker.py", folder)
    with Sandbox(folder, "serve", "talker:agent", "--port", "0", "--grpc-port", "0") as sandbox:
        yield sandbox
