"""`greenroom serve`: an edge and a core, supervised, with a Unix socket between them."""

import asyncio
import contextlib
import logging
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from greenroom.cli.exposure import listen, refuse_open, shown
from greenroom.cli.logs import choose_format
from greenroom.cli.process import CannotStart, announce
from greenroom.cli.settings import Settings
from greenroom.cli.setup import hide_password, set_up_log
from greenroom.cli.sources import load, unknown_variables
from greenroom.cli.supervisor import ChildFailed, ChildSpec, supervise
from greenroom.cli.watch import Watch

logger = logging.getLogger(__name__)

_LONGEST_SOCKET_PATH = 100
"""Unix sockets' paths end at 104 to 108 bytes, by system."""


def serve_both(flags: Mapping[str, Any], *, fresh: bool, reload: bool = False) -> None:
    """Runs until SIGTERM or SIGINT. Raises `WrongSetting` and `CannotStart`."""
    settings = load(flags)
    refuse_open(settings, ("host", "grpc_host", "metrics_host"), flags)
    settings.log_format = choose_format(settings.log_format)
    set_up_log("serve", settings)
    for warning in unknown_variables():
        logger.warning(warning)
    with private_folder() as folder:
        if fresh:
            settings.database_url = SecretStr(f"sqlite:///{folder / 'greenroom.db'}")
        with listen(settings.host, settings.port, "port") as listener:
            listener.set_inheritable(True)
            pair = _Pair(settings, folder, listener.fileno(), listener.getsockname()[1])
            watch = Watch(settings) if reload else None
            try:
                orderly = asyncio.run(
                    supervise(
                        pair.specs(patient=reload),
                        ready=pair.announce,
                        drain_timeout=settings.drain_timeout,
                        watch=watch,
                    )
                )
            except ChildFailed as problem:
                sys.exit(problem.code)
    if not orderly:
        raise CannotStart("not every process stopped in good order; the log says why", code=1)


@contextlib.contextmanager
def private_folder() -> Iterator[Path]:
    """A folder that only this user enters, for the socket (and the database of `--fresh`)."""
    folder = Path(tempfile.mkdtemp(prefix="greenroom-"))
    if len(str(folder)) + len("/core.sock") > _LONGEST_SOCKET_PATH:
        folder.rmdir()
        folder = Path(tempfile.mkdtemp(prefix="greenroom-", dir="/tmp"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class _Pair:
    """What the two processes are told, and what they said."""

    def __init__(self, settings: Settings, folder: Path, descriptor: int, http_port: int) -> None:
        self._settings = settings
        self._socket = folder / "core.sock"
        self._descriptor = descriptor
        self._http_port = http_port
        self._core: Mapping[str, Any] = {}

    def specs(self, *, patient: bool) -> list[ChildSpec]:
        core = ChildSpec("core", lambda: self._core_document(patient=patient), started=self._core_started, reloads=True)
        if patient:  # compiled files are told from stale ones by the second alone
            core = replace(core, patient=True, command=(sys.executable, "-B", *core.command[1:]))
        return [
            core,
            ChildSpec("edge", self._edge_document, descriptors=(self._descriptor,)),
        ]

    def announce(self) -> None:
        scheme = "https" if self._settings.tls_cert else "http"
        announce("greenroom")(
            {
                "http": f"{scheme}://{shown(self._settings.host, self._http_port)}",
                **{name: value for name, value in self._core.items() if not name.endswith("_port")},
                "agent": ",".join(self._settings.agent),
                "database": hide_password(self._settings.database_url.get_secret_value()),
            }
        )

    def _core_started(self, addresses: Mapping[str, Any]) -> None:
        self._core = addresses
        # a core that restarts is found where its predecessor was
        self._settings.grpc_port = addresses["grpc_port"]
        if "metrics_port" in addresses:
            self._settings.metrics_port = addresses["metrics_port"]

    def _core_document(self, *, patient: bool) -> dict[str, Any]:
        return {"settings": self._settings.document(), "unix_socket": str(self._socket), "patient": patient}

    def _edge_document(self) -> dict[str, Any]:
        return {
            "settings": self._settings.document(),
            "descriptor": self._descriptor,
            "core": f"unix:{self._socket}",
        }
