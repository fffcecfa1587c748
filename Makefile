# Thin names for plain commands; CONTRIBUTING.md lists the commands behind them.
# POSIX sh and GNU make 3.81 (macOS) are enough.

PYTHON ?= python3
PRESET ?= ml-100k/grpo_slate
TORCH_INDEX ?=

BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
EXTRA_MARKERS := (slow or distributed or browser or postgres or ray or dask) and not gpu

.DEFAULT_GOAL := help
.NOTPARALLEL:
.DELETE_ON_ERROR:
.PHONY: help run ui test test-all test-extra lint bench

help: ## Show these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s  %s\n", $$1, $$2 }' Makefile
	@echo "  options: PYTHON=python3.12  PRESET=ml-1m/grpo_slate  TORCH_INDEX=URL (torch from that index, on first install)"

run: .venv/installed ## Install, fetch MovieLens-100K, run the pipeline, write the report
	$(BIN)/rlrec run $(PRESET)

ui: .venv/installed ## Open the Prefect and MLflow pages over the runs made here
	$(BIN)/rlrec ui

test: .venv/installed-dev ## Install what tests need and run the default suite
	$(BIN)/python -m pytest

test-all: test test-extra ## The default suite, then the slow, distributed, browser, postgres, ray and dask tests

test-extra: .venv/installed-dev ## Only what test-all adds to test
	$(BIN)/python -m pytest -m "$(EXTRA_MARKERS)"

lint: .venv/installed-dev ## Format, lint, types, import contracts, SQL
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/basedpyright
	$(BIN)/lint-imports
	$(BIN)/sqlfluff lint sql

bench: .venv/installed ## Seconds and memory of the pipeline's stages, of ingestion, and of off-policy evaluation
	$(BIN)/python -m benchmarks.pipeline $(PRESET)
	$(BIN)/python -m benchmarks.ingest
	$(BIN)/python -m benchmarks.views
	$(BIN)/python -m benchmarks.reading
	$(BIN)/python -m benchmarks.graphs
	@if [ -n "$$RLREC_TEST_DATA" ]; then $(BIN)/python -m benchmarks.propensities; fi
	$(BIN)/python -m benchmarks.ope
	$(BIN)/python -m benchmarks.launches
	$(BIN)/python -m benchmarks.coverage
	$(BIN)/python -m benchmarks.bias

# A broken or too old Python is found here, before pip spends minutes.
.venv/made:
	@command -v "$(PYTHON)" >/dev/null 2>&1 || { \
	  echo "make: there is no program '$(PYTHON)'; install Python 3.11, 3.12 or 3.13, or say which: make run PYTHON=python3.12" >&2; \
	  exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || { \
	  echo "make: '$(PYTHON)' is `"$(PYTHON)" --version 2>&1`; rlrec needs 3.11, 3.12 or 3.13: make run PYTHON=python3.12" >&2; \
	  exit 1; }
	@"$(PYTHON)" -c 'import venv, ensurepip' 2>/dev/null || { \
	  echo "make: '$(PYTHON)' has no venv module; on Debian and Ubuntu: sudo apt-get install python3-venv" >&2; \
	  exit 1; }
	"$(PYTHON)" -m venv .venv
	@touch $@

.venv/installed: pyproject.toml | .venv/made
	@echo "installing rlrec into .venv: a few minutes, once"
	$(call install_torch)
	$(PIP) install -e .
	@touch $@

.venv/installed-dev: pyproject.toml | .venv/made
	@echo "installing rlrec and its development tools into .venv: a few minutes, once"
	$(call install_torch)
	$(PIP) install -e ".[dev]"
	@touch .venv/installed $@

# The bound is the one in pyproject.toml; a torch that satisfies it is left alone by the second pip command.
define install_torch
@if test -n "$(TORCH_INDEX)"; then \
  torch=`$(BIN)/python -c 'import tomllib; print(*(d for d in tomllib.load(open("pyproject.toml", "rb"))["project"]["dependencies"] if d.startswith("torch>")))'` && \
  echo "installing $$torch from $(TORCH_INDEX)" && \
  $(PIP) install --index-url "$(TORCH_INDEX)" "$$torch"; \
fi
endef
