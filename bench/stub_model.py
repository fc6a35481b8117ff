"""An OpenAI-compatible model in a process of its own that says the same to everybody: `python -m bench.stub_model`.

Its base URL says how long it takes: `…/500/v1` answers after 500 ms. It prints its port.
"""

import asyncio
import json
import re

PIECES = ["word "] * 40

_HEAD = "HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\r\n"
_ASKED = re.compile(rb"POST /(\d+)/v1/chat/completions .*?content-length: (\d+)", re.DOTALL | re.IGNORECASE)


def _response(kind: str, body: str) -> bytes:
    return (_HEAD.format(kind=kind, length=len(body)) + body).encode()


def _whole() -> bytes:
    message = {"role": "assistant", "content": "".join(PIECES)}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    usage = {"prompt_tokens": 100, "completion_tokens": 40, "total_tokens": 140}
    whole = {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": usage}
    return _response("application/json", json.dumps(whole))


def _stream() -> bytes:
    choices = [{"index": 0, "delta": {"content": piece}, "finish_reason": None} for piece in PIECES]
    choices.append({"index": 0, "delta": {}, "finish_reason": "stop"})
    head = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    events = [f"data: {json.dumps({**head, 'choices': [choice]})}\n\n" for choice in choices]
    return _response("text/event-stream", "".join([*events, "data: [DONE]\n\n"]))


async def _serve() -> None:
    whole, stream = _whole(), _stream()

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while asked := _ASKED.match(await reader.readuntil(b"\r\n\r\n")):
                body = await reader.readexactly(int(asked[2]))
                await asyncio.sleep(int(asked[1]) / 1000)
                writer.write(stream if b'"stream":true' in body.replace(b" ", b"") else whole)
        except asyncio.IncompleteReadError:
            pass  # the client has left
        finally:
            writer.close()

    server = await asyncio.start_server(converse, "127.0.0.1", 0, backlog=1000)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve())
