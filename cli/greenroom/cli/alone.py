"""`greenroom core` and `greenroom edge`: one process each, for machines of their own."""

import logging
from collections.abc import Mapping
from typing import Any

from greenroom.cli.exposure import listen, refuse_open, shown
from greenroom.cli.logs import quiet_grpc
from greenroom.cli.process import GRACE, Addresses, announce, run
from greenroom.cli.setup import hide_password, set_up_log
from greenroom.cli.sources import load, unknown_variables

logger = logging.getLogger(__name__)


def core_alone(flags: Mapping[str, Any]) -> None:
    """Runs until SIGTERM or SIGINT. Raises `WrongSetting` and `CannotStart`."""
    settings = load(flags)
    refuse_open(settings, ("grpc_host", "metrics_host"), flags)
    set_up_log("core", settings)
    _warn()
    quiet_grpc()
    from greenroom.cli.core_process import CoreProcess  # noqa: PLC0415  # a wrong setting is told before half a second of imports

    process = CoreProcess(settings, unix_socket=settings.grpc_socket)

    def ready(addresses: Addresses) -> None:
        said = {name: value for name, value in addresses.items() if not name.endswith("_port")}
        database = hide_password(settings.database_url.get_secret_value())
        announce("greenroom core")({**said, "agent": ",".join(settings.agent), "database": database})

    run(process.serve, ready, grace=settings.drain_timeout + GRACE)


def edge_alone(flags: Mapping[str, Any]) -> None:
    """Runs until SIGTERM or SIGINT. Raises `WrongSetting` and `CannotStart`."""
    settings = load(flags)
    refuse_open(settings, ("host",), flags)
    set_up_log("edge", settings)
    _warn()
    quiet_grpc()
    from greenroom.cli.edge_process import EdgeProcess  # noqa: PLC0415

    with listen(settings.host, settings.port, "port") as listener:
        process = EdgeProcess(settings, descriptor=listener.detach(), core=settings.core)

    def ready(addresses: Addresses) -> None:
        scheme = "https" if settings.tls_cert else "http"
        http = f"{scheme}://{shown(settings.host, addresses['http_port'])}"
        announce("greenroom edge")({"http": http, "core": settings.core})

    run(process.serve, ready, grace=settings.drain_timeout + GRACE)


def _warn() -> None:
    for warning in unknown_variables():
        logger.warning(warning)
