"""LangWatch Scenario plays the script of docs/evaluators.md: no model, no key of LangWatch's."""

from pathlib import Path

import httpx2
from evaluators_page import block
from python_environment import Environment
from running_sandbox import PATIENCE, Sandbox

KEY = "gr_scenario_of_the_page"


def test_the_script_of_the_page_runs_and_each_thread_is_a_session(tmp_path: Path) -> None:
    # What is imported is compiled then; it is a small part of what is installed.
    environment = Environment(tmp_path / "venv", "--no-compile", "pytest", "langwatch-scenario")
    folder = tmp_path / "theirs"
    folder.mkdir()
    (folder / "test_scenario.py").write_text(block("python", "test_scenario.py"), encoding="utf-8")
    arguments = ("serve", "--port", "0", "--grpc-port", "0")
    with Sandbox(tmp_path, *arguments, GREENROOM_API_KEYS=f"scenario:chat+inspect:{KEY}") as sandbox:
        said = environment.run(
            ["-m", "pytest", "test_scenario.py"],
            folder,
            GREENROOM_URL=sandbox.http,
            GREENROOM_KEY=KEY,
            LANGWATCH_API_KEY="",
            LITELLM_LOCAL_MODEL_COST_MAP="True",  # else it is looked for in the network first
        )
        assert "1 passed" in said
        with httpx2.Client(base_url=sandbox.http, headers={"Authorization": f"Bearer {KEY}"}, timeout=PATIENCE) as http:
            [session] = http.get("/v1/sessions").json()["sessions"]
            assert session["session_id"].startswith("scenariothread_")
            turns = http.get(f"/v1/sessions/{session['session_id']}/turns").json()["turns"]
    assert [(turn["history"], turn["scenario"]["id"]) for turn in turns] == [
        ("new", "delivered_order"),
        ("next", "delivered_order"),
        ("next", "delivered_order"),
    ]
