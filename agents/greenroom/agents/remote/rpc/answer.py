"""What a remote agent answers, as the reply of its turn."""

from greenroom.agents.remote import plain_json
from greenroom.agents.remote.failure import RemoteFailed
from greenroom.agents.remote.rpc.reported import Reported
from greenroom.sdk import Reply, Turn, Usage
from greenroom.v1 import agent_pb2, turn_pb2


class Answer:
    """One turn's answer while it comes in."""

    def __init__(self, turn: Turn) -> None:
        self._turn = turn
        self._calls = Reported(turn)
        self._said: list[str] = []

    async def take(self, event: agent_pb2.StreamTurnResponse) -> Reply | None:
        """The next event of a streamed answer; returns when its reader has kept up, the reply with the last event. Raises
        `RemoteFailed` as `whole` does."""
        kind = event.WhichOneof("event")
        if kind == "text_delta":
            self._said.append(event.text_delta)
            self._turn.say(event.text_delta)
            await self._turn.keep_pace()
        elif kind == "tool_call":
            self._calls.tell(event.tool_call)
        elif kind == "completed":
            return self.whole(event.completed, event.hosted)
        return None

    def whole(self, proto: turn_pb2.Reply, hosted: agent_pb2.HostedReply) -> Reply:
        """The reply, with what it changes of the turn. Raises `RemoteFailed` for one that is not what was told before."""
        said = "".join(self._said)
        if proto.text and not proto.text.startswith(said):
            raise RemoteFailed("the text of `completed` is not what was streamed")
        self._calls.complete(proto.tool_calls)
        if hosted.HasField("state_json"):
            state = plain_json.read_object(hosted.state_json, "state_json")
            self._turn.state.clear()
            self._turn.state.update(state)
        used = proto.usage
        return Reply(
            proto.text[len(said) :],
            confidence=proto.confidence if proto.HasField("confidence") else None,
            evaluation=plain_json.read_object(proto.evaluation_json, "evaluation_json") or None,
            usage=Usage(used.prompt_tokens, used.completion_tokens)
            if used.prompt_tokens or used.completion_tokens
            else None,
            metadata=plain_json.read_object(proto.metadata_json, "metadata_json") or None,
        )
