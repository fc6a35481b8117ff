"""CrewAI's agents, crews and flows as agents, with CrewAI as it is published: their turns, that their sessions are sealed, and
that docs/frameworks.md leads from nothing to its answer. Apart from the other frameworks, for CrewAI takes as long to install
as all of them."""

import json
import re
import sys
from pathlib import Path

from adapted_agents import HERE, PAGE, Adapted

sys.path.insert(0, str(HERE))


def test_crewai(tmp_path: Path) -> None:
    """In one test, for what is installed serves all of it."""
    from stub_openai import StubOpenAI  # noqa: PLC0415  # beside the modules that need a framework

    adapted = Adapted(tmp_path, "crewai")
    adapted.run("crewai_turns.py", "crewai_flow_turns.py")
    adapted.check_sealed(tmp_path, "crewai_leaks:agent")
    adapted.check_sealed(tmp_path, "crewai_flow_leaks:agent")
    [shown] = set(re.findall(r'^  "content": (".*")', PAGE.read_text(encoding="utf-8"), re.MULTILINE))
    words = json.loads(shown)
    with (
        StubOpenAI("get_order", {"order_id": "12345"}, words) as openai,
        adapted.serving_page(tmp_path, "crewai_shop", OPENAI_API_KEY="sk-1", OPENAI_BASE_URL=openai.url) as sandbox,
    ):
        answer = sandbox.chat("Where is my order #12345?", headers={"X-Tool-Trace": "metadata"})
        assert answer.json()["choices"][0]["message"]["content"] == words, answer.text + sandbox.log()
        assert "12345" in json.dumps(answer.json()["metadata"])
        assert answer.json()["usage"]["prompt_tokens"] == 20
        openai.status = 401
        refused = sandbox.chat("Hi", session="s2")
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "agent_unavailable"), sandbox.log()
        assert "SECRET" not in refused.text
