"""JSON over HTTP in front of the core. The names below are the whole of it; importing them does nothing."""

from greenroom.edge.app import create_app
from greenroom.edge.options import CoreOptions, CoreTls, EdgeOptions, HttpOptions, LogOptions
from greenroom.edge.principal import Authenticate, Principal
from greenroom.edge.rate_limit import Allowance, RateLimiter

__all__ = [
    "Allowance",
    "Authenticate",
    "CoreOptions",
    "CoreTls",
    "EdgeOptions",
    "HttpOptions",
    "LogOptions",
    "Principal",
    "RateLimiter",
    "create_app",
]
