"""An internal service that talks to the core directly: runs a turn, reads its evidence back, and tries a tool.

python examples/grpc_client.py [HOST:PORT]
"""

import os
import sys

import grpc

from greenroom.v1 import (
    AgentServiceStub,
    InvokeToolRequest,
    ListTurnsRequest,
    Message,
    RunTurnRequest,
    SessionServiceStub,
    ToolServiceStub,
)


def main(target: str) -> None:
    key = os.environ.get("GREENROOM_KEY")
    metadata = [("authorization", f"Bearer {key}")] if key else []
    with grpc.insecure_channel(target) as channel:
        question = Message(role="user", content="What's the status of my order #12345?")
        request = RunTurnRequest(messages=[question], user_id="sim_user_abc123")
        reply = AgentServiceStub(channel).RunTurn(request, timeout=10, metadata=metadata).reply
        print(reply.text)
        for call in reply.tool_calls:
            print(f"  {call.name}({call.arguments_json}) -> {call.result_json}")

        stored = SessionServiceStub(channel).ListTurns(
            ListTurnsRequest(session_id=reply.session_id), timeout=10, metadata=metadata
        )
        print(f"{reply.session_id}: {len(stored.turns)} turn stored, {stored.turns[0].reply.evaluation_json}")

        aside = InvokeToolRequest(
            name="cancel_order", arguments_json='{"order_id": "12345"}', session_id=reply.session_id
        )
        call = ToolServiceStub(channel).InvokeTool(aside, timeout=10, metadata=metadata).call
        print(f"on a throw-away copy, cancel_order would return {call.result_json}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:50051")
