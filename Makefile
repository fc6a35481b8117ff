# Everything runs from .venv, which the first target that needs it builds. `make help` lists the targets.
.DEFAULT_GOAL := help
SHELL := /bin/bash

# The first interpreter here that is new enough; override with `make PYTHON=…`.
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3 python; do \
	command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
STAMP := .venv/.installed
AGENT ?=
# Where it is set, each of the many processes that the tests start compiles all of our modules anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help
help: ## List the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  \033[1m%-14s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(STAMP): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "Greenroom needs Python 3.11 or newer and found none on the PATH; name one with 'make PYTHON=/path/to/python3'." >&2; exit 1; }
	@if [ ! -x $(BIN)/python ]; then echo "Creating .venv with $$($(PYTHON) --version) …"; \
		$(PYTHON) -m venv .venv || { rm -rf .venv; echo "Creating the virtual environment failed; on Debian and Ubuntu: apt-get install python3-venv." >&2; exit 1; }; fi
	@echo "Installing Greenroom and what its tests need into .venv (once; a minute or two) …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $(STAMP)
	@echo "Installed."

.PHONY: install
install: $(STAMP) ## Build .venv with Greenroom and its development tools

.PHONY: serve
serve: $(STAMP) ## Run the sandbox on http://127.0.0.1:8000 (AGENT=module:attribute for your own agent)
	@exec $(BIN)/greenroom serve $(AGENT)

.PHONY: test
test: $(STAMP) ## Run the tests (under five minutes)
	@$(BIN)/python -m pytest

.PHONY: check
check: $(STAMP) ## Format, lint, types, layers, contracts, generated code, ceilings: what CI runs
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/basedpyright
	$(BIN)/lint-imports
	.ci/proto check
	$(BIN)/python -m pytest -n 0 tests/project/test_tree.py tests/project/test_exports.py

.PHONY: format
format: $(STAMP) ## Format the code and mend what the linter can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.PHONY: proto
proto: $(STAMP) ## Generate the stubs from the contracts
	.ci/proto generate

.PHONY: proto-release
proto-release: $(STAMP) ## Make today's contracts the ones that later changes must not break
	.ci/proto release

.PHONY: bench
bench: $(STAMP) ## Measure CPU per turn, latency and memory, beside a bare FastAPI echo
	@$(BIN)/python -m bench

.PHONY: soak
soak: $(STAMP) ## Run the sandbox under load for a long time, then the proofs: no leak, and each turn once while processes are killed
	@status=0; $(BIN)/python -m bench.soak || status=1; \
	PYTHONPATH=tests/cli:tests/storage $(BIN)/python tests/proof/long_proofs.py || status=1; exit $$status

.PHONY: interop
interop: $(STAMP) ## Install into fresh environments and talk to it with other clients (up to 15 minutes)
	@$(BIN)/python -m pytest -n 2 --dist loadfile tests/interop -o addopts=

.PHONY: constraints
constraints: $(STAMP) ## Pin what .venv holds now in constraints.txt
	@{ sed -n 1p constraints.txt; $(BIN)/python -m pip freeze --exclude-editable | grep -E '^[A-Za-z0-9_.-]+==' | grep -v -i '^greenroom=='; } > constraints.new
	@mv constraints.new constraints.txt

.env:
	@umask 077; key=$$(openssl rand -hex 24 2>/dev/null || od -An -N24 -tx1 /dev/urandom | tr -d ' \n'); \
	edge=$$(od -An -N24 -tx1 /dev/urandom | tr -d ' \n'); database=$$(od -An -N24 -tx1 /dev/urandom | tr -d ' \n'); \
	printf 'GREENROOM_API_KEYS=evaluator:chat+inspect:gr_%s,edge:edge:gr_%s\nGREENROOM_CORE_KEY=gr_%s\nPOSTGRES_PASSWORD=%s\nGREENROOM_DOMAIN=localhost\n' "$$key" "$$edge" "$$edge" "$$database" > .env; \
	echo "Wrote .env with a fresh key: gr_$$key"

.PHONY: up
up: .env ## Run edge, core, PostgreSQL and HTTPS in containers (writes .env with a fresh key)
	@if docker compose version >/dev/null 2>&1; then docker compose up -d --build; else docker-compose up -d --build; fi
	@url=https://$$(sed -n 's/^GREENROOM_DOMAIN=//p' .env)/health; echo "Waiting for $$url …"; for second in $$(seq 60); do \
		curl --silent --insecure --fail --max-time 2 --output /dev/null $$url && echo "It is up; the key is in .env." && exit 0; sleep 1; done; \
		echo "$$url did not answer within a minute; see the containers' logs." >&2; exit 1

.PHONY: down
down: ## Stop the containers (the data stays; add -v by hand to drop it)
	@if docker compose version >/dev/null 2>&1; then docker compose down; else docker-compose down; fi

.PHONY: clean
clean: ## Remove .venv, caches and build results
	rm -rf .venv .venv-* build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
