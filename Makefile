# `make demo` and `make test` are all that a newcomer needs; `make help` lists the rest.
# Everything is installed into .venv, whatever environment is active.

.DEFAULT_GOAL := help
SHELL := /bin/sh
MAKEFLAGS += --no-print-directory
unexport PYTHONPATH PYTHONHOME VIRTUAL_ENV
VENV := .venv
PYTHON := $(VENV)/bin/python
INSTALL := $(PYTHON) -m pip --quiet --disable-pip-version-check install --constraint constraints.txt
DEPENDENCIES := pyproject.toml constraints.txt scripts/make-environment
ARGS ?=

.PHONY: help demo test check format coverage clean

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' Makefile

demo: $(VENV)/.demo ## serve the demo app and a local Hub (ARGS="--port 9000")
	@exec $(PYTHON) -m demo_app $(ARGS)

# A part of the tests cannot reach the coverage that all of them have to.
test: $(VENV)/.tests ## run every test (ARGS="-k login" for some)
	@ZAIKIO_TEST_CHROMIUM="$$(scripts/find-browser)" \
	$(PYTHON) -m pytest -n 2 $(if $(strip $(ARGS)),$(ARGS),--cov --cov-report=term)

check: $(VENV)/.tests ## lint, format and types
	@$(PYTHON) -m ruff check . && $(PYTHON) -m ruff format --check . && $(PYTHON) -m mypy

format: $(VENV)/.tests ## put the code into our format
	@$(PYTHON) -m ruff check --fix --quiet . && $(PYTHON) -m ruff format .

coverage: $(VENV)/.tests ## say which lines the last full run of the tests left out
	@$(PYTHON) -m coverage report

clean: ## remove what was made
	@rm -rf $(VENV) test-artifacts build dist .coverage .coverage.* .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(VENV)/.demo: $(DEPENDENCIES)
	@scripts/make-environment $(VENV)
	@echo "Installing what the demo needs …"
	@$(INSTALL) --editable '.[demo]'
	@touch $@

$(VENV)/.tests: $(DEPENDENCIES)
	@scripts/make-environment $(VENV)
	@echo "Installing what the tests need …"
	@$(INSTALL) --editable '.[postgresql,cli,testing,demo]' --group dev
	@touch $@ $(VENV)/.demo
