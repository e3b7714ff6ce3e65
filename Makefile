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

.PHONY: help demo test check coverage clean

help: ## list these commands
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1\t\2/p' Makefile

demo: $(VENV)/.demo ## serve the demo app and a local Hub (ARGS="--port 9000")
	@exec $(PYTHON) -m demo_app $(ARGS)

test: $(VENV)/.tests ## run every test (ARGS="-k login" for some)
	@CHROMIUM="$$(scripts/find-browser)"; \
	ZAIKIO_TEST_CHROMIUM="$$CHROMIUM" $(PYTHON) -m pytest -n 2 --cov --cov-report=term $(ARGS)

check: $(VENV)/.tests ## lint, format and types
	@$(PYTHON) -m ruff check . && $(PYTHON) -m ruff format --check . && $(PYTHON) -m mypy

clean: ## remove what was made
	@rm -rf $(VENV) test-artifacts build dist .coverage* .mypy_cache .pytest_cache .ruff_cache

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
