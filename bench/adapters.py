"""What an adapter adds to a turn: CPU beside an agent that calls the same framework's object itself, with the same model.

    python -m bench.adapters langgraph adk llama_index openai_agents pydantic_ai agno crewai

Run it where the frameworks are installed (`pip install 'greenroom[adk,langgraph,llama-index]' langchain`, or their own
extras). Both agents are served by a core in memory and take turns with each other, in sessions of several turns that each
call a tool. The model is that of the interop tests: it answers at once. What is added includes Greenroom's own record of the
tool call, which the other agent's calls do without.
"""

import asyncio
import importlib
import json
import logging
import statistics
import sys
import time
import warnings
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from greenroom.agents.adapters import adapt
from greenroom.agents.adapters.tools import serving
from greenroom.sdk import Agent, Turn

FRAMEWORKS = Path(__file__).parents[1] / "tests" / "interop" / "adapted"
SESSIONS = 30
TURNS = 8

Ask = Callable[[Turn], Awaitable[str]]


def langgraph(cases: Any) -> dict[str, tuple[Any, Ask]]:
    """Without and with a memory of its own."""
    saver = importlib.import_module("langgraph.checkpoint.memory").InMemorySaver
    plain, remembering = cases.shop(), cases.shop(checkpointer=saver())

    histories: dict[str, list[Any]] = {}

    async def ask_plain(turn: Turn) -> str:
        said = [*histories.get(turn.session_id, ()), ("user", turn.text)]
        result = await plain.ainvoke({"messages": said})
        histories[turn.session_id] = result["messages"]
        return str(result["messages"][-1].text)

    async def ask_remembering(turn: Turn) -> str:
        config = {"configurable": {"thread_id": turn.session_id}}
        result = await remembering.ainvoke({"messages": [("user", turn.text)]}, config)
        return str(result["messages"][-1].text)

    return {"langgraph": (plain, ask_plain), "langgraph, checkpointer": (remembering, ask_remembering)}


def adk(cases: Any) -> dict[str, tuple[Any, Ask]]:
    agent = cases.shop()
    runners = importlib.import_module("google.adk.runners")
    types = importlib.import_module("google.genai.types")
    runner = runners.InMemoryRunner(agent=agent, app_name="shop")
    runner.auto_create_session = True

    async def ask(turn: Turn) -> str:
        said = types.Content(role="user", parts=[types.Part(text=turn.text)])
        text = ""
        async for event in runner.run_async(user_id="user", session_id=turn.session_id, new_message=said):
            parts = event.content.parts if event.content else []
            text = "".join(part.text or "" for part in parts) or text
        return text

    return {"adk": (agent, ask)}


def llama_index(cases: Any) -> dict[str, tuple[Any, Ask]]:
    agent = cases.shop()
    context = importlib.import_module("llama_index.core.workflow").Context
    contexts: dict[str, Any] = {}

    async def ask(turn: Turn) -> str:
        own = contexts.setdefault(turn.session_id, context(agent))
        return str(await agent.run(user_msg=turn.text, ctx=own))

    return {"llama_index": (agent, ask)}


def openai_agents(cases: Any) -> dict[str, tuple[Any, Ask]]:
    sdk = importlib.import_module("agents")
    agent, config = cases.shop(), sdk.RunConfig(tracing_disabled=True)
    histories: dict[str, list[Any]] = {}

    async def ask(turn: Turn) -> str:
        said = [*histories.get(turn.session_id, ()), {"role": "user", "content": turn.text}]
        result = sdk.Runner.run_streamed(agent, said, run_config=config)
        async for _ in result.stream_events():
            pass
        histories[turn.session_id] = result.to_input_list()
        return str(result.final_output)

    return {"openai_agents": (agent, ask)}


def pydantic_ai(cases: Any) -> dict[str, tuple[Any, Ask]]:
    agent = cases.shop()
    histories: dict[str, list[Any]] = {}

    async def read(_: Any, events: Any) -> None:
        async for _ in events:
            pass

    async def ask(turn: Turn) -> str:
        history = histories.get(turn.session_id)
        result = await agent.run(turn.text, message_history=history, deps="", event_stream_handler=read)
        histories[turn.session_id] = result.all_messages()
        return str(result.output)

    return {"pydantic_ai": (agent, ask)}


