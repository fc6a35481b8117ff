from greenroom.sdk import Agent, Turn

agent = Agent("memory_agent")


@agent.reply
async def reply(turn: Turn) -> str:
    said = turn.text.lower()
    for channel in ("phone", "e-mail"):
        if f"by {channel}" in said:
            turn.remember(f"wants to be reached by {channel}", key="channel")
            turn.summarise(f"asked to be reached by {channel}")
            return f"I will reach you by {channel} from now on."
    if "forget" in said:
        turn.forget("channel")
        return "Forgotten."
    return turn.memory.text() or "We have not met."
