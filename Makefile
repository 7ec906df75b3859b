# Two commands to start with: `make demo` runs the loop, `make test` runs the tests.
# Another torch build: make demo TORCH="torch==2.13.0 --index-url URL" (see docs/install.md).

PYTHON ?= python3.11
TORCH ?= torch==2.13.0
VENV := .venv
BIN := $(VENV)/bin
# Stages run `python -m …`: they must find this environment first.
export PATH := $(CURDIR)/$(BIN):$(PATH)
export PYTHONHASHSEED := 0

.PHONY: help demo test test-slow lint types coverage clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(VENV)/base: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(TORCH)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	touch $@

$(VENV)/dev: $(VENV)/base
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

demo: $(VENV)/base  ## install, then run three iterations of the loop on the simulated plant
	$(BIN)/tsloop demo

test: $(VENV)/dev  ## install, then run the fast tests
	$(BIN)/pytest -n 2

test-slow: $(VENV)/dev  ## the tests that take longer: kill tests, served model, wheel
	$(BIN)/pytest -m slow

lint: $(VENV)/dev  ## style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/dev  ## static types
	$(BIN)/mypy

coverage: $(VENV)/dev  ## line and branch coverage of the pure core (floors 1 and 2)
	$(BIN)/pytest -n 2 --cov --cov-report=term-missing:skip-covered

clean:  ## remove the environment and caches, never data or labels
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache
