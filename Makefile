# The front door. `make run` and `make test` need only Python 3.11+, pip and make.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
RUN_ARGS ?=
TEST_ARGS ?=

.PHONY: help run test check unit bench lock fmt clean install dev system

help:            ## what each target does
	@grep -hE '^[a-z]+: .*##' $(MAKEFILE_LIST) | sed -E 's/:.*## / — /'

# The environment is made without ensurepip, because Debian ships Python without it.
$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Headgate needs Python 3.11 or newer; $(PYTHON) is older. Set PYTHON=/path/to/python3.11."; exit 1; }
	$(PYTHON) -m venv --without-pip $(VENV)

$(VENV)/.installed: requirements.lock pyproject.toml | $(BIN)/python
	$(PYTHON) -m pip --python $(BIN)/python install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(PYTHON) -m pip --python $(BIN)/python install --quiet --disable-pip-version-check --no-deps -e .
	@touch $@

$(VENV)/.dev: requirements-dev.lock $(VENV)/.installed
	$(PYTHON) -m pip --python $(BIN)/python install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@touch $@

install: $(VENV)/.installed ## the local environment, with the product in it
dev: $(VENV)/.dev           ## the same, with what tests and checks need

run: install     ## everything, live: database, server, workers, simulators
	@exec $(BIN)/headgate up --demo $(RUN_ARGS)

system: dev      # what the tests need from the operating system
	@$(BIN)/python tests/system.py

test: system     ## every test
	@$(BIN)/python -m pytest $(TEST_ARGS)

unit: dev        ## the tests that need no database
	@$(BIN)/python -m pytest tests/unit

check: dev       ## format, lint, types, imports, unit tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q tests/unit

fmt: dev         ## format and repair what can be repaired
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: dev       ## every measurement, side by side; results go to docs/results
	@$(BIN)/python -m bench

clean:           ## forget the local environment and the demo database
	rm -rf $(VENV) .headgate build dist
