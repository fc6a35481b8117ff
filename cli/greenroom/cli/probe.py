"""Asks a server whether it is ready, for the health checks of containers: `python -m greenroom.cli.probe TARGET`.

No command of `greenroom`, whose start costs ten times what the question does; it is asked every few seconds.
"""

import sys
import urllib.error
import urllib.request

_TIMEOUT = 3.0


def is_ready(target: str) -> bool:
    """`http(s)://…` is asked by HTTP, anything else by gRPC's health service."""
    return _http(target) if target.startswith(("http://", "https://")) else _grpc(target)


def _http(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _grpc(target: str) -> bool:
    import grpc  # noqa: PLC0415  # not for a question over HTTP
    from grpc_health.v1 import health_pb2  # noqa: PLC0415

    with grpc.insecure_channel(target) as channel:
        try:
            check = channel.unary_unary(
                "/grpc.health.v1.Health/Check",
                request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
                response_deserializer=health_pb2.HealthCheckResponse.FromString,
            )
            answer = check(health_pb2.HealthCheckRequest(), timeout=_TIMEOUT)
        except grpc.RpcError:
            return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


if __name__ == "__main__":
    sys.exit(0 if is_ready(sys.argv[1]) else 1)
