"""The proofs at their full length, after the memory soak (`make soak`): leaks, then kills. Exit code 1 on any violation."""

import argparse
import asyncio
import secrets
import shutil
import sys
import tempfile
from pathlib import Path

import kill_proof
from leak_proof import Options, exit_code, prove, show
from prompts import ANY_AGENT, read_prompts
from stages import VARIANTS, SqliteFile, end_by_sigterm, supervised

_HERE = Path(__file__).parent


async def leaks(agent: str, sessions: int, seed: int, folder: Path) -> bool:
    """Whether one session of an agent saw another's secrets, in its replies, its records or the log."""
    shutil.copy(_HERE / "leaky_agents.py", folder)
    said = read_prompts(_HERE / "support_prompts.json") if agent == "support" else ANY_AGENT
    async with supervised(folder, SqliteFile(folder), agent, "--log-bodies") as stage:
        options = Options(stage.urls[0], sessions, seed=seed, same_keys=True)
        proof = await prove(options, said, [folder / "serve.log"])
    show(proof)
    return exit_code(proof.report) != 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--leak-sessions", type=int, default=2000)
    parser.add_argument("--kill-sessions", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=60, help="of kills, for each variant")
    parser.add_argument("--seed", type=int, default=None)
    given = parser.parse_args()
    end_by_sigterm()
    seed = given.seed if given.seed is not None else secrets.randbits(32)
    wrong = False
    for agent in ("support", "leaky_agents:careful"):
        print(f"leak proof {agent}: seed {seed}", flush=True)
        with tempfile.TemporaryDirectory(prefix="greenroom-proof-") as folder:
            wrong |= asyncio.run(leaks(agent, given.leak_sessions, seed, Path(folder)))
    for variant in VARIANTS:
        wrong |= kill_proof.proved_wrong(kill_proof.Plan(variant, given.kill_sessions, given.seconds, seed))
    sys.exit(wrong)


if __name__ == "__main__":
    main()
