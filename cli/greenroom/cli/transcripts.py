"""Stored sessions as documents, tables and transcripts."""

import sys
from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from greenroom.cli.notation import plain
from greenroom.core.ports import Store
from greenroom.core.records import SessionRecord, ToolCallRecord, TurnRecord

_PAGE = 200


async def newest(store: Store, namespace: str, user_id: str, limit: int | None) -> AsyncIterator[SessionRecord]:
    """Sessions, newest first."""
    token, seen = "", 0
    while True:
        page = await store.list_sessions(namespace, user_id, _PAGE, token)
        for session in page.items:
            if limit is not None and seen >= limit:
                return
            seen += 1
            yield session
        token = page.next_token
        if not token:
            return


async def document(store: Store, session: SessionRecord) -> dict[str, Any]:
    """A session with all its turns. JSON that was stored as text is JSON here, digit by digit."""
    current = await store.path_numbers(session)
    turns: list[dict[str, Any]] = []
    token = ""
    while True:
        page = await store.list_turns(session, _PAGE, token)
        turns.extend(_turn(turn, superseded=turn.number not in current) for turn in page.items)
        token = page.next_token
        if not token:
            return {**summary(session), "metadata": _raw(session.metadata_json), "turns": turns}


def summary(session: SessionRecord) -> dict[str, Any]:
    """One row of a list."""
    return {
        "session_id": session.session_id,
        "chat_id": session.chat_id,
        "user_id": session.user_id or None,
        "agent": session.agent,
        "turns": session.turn_count,
        "created_at": session.created_at,
        "updated_at": session.updated_at,
        "closed_at": session.closed_at,
    }


def line(value: Any) -> bytes:
    """One JSON object and the end of its line."""
    return msgspec.json.encode(value) + b"\n"


def print_sessions(found: Sequence[SessionRecord], *, as_json: bool) -> None:
    """A table on a terminal, tab-separated lines elsewhere, JSON lines when asked for."""
    if as_json:
        for session in found:
            sys.stdout.buffer.write(line(summary(session)))
        sys.stdout.buffer.flush()
        return
    columns = ("session", "user", "turns", "agent", "updated")
    rows = [
        (
            session.session_id,
            session.user_id or "-",
            str(session.turn_count),
            session.agent,
            session.updated_at.isoformat(timespec="seconds"),
        )
        for session in found
    ]
    if not sys.stdout.isatty():
        for row in (columns, *rows):
            print("\t".join(row))
        return
    table = Table(*columns)
    for row in rows:
        table.add_row(*(escape(cell) for cell in row))
    Console().print(table)


def print_transcript(session: dict[str, Any], *, as_json: bool) -> None:
    """The conversation as it was held."""
    if as_json:
        sys.stdout.buffer.write(line(session))
        sys.stdout.buffer.flush()
        return
    print(f"session {session['session_id']}  user {session['user_id'] or '-'}  agent {session['agent']}")
    for turn in session["turns"]:
        marks = "".join(f" ({mark})" for mark in ("superseded", "adopted") if turn[mark])
        print(f"\n[{turn['number']}]{marks}")
        for message in turn["messages"]:
            print(plain(f"{message['role']}: {message['content'] or ''}"))
        for call in turn["tool_calls"]:
            print(plain(f"  {call['name']}({_text(call['arguments'])}) -> {_text(call['result'])}"))
        for change in turn["changes"]:
            print(plain(f"  {change['collection']}/{change['key']}: {change['before']} -> {change['after']}"))
        print(plain(f"assistant: {turn['reply']}"))


def _text(raw: msgspec.Raw) -> str:
    return bytes(raw).decode()


def _turn(turn: TurnRecord, *, superseded: bool) -> dict[str, Any]:
    return {
        "number": turn.number,
        "parent": turn.parent,
        "superseded": superseded,
        "adopted": turn.adopted,
        "messages": [{"role": message.role, "content": message.content} for message in turn.messages],
        "reply": turn.reply,
        "tool_calls": [_call(call) for call in turn.tool_calls],
        "changes": [msgspec.to_builtins(change) for change in turn.changes],
        "confidence": turn.confidence,
        "evaluation": _raw(turn.evaluation_json),
        "reply_metadata": _raw(turn.reply_metadata_json),
        "metadata": _raw(turn.metadata_json),
        "created_at": turn.created_at,
        "duration_ms": turn.duration_us / 1000,
        "request_id": turn.request_id,
    }


def _call(call: ToolCallRecord) -> dict[str, Any]:
    return {
        "id": call.id,
        "name": call.name,
        "arguments": _raw(call.arguments_json),
        "result": _raw(call.result_json),
        "ok": call.ok,
        "duration_ms": call.duration_us / 1000,
    }


def _raw(text: str) -> msgspec.Raw:
    return msgspec.Raw(text.encode())
