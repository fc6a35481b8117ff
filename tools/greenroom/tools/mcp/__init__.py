"""Tools of MCP servers: `Agent(tools=[McpServer("shop", command=["python", "shop.py"])])`, or `[mcp.shop]` in a tools file.

They are described in docs/mcp.md. Needs the extra `mcp`.
"""

from greenroom.tools.mcp.server import McpServer

__all__ = ["McpServer"]
