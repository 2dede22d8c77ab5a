# `make` lists the targets. Everything is installed into .venv, with the versions in constraints.txt.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# A further package index for torch, where the default one has not the build that you want; see docs/install.md.
TORCH_INDEX ?=
INDEX := $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))
# --quiet hides progress only: warnings and errors are printed.
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt $(INDEX)
RECENT := -c 'import sys; sys.exit(sys.version_info < (3, 11))'

.PHONY: help demo install test test-all lint docs artefacts environment

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1|/p' $(MAKEFILE_LIST) | while IFS='|' read -r name text; do printf 'make %-10s %s\n' "$$name" "$$text"; done
	@echo 'PYTHON=... names another interpreter (3.11 or later), TORCH_INDEX=... a further package index for torch.'

demo: install  ## merge, generate and score 64 pairs that nothing was trained on; train a network for 20 steps
	$(BIN)/lorarar demo

install: $(VENV)/.installed  ## install lorarar and its libraries into .venv

# Continuous integration (CI set) also prints which lines the tests do not run.
test: $(VENV)/.tested  ## run the tests: offline, on a CPU
	$(BIN)/python -m pytest -n auto --dist worksteal $(if $(CI),--cov --cov-report term:skip-covered)

test-all: $(VENV)/.tested  ## run the tests, the slow ones too
	$(BIN)/python -m pytest -n auto --dist worksteal -m "not gpu and not network"

lint: $(VENV)/.linted  ## check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(VENV)/.documented  ## build the documentation; a broken link is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# Each step resumes where it was stopped, and skips what is done.
artefacts: install  ## make everything in data/embedded and data/wild from nothing: one to two hours
	$(BIN)/python experiments/artefacts/make.py

# Make .venv, or mend one that has no working Python or no pip (uv makes environments without pip).
environment:
	@if $(BIN)/python -c '' 2>/dev/null; then \
	    $(BIN)/python $(RECENT) || { \
	        echo "expected Python 3.11 or later in $(VENV), found $$($(BIN)/python --version): delete the folder $(VENV) and repeat" >&2; exit 1; }; \
	else \
	    $(PYTHON) $(RECENT) 2>/dev/null || { \
	        echo "expected Python 3.11 or later, found $$($(PYTHON) --version 2>&1 || true): name one by PYTHON=python3.11 or its path" >&2; exit 1; }; \
	    echo "Creating $(VENV) with $$($(PYTHON) --version)"; \
	    $(PYTHON) -m venv --clear $(VENV) || exit 1; \
	fi
	@$(BIN)/python -c 'import pip' 2>/dev/null || { \
	    echo "Adding pip to $(VENV)"; \
	    $(BIN)/python -m ensurepip >/dev/null 2>&1 || uv pip install --quiet --python $(BIN)/python pip; \
	} || { echo "expected pip in $(VENV), found none, and neither ensurepip nor uv can add it: delete the folder $(VENV) and repeat" >&2; exit 1; }

# A file .venv/.NAME says that an installation has ended well; an interrupted one is repeated.
$(VENV)/.installed: pyproject.toml setup.py constraints.txt | environment
	@echo "Installing $$(grep '^torch==' constraints.txt), the largest part: this takes minutes"
	@$(PIP) "$$(grep '^torch==' constraints.txt)"
	@echo 'Installing lorarar and its other libraries: about a minute'
	@$(PIP) -e .
	@touch $@
	@echo "Installed: $(BIN)/lorarar"

$(VENV)/.tested: $(VENV)/.installed
	@echo 'Installing what the tests need'
	@$(PIP) -e '.[test]'
	@touch $@

$(VENV)/.linted: $(VENV)/.installed
	@echo 'Installing the linters'
	@$(PIP) -e '.[dev]'
	@touch $@

$(VENV)/.documented: $(VENV)/.installed
	@echo 'Installing what the documentation needs'
	@$(PIP) -e '.[docs]'
	@touch $@
