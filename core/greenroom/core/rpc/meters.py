"""What the core counts, in a registry of its own."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Meters:
    """Prometheus metrics of one core. Label children are kept: looking them up costs more than counting."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._rpcs = Histogram(
            "greenroom_core_rpc_seconds",
            "RPCs by method and code.",
            ("method", "code"),
            registry=self.registry,
            buckets=_SECONDS,
        )
        self._turns = Histogram(
            "greenroom_core_turn_seconds",
            "Turns by outcome (ok, or an error's reason), waiting included.",
            ("outcome",),
            registry=self.registry,
            buckets=_SECONDS,
        )
        self._tool_calls = Counter(
            "greenroom_core_tool_calls", "Tool calls by tool.", ("tool", "ok"), registry=self.registry
        )
        self.running = Gauge("greenroom_core_turns_running", "Turns that run now.", registry=self.registry)
        self._rpc_children: dict[tuple[str, str], Histogram] = {}
        self._turn_children: dict[str, Histogram] = {}
        self._tool_children: dict[tuple[str, bool], Counter] = {}

    def rpc(self, method: str, code: str, seconds: float) -> None:
        child = self._rpc_children.get((method, code))
        if child is None:
            child = self._rpc_children[method, code] = self._rpcs.labels(method, code)
        child.observe(seconds)

    def turn(self, outcome: str, seconds: float) -> None:
        """`outcome`: "ok", or an error's reason."""
        child = self._turn_children.get(outcome)
        if child is None:
            child = self._turn_children[outcome] = self._turns.labels(outcome)
        child.observe(seconds)

    def tool_call(self, tool: str, ok: bool) -> None:
        child = self._tool_children.get((tool, ok))
        if child is None:
            child = self._tool_children[tool, ok] = self._tool_calls.labels(tool, str(ok).lower())
        child.inc()
