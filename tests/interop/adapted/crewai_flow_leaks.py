"""A flow of CrewAI that tells all it knows. What it keeps is in its state and in the turn's world."""

from typing import Any

from crewai import Agent
from crewai.flow.flow import Flow, start
from crewai.tools import tool
from crewai_leaks import teller
from crewai_model import FakeModel
from notes import read_notes, save_note
from pydantic import BaseModel

from greenroom.agents.adapters import current_turn
from greenroom.agents.adapters.crewai import CrewAIFlowAgent


class Heard(BaseModel):
    message: str = ""
    heard: list[str] = []


class TellerFlow(Flow[Heard]):
    """Has an agent tell what it has heard so far."""

    @start()
    def tell(self) -> Any:
        self.state.heard.append(self.state.message)
        tools = [tool(save_note), tool(read_notes)]
        agent = Agent(role="teller", goal="Tell.", backstory="Honest.", llm=FakeModel(teller), tools=tools)
        return agent.kickoff("\n".join([*current_turn().system, *self.state.heard]))


agent = CrewAIFlowAgent(TellerFlow, world={"notes": {}})
