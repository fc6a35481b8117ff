"""`/health`, `/livez`, `/readyz`, `/metrics` (HEALTH-01..04)."""

from fastapi import FastAPI
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import Response

from greenroom.edge import schemas
from greenroom.edge.health import HealthMonitor
from greenroom.edge.meters import Meters
from greenroom.edge.recorder import Recorder
from greenroom.edge.routes.answers import json_answer

_UNHEALTHY = {"model": schemas.Health, "description": "The core or the database cannot be reached, or it is draining"}


def add_health_routes(app: FastAPI, monitor: HealthMonitor, meters: Meters, recorder: Recorder) -> None:
    """What orchestrators and evaluators ask before anything else."""

    @app.get("/health", tags=["health"], responses={200: {"model": schemas.Health}, 503: _UNHEALTHY})
    async def health() -> Response:
        """How the sandbox is. Needs no key, calls no model."""
        recorder.settle()
        report = await monitor.report()
        return json_answer(report, 503 if report.status == "unhealthy" else 200)

    @app.get("/livez", tags=["health"], responses={200: {"model": schemas.Probe}})
    async def livez() -> Response:
        """Whether this process answers at all."""
        return json_answer({"status": "alive"})

    @app.get("/readyz", tags=["health"], responses={200: {"model": schemas.Probe}, 503: {"model": schemas.Probe}})
    async def readyz() -> Response:
        """Whether turns can be sent here."""
        ready = (await monitor.report()).status != "unhealthy"
        return json_answer({"status": "ready" if ready else "not_ready"}, 200 if ready else 503)

    @app.get("/metrics", tags=["health"], responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}})
    async def metrics() -> Response:
        """Prometheus text."""
        recorder.settle()
        return Response(meters.text(), media_type=None, headers={"content-type": CONTENT_TYPE_LATEST})
