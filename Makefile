# Two commands to start with: `make demo` runs the loop, `make test` runs the tests.
# Another torch build: make demo TORCH="torch==2.13.0 --index-url URL" (see docs/install.md).

PYTHON ?= python3.11
TORCH ?= torch==2.13.0
# What `make test-next` tries: the next minor of the parts whose interfaces move.
NEXT ?= hydra-core omegaconf mlflow
CORE_TESTS := $(addprefix tests/,core grammar series signals sources annotations evaluation)
VENV := .venv
BIN := $(VENV)/bin
# Stages run `python -m …`: they must find this environment first.
export PATH := $(CURDIR)/$(BIN):$(PATH)
export PYTHONHASHSEED := 0

.PHONY: help demo test test-slow test-next lint types coverage web clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

# Compiled on installing (no --no-compile): where PYTHONDONTWRITEBYTECODE is set, as in many images,
# each stage would otherwise compile torch anew, and the demo take twice as long.
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

test-slow: $(VENV)/dev  ## the tests that take longer: kills, sweeps, DVC experiments, served model, wheel
	$(BIN)/pytest -n 2 -m slow

# In an environment of its own, so that .venv keeps what constraints.txt says.
test-next:  ## the fast tests with the newest hydra and mlflow, past our upper limits
	$(PYTHON) -m venv .venv-next
	.venv-next/bin/python -m pip install --quiet --disable-pip-version-check $(TORCH)
	.venv-next/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	.venv-next/bin/python -m pip install --quiet --disable-pip-version-check --upgrade --pre \
		$(NEXT)
	.venv-next/bin/python -m pip list | grep -iE '^(hydra|omegaconf|mlflow)'
	PATH="$(CURDIR)/.venv-next/bin:$$PATH" .venv-next/bin/pytest -n 2

lint: $(VENV)/dev  ## style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/dev  ## static types
	$(BIN)/mypy

# Its own tests alone: tracing the whole suite would cost more than running these twice.
coverage: $(VENV)/dev  ## line and branch coverage of the pure core (floors 1 and 2), by its own tests
	$(BIN)/pytest -n 2 --cov --cov-report=term-missing:skip-covered $(CORE_TESTS)

# Only who changes web/ needs Node (20 or newer): the build is part of the repository and the wheel.
web:  ## check the review page's source and build it into src/tsloop/review/static
	cd web && npm ci && npm run check && npm run build

clean:  ## remove the environment and caches, never data or labels
	rm -rf $(VENV) .venv-next .pytest_cache .mypy_cache .ruff_cache
