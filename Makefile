# Everything a developer does with durust. Each target makes the environment when it is not there and reuses it after.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# The oldest Python served when it is there, so that what passes here passes on the newer ones.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
READY := .venv/.ready
CHECKED := durust supervisor tests scripts examples
# Two processes keep a small machine busy and a test's processes still find a core.
TEST_WORKERS ?= 2
# A case of the crash matrix is one process at a time, and each of them waits for the disk now and then.
CRASH_WORKERS ?= 3

.PHONY: help demo test conformance lint types docs bench crash chaos ci clean

help: ## print these targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | while IFS='|' read -r name text; do printf '  make %-12s %s\n' "$$name" "$$text"; done

demo: $(READY) ## index Python's standard library with worker processes, kill two of them, lose nothing
	$(BIN)/python scripts/demo.py

test: $(READY) ## run every test but the crash matrix; needs no server
	$(BIN)/python -m pytest -n $(TEST_WORKERS) --dist worksteal --ignore=tests/crash tests

conformance: $(READY) ## run the one suite that every storage provider passes
	$(BIN)/python -m pytest -n $(TEST_WORKERS) --dist worksteal tests/conformance

lint: $(READY) ## check the rules and the format of the source
	$(BIN)/ruff check $(wildcard $(CHECKED))
	$(BIN)/ruff format --check $(wildcard $(CHECKED))

types: $(READY) ## check the types of the package and its tests
	$(BIN)/mypy

docs: $(READY) ## draw the parts of the documentation that come from the code
	$(BIN)/python scripts/draw_docs.py

bench: $(READY) ## measure throughput and latency beside their ceilings
	$(BIN)/python scripts/bench.py $(ARGS)

crash: $(READY) ## kill a workflow at each boundary and count what ran twice
	$(BIN)/python -m pytest -n $(CRASH_WORKERS) --dist worksteal tests/crash

chaos: $(READY) ## kill, stop and cut off processes and the server at random, and lose nothing; ARGS="--seconds 300 --seed 2"
	$(BIN)/python scripts/chaos.py $(ARGS)

ci: lint types test ## what has to pass before a change lands

clean: ## remove what builds and checks left; the environment stays
	rm -rf build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find $(wildcard $(CHECKED)) -name __pycache__ -prune -exec rm -rf {} +

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "durust needs Python 3.11 or newer, $(PYTHON) is older: make PYTHON=/path/to/python" >&2; exit 1; }
	@echo "making the environment in .venv (a minute or two) ..."
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@
