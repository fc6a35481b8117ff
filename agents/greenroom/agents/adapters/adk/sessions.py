"""ADK's session, in `turn.state`."""

from typing import Any

from google.adk.sessions import BaseSessionService, Session
from google.adk.sessions.base_session_service import ListSessionsResponse
from pydantic_core import to_json

from greenroom.agents.adapters.tools import as_json


class TurnSessions(BaseSessionService):
    """Has one session, for one turn. What is kept for a user or an app is kept for the session, too: sessions are sealed."""

    def __init__(self, app: str, user: str, session: str, kept: dict[str, Any], reader: Any) -> None:
        self._told: list[Any] = kept.get("events", [])
        # as JSON, for bytes are base64 there
        events = reader.validate_json(to_json(self._told)) if self._told else []
        self._loaded = len(events)
        state = dict(kept.get("state", {}))
        self.session = Session(id=session, app_name=app, user_id=user, state=state, events=[])
        self.session.events = events

    def dump(self) -> dict[str, Any]:
        """As JSON, for the next turn."""
        new = self.session.events[self._loaded :]
        told = [event.model_dump(mode="json", exclude_none=True, exclude_defaults=True) for event in new]
        for event, one in zip(new, told, strict=True):
            one |= {"id": event.id, "timestamp": event.timestamp}
        state = {key: as_json(value) for key, value in self.session.state.items() if not key.startswith("temp:")}
        return {"state": state, "events": [*self._told, *told]}

    async def create_session(
        self, *, app_name: str, user_id: str, state: dict[str, Any] | None = None, session_id: str | None = None
    ) -> Any:
        self.session.state.update(state or {})
        return self.session

    async def get_session(self, *, app_name: str, user_id: str, session_id: str, config: Any = None) -> Any:
        return self.session

    async def list_sessions(self, *, app_name: str, user_id: str | None = None) -> Any:
        return ListSessionsResponse(sessions=[self.session])

    async def delete_session(self, *, app_name: str, user_id: str, session_id: str) -> None:
        self.session.events.clear()
        self.session.state.clear()
        self._told, self._loaded = [], 0

    async def get_user_state(self, *, app_name: str, user_id: str) -> dict[str, Any]:
        state = self.session.state
        return {key.removeprefix("user:"): value for key, value in state.items() if key.startswith("user:")}
