from greenroom.agents.knowledge import Knowledge
from greenroom.sdk import Agent, Reply, Turn

knowledge = Knowledge("handbook")
agent = Agent("rag_agent", tools=[knowledge.tool])
agent.on_startup(knowledge.load)


@agent.reply
async def reply(turn: Turn) -> Reply:
    """Answers with the passage that fits best, word for word, and says where it stands."""
    passages = await knowledge.passages(turn)
    if not passages or passages[0].coverage < 0.4:
        return Reply("The handbook says nothing about that.", confidence=0.2, evaluation={"found": False})
    best = passages[0]
    return Reply(f"{best.text} ({best.where})", confidence=round(best.coverage, 2), evaluation={"found": True})
