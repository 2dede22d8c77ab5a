# The two commands that do everything on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# A further package index for torch, where the default one has not the build that you want; see README.md.
TORCH_INDEX ?=
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) -c constraints.txt

.PHONY: demo test test-all lint artefacts install

demo: install
	$(BIN)/lorarar demo

install: $(VENV)/.installed
# Continuous integration (CI set) also prints which lines the tests do not run.
test: $(VENV)/.tested
	$(BIN)/python -m pytest -n auto --dist worksteal $(if $(CI),--cov --cov-report term:skip-covered)

# The slow tests too.
test-all: $(VENV)/.tested
	$(BIN)/python -m pytest -n auto --dist worksteal -m "not gpu and not network"

lint: $(VENV)/.linted
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Everything in data/embedded from nothing; each step resumes where it was stopped, and skips what is done.
artefacts: install
	$(BIN)/python experiments/artefacts/make.py

$(VENV)/.installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) torch==2.13.0
	$(PIP) -e .
	touch $@

$(VENV)/.tested: $(VENV)/.installed
	$(PIP) -e '.[test]'
	touch $@

$(VENV)/.linted: $(VENV)/.installed
	$(PIP) -e '.[dev]'
	touch $@
