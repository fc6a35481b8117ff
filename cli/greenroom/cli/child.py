"""A supervised process: `python -m greenroom.cli.child ROLE DESCRIPTOR`, told what to do on standard input.

It starts without the command line's machinery, and imports what its role needs and no more: that is most of a cold start.
"""

import json
import os
import sys
from pathlib import Path

from greenroom.cli.logs import quiet_grpc
from greenroom.cli.process import GRACE, CannotStart, report_to, run, watch_parent
from greenroom.cli.settings import Settings


def main() -> None:
    quiet_grpc()
    role, descriptor = sys.argv[1], int(sys.argv[2])
    document = json.loads(sys.stdin.buffer.readline())
    settings = Settings(**document["settings"])
    grace = settings.drain_timeout + GRACE
    watch_parent(grace)
    try:
        if role == "core":
            from greenroom.cli.core_process import CoreProcess  # noqa: PLC0415

            socket = Path(document["unix_socket"])
            serve = CoreProcess(settings, unix_socket=socket, patient=document["patient"]).serve
        else:
            from greenroom.cli.edge_process import EdgeProcess  # noqa: PLC0415

            serve = EdgeProcess(settings, descriptor=document["descriptor"], core=document["core"]).serve
        run(serve, report_to(descriptor), grace=grace)
    except CannotStart as problem:
        print(f"greenroom: {problem}", file=sys.stderr, flush=True)
        # threads of a half-started process are not waited for
        os._exit(problem.code)


if __name__ == "__main__":
    main()
