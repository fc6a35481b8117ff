"""What a server answers a call, as the tool's result."""

from typing import Any

from mcp.types import (
    AudioContent,
    BlobResourceContents,
    CallToolResult,
    ContentBlock,
    EmbeddedResource,
    ImageContent,
    ResourceLink,
    TextContent,
    TextResourceContents,
)

from greenroom.tools.excerpt import shortened

_LONGEST_TEXT = 16 * 1024
"""Letters of a resource's text that are shown with it."""

_LONGEST_FAILURE = 2000


def result_of(answer: CallToolResult) -> Any:
    """Its structured content where it has some, a text where it is nothing else, and otherwise an object whose `content`
    lists the parts: of an image, a sound and a file what they are, not what is in them."""
    if answer.structured_content is not None:
        return answer.structured_content
    texts = [part.text for part in answer.content if isinstance(part, TextContent)]
    if len(texts) == len(answer.content):
        return "\n".join(texts)
    return {"content": [_told(part) for part in answer.content]}


def failure_in(answer: CallToolResult) -> str:
    """What a tool says that failed."""
    texts = [part.text for part in answer.content if isinstance(part, TextContent)]
    return shortened(" ".join(texts), _LONGEST_FAILURE) or "it failed, and does not say how"


def _told(part: ContentBlock) -> dict[str, Any]:
    match part:
        case TextContent():
            return {"type": "text", "text": part.text}
        case ImageContent() | AudioContent():
            return {"type": part.type, "mime_type": part.mime_type, "bytes": _bytes(part.data)}
        case ResourceLink():
            told = {"type": "resource_link", "uri": str(part.uri), "name": part.name}
            return told | ({"description": part.description} if part.description else {})
        case EmbeddedResource():
            return _resource(part.resource)


def _resource(resource: TextResourceContents | BlobResourceContents) -> dict[str, Any]:
    told: dict[str, Any] = {"type": "resource", "uri": str(resource.uri), "mime_type": resource.mime_type}
    if isinstance(resource, BlobResourceContents):
        return told | {"bytes": _bytes(resource.blob)}
    if len(resource.text) <= _LONGEST_TEXT:
        return told | {"text": resource.text}
    return told | {"text": f"{resource.text[: _LONGEST_TEXT - 1]}…", "letters": len(resource.text)}


def _bytes(base64: str) -> int:
    return len(base64) * 3 // 4 - base64[-2:].count("=")
