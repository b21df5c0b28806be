# Everything this repository does, by name. `make` alone lists the targets.
# Nothing but make and Python 3.11 or later is needed: each target builds what it uses.

.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c

VENV := .venv
BIN := $(VENV)/bin
PORT ?= 3000
# In the order in which they begin, two files at a time: what takes longest first.
TESTS := tests/acceptance tests/integration tests/orchestration tests/contract tests/unit tests/architecture
COMPILE := pip compile --quiet --universal --generate-hashes --python-version 3.11 \
	--no-strip-extras --custom-compile-command "make lock" $(UPGRADE)

# The first interpreter that is new enough; `make setup PYTHON=/path/to/python` overrides it.
NEW_ENOUGH := -c 'import sys; sys.exit(sys.version_info < (3, 11))'
PYTHON ?= $(shell for name in python3.11 python3.12 python3.13 python3.14 python3 python; do \
	$$name $(NEW_ENOUGH) 2>/dev/null && echo $$name && break; done)

# What a run of the tests starts ends with it, however it ends.
PYTEST := $(BIN)/python -m tests.supervised $(BIN)/python -m pytest

# Dagster finds dagster.yaml and keeps its state here. Tests choose their own instances.
run ui validate: export DAGSTER_HOME := $(CURDIR)

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: setup
setup: $(VENV)/.dev-installed ## Build .venv with everything that developing needs

.PHONY: run
run: $(VENV)/.run-installed ## Do the main job: one governed run of the tutorial's manifest
	@$(BIN)/ro run docs/tutorial/purchases.yaml

.PHONY: ui
ui: $(VENV)/.run-installed ## Serve the UI and run the daemon: 127.0.0.1, port 3000 (or PORT=...)
	@$(BIN)/ro web --daemon --port $(PORT)

.PHONY: test
test: $(VENV)/.dev-installed ## Run every test but those that drive a browser
	@$(PYTEST) $(TESTS) -m "not browser and not benchmark" \
		-n 2 --dist loadfile --no-loadscope-reorder

# The commit is read before the run, so that what is edited meanwhile is not put on record.
.PHONY: matrix
matrix: EFFORT ?= 3
matrix: SEED ?= $(shell date +%Y%m%d)
matrix: $(VENV)/.dev-installed ## Run everything with more examples, and record it (SEED=, EFFORT=)
	@commit=$$($(BIN)/python -m tests.matrix commit); status=0; \
	RO_TEST_EFFORT=$(EFFORT) RO_CRASH_SEED=$(SEED) RO_REQUIRE_SERVERS=1 \
		$(PYTEST) $(TESTS) tests/browser -m "not benchmark" -n 2 --dist loadfile \
		--no-loadscope-reorder --hypothesis-seed=$(SEED) --timeout=3600 \
		--junitxml=build/matrix.xml || status=$$?; \
	$(BIN)/python -m tests.matrix record $$commit $(SEED) $(EFFORT) build/matrix.xml; exit $$status

.PHONY: browser
browser: $(VENV)/.dev-installed ## Run the tests that drive a real Chromium; without one, fail
	@$(PYTEST) -m browser

.PHONY: pictures
pictures: $(VENV)/.dev-installed ## Take the screenshots of the documents again, by those tests
	@RO_SCREENSHOTS=docs $(PYTEST) -m browser

.PHONY: lint
lint: $(VENV)/.dev-installed ## Check style, format, types and the layers
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

.PHONY: validate
validate: $(VENV)/.run-installed ## Load the code location the way Dagster does
	@$(BIN)/dagster definitions validate -w workspace.yaml

.PHONY: schema
schema: $(VENV)/.run-installed ## Write the JSON Schema of the public contracts again
	@$(BIN)/python -m ro_platform.contracts.schema --write \
		docs/model_spec/meta-layers/run_operate_plane/contracts/ro_public_contracts_v0.schema.json

.PHONY: bench
bench: $(VENV)/.dev-installed ## Measure: run each script of tests/benchmarks
	@for script in tests/benchmarks/bench_*.py; do echo "== $$script"; \
		PYTHONPATH=. $(BIN)/python -m tests.supervised $(BIN)/python $$script; done

.PHONY: lock
lock: ## Pin the dependencies again (needs uv; UPGRADE=--upgrade takes newer versions)
	@uv=$$(command -v $(BIN)/uv || command -v uv) || { \
		echo "make lock needs uv: install it with '$(BIN)/pip install uv'." >&2; exit 2; }; \
	$$uv $(COMPILE) pyproject.toml requirements/build.in --extra workload \
		-o requirements/run.txt; \
	$$uv $(COMPILE) pyproject.toml requirements/build.in --all-extras \
		-c requirements/run.txt -o requirements/dev.txt

.PHONY: clean
clean: ## Remove what make can build again; what runs recorded (.ro/) stays
	@rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis \
		.import_linter_cache .tmp_dagster_home_*
	@find . -path ./.ro -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

# --- how .venv is built: again only when the pins or pyproject.toml change -----------------------

$(BIN)/pip:
	@[[ -n "$(PYTHON)" ]] && "$(PYTHON)" $(NEW_ENOUGH) || { \
		echo "Python 3.11 or later is needed, and $(or $(PYTHON),none found on PATH) is not." >&2; \
		echo "Install it, or name one: make setup PYTHON=/path/to/python3.11" >&2; exit 2; }
	@echo "Building $(VENV) with $$($(PYTHON) --version)"
	@"$(PYTHON)" -m venv --clear $(VENV)

$(VENV)/.run-installed: requirements/run.txt pyproject.toml | $(BIN)/pip
	@echo "Installing what a run needs (requirements/run.txt)"
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/run.txt
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev-installed: requirements/dev.txt $(VENV)/.run-installed
	@echo "Installing what developing needs (requirements/dev.txt)"
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@touch $@
