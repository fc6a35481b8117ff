"""docs/memory.md, from its first line to its answer."""

import json
import re
import shlex
from pathlib import Path

import httpx2
from running_sandbox import PATIENCE, Sandbox

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "memory.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def curls() -> list[list[str]]:
    commands = [command for block in blocks("sh") for command in block.split("\n\n") if command.startswith("curl")]
    return [shlex.split(command.replace("\\\n", " ")) for command in commands]


def sent(sandbox: Sandbox, words: list[str]) -> httpx2.Response:
    url = next(word for word in words if word.startswith("http"))
    body = json.loads(words[words.index("-d") + 1])
    answer = httpx2.post(sandbox.http + url.partition(":8000")[2], json=body, timeout=PATIENCE)
    assert answer.status_code == 200, answer.text
    return answer


def text_of(answer: httpx2.Response) -> str:
    return str(answer.json()["choices"][0]["message"]["content"])


def test_the_page_leads_from_nothing_to_its_answer(tmp_path: Path) -> None:
    [code] = blocks("python")
    name, _, code = code.removeprefix("# ").partition("\n")
    assert code == (ROOT / "examples" / name).read_text(encoding="utf-8")
    (tmp_path / name).write_text(code, encoding="utf-8")
    served = next(block for block in blocks("sh") if "serve" in block).split()
    with Sandbox(tmp_path, *served[1:], "--port", "0", "--grpc-port", "0") as sandbox:
        for words in curls():
            answer = sent(sandbox, words)
        assert text_of(answer) + "\n" == blocks("text")[0]

        turns = httpx2.get(f"{sandbox.http}/v1/sessions/tuesday/turns", timeout=PATIENCE).json()["turns"]
        [fact] = turns[0]["saw"]["memory"]["facts"]
        assert fact.pop("at").endswith("Z")
        assert fact == {"text": "wants to be reached by e-mail", "key": "channel", "session_id": "monday"}
        assert "noted" not in turns[0]
        [turn] = httpx2.get(f"{sandbox.http}/v1/sessions/monday/turns", timeout=PATIENCE).json()["turns"]
        assert turn["noted"]["summary"] == "asked to be reached by e-mail"
        assert "memory" not in turn["saw"]

        assert httpx2.delete(f"{sandbox.http}/users/ann", timeout=PATIENCE).status_code == 204
        assert text_of(sent(sandbox, curls()[-1])) == "We have not met."
