"""An MCP server for tests that needs no package: what it is asked for by a tool's name, it does, and much of it is wrong.

Its arguments are words: `silent` never answers, `nameless` knows of no tools, `crooked` lists tools that are none beside good
ones, `deaf` goes on when its input ends.
"""

import json
import os
import sys
import threading
import time

WORDS = sys.argv[1:]
LOCK = threading.Lock()
EXTRA: list = []
CANCELLED = threading.Event()


def schema(**properties: str) -> dict:
    fields = {name: {"type": kind} for name, kind in properties.items()}
    return {"type": "object", "properties": fields, "required": list(properties)}


TOOLS = [
    {"name": "echo", "description": "Says it again.", "inputSchema": schema(text="string")},
    {"name": "add", "inputSchema": schema(a="number", b="number"), "outputSchema": schema(sum="number")},
    *({"name": name, "inputSchema": schema()} for name in ("fail", "die", "surroundings", "meta", "chatter", "parts")),
    *(
        {"name": name, "inputSchema": schema()}
        for name in ("grow", "never", "refuse", "no_answer", "unsaid", "cancelled", "close")
    ),
    {"name": "wait", "inputSchema": schema(seconds="number")},
    {"name": "big", "inputSchema": schema(bytes="number")},
    {"name": "promise", "inputSchema": schema(), "outputSchema": schema(sum="number")},
    {"name": "a.b/c", "inputSchema": schema()},
]
CROOKED = [
    {"name": "no_schema", "inputSchema": "text"},
    {"name": "odd_schema", "inputSchema": {"type": "object", "properties": {"a": {"type": "strange"}}}},
    {"name": "odd_output", "inputSchema": schema(), "outputSchema": {"type": "object", "required": "all"}},
    "no tool at all",
]


def send(**message: object) -> None:
    with LOCK:
        sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
        sys.stdout.flush()


def text(said: str, **more: object) -> dict:
    return {"content": [{"type": "text", "text": said}], **more}


def answer(name: str, given: dict, params: dict) -> dict | None:
    match name:
        case "echo":
            return text(given["text"])
        case "add":
            return text("as above", structuredContent={"sum": given["a"] + given["b"]})
        case "fail":
            return text(f"no such order, says {os.environ.get('STUB_TOKEN')}", isError=True)
        case "die":
            os._exit(3)
        case "close":
            os.close(1)
            return None
        case "surroundings":
            return text(json.dumps({"env": dict(os.environ), "folder": os.getcwd(), "pid": os.getpid()}))
        case "meta":
            return text(json.dumps(params.get("_meta")))
        case "chatter":
            with LOCK:
                sys.stdout.write(f"Debug: token {os.environ.get('STUB_TOKEN')}\n")
            sys.stderr.write(f"complaint with {os.environ.get('STUB_TOKEN')}\n" + "x" * 5000 + "\n")
            sys.stderr.flush()
            return text("said")
        case "parts":
            picture = {"type": "image", "data": "QUJDRA==", "mimeType": "image/png"}
            page = {"uri": "file:///page", "mimeType": "text/plain", "text": "y" * 20_000}
            link = {"type": "resource_link", "uri": "file:///other", "name": "other"}
            return {"content": [{"type": "text", "text": "see"}, picture, {"type": "resource", "resource": page}, link]}
        case "grow":
            EXTRA.append({"name": "extra", "inputSchema": schema()})
            send(method="notifications/tools/list_changed")
            return text("grown")
        case "wait":
            CANCELLED.clear()
            time.sleep(given["seconds"])
            return text("waited")
        case "cancelled":
            return text(str(CANCELLED.wait(5)))
        case "never":
            return None
        case "big":
            return text("x" * int(given["bytes"]))
        case "promise":
            return text("no sum", structuredContent={"sum": "many"})
        case "no_answer":
            return {"result": "what you wanted"}
    return text(f"called {name}")


def call(number: object, params: dict) -> None:
    if params["name"] == "refuse":
        send(id=number, error={"code": -32602, "message": f"not like that, {os.environ.get('STUB_TOKEN')}"})
    elif params["name"] == "unsaid":
        send(id=number)
    elif (result := answer(params["name"], params.get("arguments") or {}, params)) is not None:
        send(id=number, result=result)


def main() -> None:
    for line in sys.stdin:
        asked = json.loads(line)
        number, params = asked.get("id"), asked.get("params") or {}
        match asked["method"]:
            case _ if "silent" in WORDS:
                pass
            case "initialize":
                server = {"name": "stub", "version": "1"}
                told = {"protocolVersion": params["protocolVersion"], "serverInfo": server}
                send(id=number, result={**told, "capabilities": {"tools": {"listChanged": True}}})
            case "tools/list" if "nameless" not in WORDS:
                tools = [*TOOLS, *EXTRA, *(CROOKED if "crooked" in WORDS else [])]
                at = int(params.get("cursor") or 0)
                more = {"nextCursor": str(at + 5)} if at + 5 < len(tools) else {}
                send(id=number, result={"tools": tools[at : at + 5], **more})
            case "tools/call":
                threading.Thread(target=call, args=(number, params), daemon=True).start()
            case "notifications/cancelled":
                CANCELLED.set()
            case _ if number is not None:
                send(id=number, error={"code": -32601, "message": "Method not found"})
    while "deaf" in WORDS:
        time.sleep(1)


main()
