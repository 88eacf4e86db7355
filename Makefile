# Labelmint's commands. `make` lists them. Needed beforehand: Python >= 3.11 with venv.

PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/installed
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest

# Neither package may phone home from here.
export NO_ALBUMENTATIONS_UPDATE := 1
export RAY_USAGE_STATS_ENABLED := 0

.DEFAULT_GOAL := help
.PHONY: help venv demo test test-all check format bench

help:  ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

venv: $(STAMP)  ## make .venv, or bring it up to date

# Made once; installed again only when the dependencies change.
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("Labelmint needs Python >= 3.11, got %d.%d: run make PYTHON=/path/to/python3.11" % sys.version_info[:2] if sys.version_info < (3, 11) else 0)'
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear .venv
	@echo "Installing into .venv; the first time this takes some minutes."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		--constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: $(STAMP)  ## real digits -> trained generator -> served images -> measured gain (5 minutes)
	@exec $(BIN)/python -m jobs.demo --out runs/demo

test: $(STAMP)  ## the tests, on two cores without a GPU (10 minutes)
	$(PYTEST) -n auto --maxprocesses 4 -m "not slow and not gpu and not ray"
	$(PYTEST) -m "ray and not slow and not gpu"

test-all: $(STAMP)  ## every test, the slow and the GPU ones included
	$(PYTEST) -n auto --maxprocesses 4 -m "not gpu and not ray"
	$(PYTEST) -m "gpu or ray"

check: $(STAMP)  ## ruff, mypy and the import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(PYTEST) -q tests/test_architecture.py

format: $(STAMP)  ## put the code into the one format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(STAMP)  ## speed, as ratios of one run -> benchmarks/results.json
	$(BIN)/python -m benchmarks.run
