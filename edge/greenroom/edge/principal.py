"""Who is calling. The key ring itself belongs to the composition root."""

from typing import Protocol


class Principal(Protocol):
    """What a key stands for (SEC-01)."""

    @property
    def name(self) -> str:
        """The key's name: in logs, and what limits count by."""
        ...

    @property
    def namespace(self) -> str:
        """Sessions and users of two namespaces never meet; empty is the default one."""
        ...

    @property
    def scopes(self) -> frozenset[str]:
        """Of `chat` and `inspect`."""
        ...

    @property
    def tool_trace(self) -> str | None:
        """`message` or `metadata` (CHAT-19); None: the edge's setting."""
        ...


class Authenticate(Protocol):
    """Finds the principal of a key, in constant time, or None when there is none."""

    def __call__(self, token: str, /) -> Principal | None: ...
