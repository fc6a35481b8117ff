"""`GET /v1/models`: the agents, as OpenAI's clients list models (CHAT-05)."""

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from greenroom.edge import schemas
from greenroom.edge.exchange import exchange_of
from greenroom.edge.routes.answers import json_answer
from greenroom.edge.service import Service
from greenroom.v1.agent_pb2 import ListAgentsRequest


def add_model_routes(app: FastAPI, service: Service) -> None:
    """`/v1/models`."""

    @app.get("/v1/models", tags=["chat"], responses={200: {"model": schemas.Models}})
    async def list_models(request: Request) -> Response:
        """The agents that are served."""
        answer = await service.core.call(
            service.core.agents.ListAgents, ListAgentsRequest(), exchange_of(request.scope)
        )
        agents = [
            {"id": agent.id, "object": "model", "created": 0, "owned_by": "greenroom", "description": agent.description}
            for agent in answer.agents
        ]
        return json_answer({"object": "list", "data": agents})
