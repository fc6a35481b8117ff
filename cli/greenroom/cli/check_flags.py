"""The arguments of `greenroom check`."""

from typing import Annotated

import typer

URL = Annotated[
    str, typer.Argument(metavar="URL", help="Where the endpoint is, for instance https://host.", show_default=False)
]
KEY = Annotated[
    str,
    typer.Option(
        "--key", envvar="GREENROOM_KEY", show_envvar=False, help="The bearer token [GREENROOM_KEY].", show_default=False
    ),
]
HEADERS = Annotated[
    list[str] | None,
    typer.Option("--header", metavar="'NAME: VALUE'", help="Sent with every request; may be given again."),
]
MODEL = Annotated[
    str, typer.Option("--agent-model", help="Sent as `model`, where an endpoint wants one.", show_default=False)
]
SAY = Annotated[
    list[str] | None,
    typer.Option(
        "--say", metavar="TEXT", help="What users say instead of the published page's lines; may be given again."
    ),
]
SESSIONS = Annotated[int, typer.Option("--sessions", min=2, max=2000, help="How many at once.")]
RATE = Annotated[float, typer.Option("--rate", min=0.1, max=1000, help="Requests a second of the steady load.")]
DURATION = Annotated[float, typer.Option("--duration", min=0.1, max=600, help="Seconds of the steady load.")]
TIMEOUT = Annotated[float, typer.Option("--timeout", min=0.1, max=600, help="Seconds for one answer.")]
ONLY = Annotated[
    list[str] | None,
    typer.Option(
        "--only", metavar="CHECK", help="A check, a group of checks, or an id, as --list has them; may be given again."
    ),
]
SKIP = Annotated[list[str] | None, typer.Option("--skip", metavar="CHECK", help="The same, to be left out.")]
CA = Annotated[str, typer.Option("--ca", metavar="FILE", help="Certificates to trust.", show_default=False)]
INSECURE = Annotated[bool, typer.Option("--insecure", help="Take any certificate.")]
STRICT = Annotated[
    bool, typer.Option("--strict", help="Extras that do not hold, and what is not offered, are findings too.")
]
AS_JSON = Annotated[bool, typer.Option("--json", help="The report as JSON.")]
JUNIT = Annotated[
    str, typer.Option("--junit", metavar="FILE", help="The report as JUnit XML, too.", show_default=False)
]
LISTED = Annotated[bool, typer.Option("--list", help="List the checks.")]
