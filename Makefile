# Everything that CI runs, a person runs here. Needs python3 (3.11 or later), git, make and a package index;
# after the first time it works offline.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready
PYTEST_JOBS ?= auto

.DEFAULT_GOAL := help
.PHONY: help gate lint test test-wheel coverage mutation real bench bench-rerun rerun-matrix faults-matrix soak-locks soak-breaker soak-faults truth clean

help:  ## say what can be made
	@sed -n 's/^\([a-z-]*\):.*## /\1: /p' Makefile | column -t -s:

gate: $(READY)  ## take this repository through its own gate; leaves .orxaq/report.html
	$(BIN)/orxaq gate

lint: $(READY)  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: $(READY)  ## all tests, in parallel and in random order
	$(BIN)/python -m pytest -n $(PYTEST_JOBS) --dist worksteal

coverage: $(READY)  ## all tests, with branch coverage of at least 100 %
	rm -f .coverage.*
	$(BIN)/coverage run -m pytest -n $(PYTEST_JOBS) --dist worksteal -q
	$(BIN)/coverage combine -q
	$(BIN)/coverage report

test-wheel: $(READY)  ## build the wheel, and test that instead of the checkout
	sh tests/wheel.sh $(BIN)/python

mutation: $(VENV)/mutation  ## what the tests of core/ notice when it is changed; MODULES="keys retry" for some
	$(BIN)/python benchmarks/mutation.py $(MODULES)

real: $(READY)  ## take well-known projects through the gate, and write docs/real-projects.md
	$(BIN)/python benchmarks/real.py

bench: $(READY)  ## measure the gate, the search for locks, retries and breakers beside their peers, and what fault fixtures cost, and write benchmarks/results.md
	$(BIN)/python benchmarks/bench.py
	$(BIN)/python benchmarks/locks.py
	$(BIN)/python benchmarks/retry.py
	$(BIN)/python benchmarks/breaker.py
	$(BIN)/python benchmarks/faults.py

bench-rerun: $(READY)  ## measure what retries of tests cost tests that pass, and write benchmarks/rerun.md
	$(BIN)/python benchmarks/rerun.py

rerun-matrix: $(READY)  ## the tests of retries with each pytest from 8.4 on, and beside other plugins
	$(BIN)/python benchmarks/rerun_matrix.py

faults-matrix: $(READY)  ## a sample that uses every fault fixture, with each pytest from 8.2 on, and in other surroundings
	$(BIN)/python benchmarks/faults_matrix.py

soak-locks: $(READY)  ## kill gits at random for SECONDS (600) while locks are recovered, and count what must not happen
	$(BIN)/python benchmarks/soak_locks.py $(or $(SECONDS),600)

soak-breaker: $(READY)  ## kill processes that share a circuit breaker until PROBES (600) were made, and count what must not happen
	$(BIN)/python benchmarks/soak_breaker.py $(or $(PROBES),600)

soak-faults: $(READY)  ## run the same tests with faults REPETITIONS (20) times in every order, and compare what befell each
	$(BIN)/python benchmarks/soak_faults.py $(or $(REPETITIONS),20)

truth: $(READY)  ## have the product meet every fault whose truth is known, print what it made of each, write docs/faults/truth.md
	$(BIN)/python benchmarks/truth.py -n $(PYTEST_JOBS) --dist worksteal

clean:  ## remove what make made
	rm -rf $(VENV) .orxaq .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist .coverage*

# The stamp is touched last: a set-up that was interrupted is done again.
$(READY): pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or later is needed, this is " + sys.version.split()[0] + "; try make PYTHON=python3.12" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable . --group dev
	touch $(READY)

# Apart from the rest: only this one command needs a mutation tester.
$(VENV)/mutation: $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --group mutation
	touch $(VENV)/mutation