def agno(cases: Any) -> dict[str, tuple[Any, Ask]]:
    """Without and with a database of its own."""
    database = importlib.import_module("agno.db.in_memory").InMemoryDb()
    message = importlib.import_module("agno.models.message").Message
    plain, remembering = (
        cases.shop(telemetry=False),
        cases.shop(db=database, add_history_to_context=True, telemetry=False),
    )
    histories: dict[str, list[Any]] = {}

    async def answer(agent: Any, said: Any, session: str) -> Any:
        output: Any = None
        async for event in agent.arun(said, stream=True, stream_events=True, yield_run_output=True, session_id=session):
            output = event
        return output

    async def ask_plain(turn: Turn) -> str:
        said = [*histories.get(turn.session_id, ()), message(role="user", content=turn.text)]
        output = await answer(plain, said, turn.session_id)
        histories[turn.session_id] = [one for one in output.messages if one.role != "system"]
        return str(output.content)

    async def ask_remembering(turn: Turn) -> str:
        return str((await answer(remembering, turn.text, turn.session_id)).content)

    return {"agno": (plain, ask_plain), "agno, db": (remembering, ask_remembering)}


def crewai(cases: Any) -> dict[str, tuple[Any, Ask]]:
    """An agent, and a crew of one. Whoever calls them keeps one for each session, for they keep things of their runs; has
    their model stream; tells a crew what was said before; and calls them in a thread, for they block."""
    agents: dict[str, Any] = {}
    crews: dict[str, Any] = {}
    histories: dict[str, list[Any]] = {}

    def model() -> Any:
        return cases.FakeModel(cases.desk, stream=True)

    async def ask_agent(turn: Turn) -> str:
        agent = agents.get(turn.session_id) or agents.setdefault(turn.session_id, cases.shop(model()))
        said = [*histories.get(turn.session_id, ()), {"role": "user", "content": turn.text}]
        output = await asyncio.to_thread(agent.kickoff, said)
        histories[turn.session_id] = [one for one in output.messages if one["role"] != "system"]
        return str(output.raw)

    async def ask_crew(turn: Turn) -> str:
        crew = crews.get(turn.session_id) or crews.setdefault(turn.session_id, cases.crew(model()))
        inputs = {"message": turn.text, "crew_chat_messages": json.dumps(turn.messages.openai()[:-1])}
        return str((await asyncio.to_thread(crew.kickoff, inputs)).raw)

    return {"crewai, agent": (cases.shop(), ask_agent), "crewai, crew": (cases.crew(), ask_crew)}


def calling(ask: Ask) -> Agent:
    """An agent of one function, which calls the framework."""
    agent = Agent("direct", world={"seen": {}})

    @agent.reply
    async def reply(turn: Turn) -> str:
        with serving(turn):
            return await ask(turn)

    return agent


async def measure(adapted: Any, direct: Any) -> tuple[list[float], list[float]]:
    """Milliseconds of CPU per turn of each, a session of the one after one of the other."""
    spent: tuple[list[float], list[float]] = ([], [])
    for session in range(SESSIONS + 2):
        for played, times in zip((adapted, direct), spent, strict=True):
            began = time.process_time()
            for turn in range(TURNS):
                await played.say(f"order {turn + 1}", session=f"s{session}")
            if session >= 2:  # what is done once is done by then
                times.append((time.process_time() - began) * 1000 / TURNS)
    return spent


def fastest(times: list[float]) -> float:
    """Of the fifth that other processes disturbed least."""
    return statistics.mean(sorted(times)[: len(times) // 5])


async def main() -> None:
    """Prints a line for each."""
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    sys.path.insert(0, str(FRAMEWORKS))
    played = importlib.import_module("played").Played
    known = {
        "langgraph": langgraph,
        "adk": adk,
        "llama_index": llama_index,
        "openai_agents": openai_agents,
        "pydantic_ai": pydantic_ai,
        "agno": agno,
        "crewai": crewai,
    }
    print(
        f"{'ms of CPU per turn':26} {'directly':>9} {'adapted':>9} {'added':>9}   of {SESSIONS} sessions, the fastest fifth"
    )
    for framework in sys.argv[1:] or list(known):
        for name, (target, ask) in known[framework](importlib.import_module(f"{framework}_turns")).items():
            agent = adapt(target, name)
            assert agent is not None
            agent._world = {"seen": {}}
            async with played(agent) as one, played(calling(ask)) as other:
                adapted, direct = map(fastest, await measure(one, other))
            print(f"{name:26} {direct:9.2f} {adapted:9.2f} {adapted - direct:9.2f}")


if __name__ == "__main__":
    asyncio.run(main())
