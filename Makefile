# A newcomer needs only `make demo` and `make test`; `make help` lists the other commands.
# Everything is installed into .venv, even if another environment is active.

.DEFAULT_GOAL := help
SHELL := /bin/sh
MAKEFLAGS += --no-print-directory
unexport PYTHONPATH PYTHONHOME VIRTUAL_ENV PYTHONDONTWRITEBYTECODE
VENV := .venv
PYTHON := $(VENV)/bin/python
INSTALL := $(PYTHON) -m pip --quiet --disable-pip-version-check install --constraint constraints.txt
DEPENDENCIES := pyproject.toml constraints.txt scripts/make-environment
ARGS ?=

.PHONY: help demo docs test test-lowest test-matrix test-wheel check types format fuzz schedules soak benchmark coverage mutation screenshots clean

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-11s %s\n", $$1, $$2 }' Makefile

demo: $(VENV)/.demo ## serve the demo app and a local Hub (ARGS="--port 9000")
	@exec $(PYTHON) -m demo_app $(ARGS)

# Many tests wait for deadlines rather than compute, so there are more processes than cores.
# Without coverage, whose tracer doubles their time on Python 3.11.
test: $(VENV)/.tests ## run all tests (some of them: ARGS="-k login")
	@ZAIKIO_TEST_CHROMIUM="$$(scripts/find-program Chromium 'chromium fonts-liberation' CHROMIUM chromium chromium-browser google-chrome)" \
	ZAIKIO_TEST_PGBOUNCER="$$(scripts/find-program PgBouncer pgbouncer PGBOUNCER pgbouncer /usr/sbin/pgbouncer)" \
	ZAIKIO_TEST_FAKETIME="$$(scripts/find-program faketime faketime FAKETIME faketime)" \
	ZAIKIO_TEST_NGINX="$$(scripts/find-program nginx nginx NGINX nginx /usr/sbin/nginx)" \
	ZAIKIO_TEST_CADDY="$$(scripts/find-program Caddy caddy CADDY caddy)" \
	$(PYTHON) -m pytest -n 3 --dist worksteal $(ARGS)

test-lowest: $(VENV)/.tests ## run some tests with the lowest versions that pyproject.toml allows
	@$(PYTHON) scripts/test-matrix --smoke lowest-3.11

test-matrix: $(VENV)/.tests ## run the tests with the lowest and newest versions on each Python (ARGS="newest 3.14")
	@$(PYTHON) scripts/test-matrix $(ARGS)

test-wheel: $(VENV)/.tests ## install the wheel into an empty environment and log in with the app of the README
	@$(PYTHON) scripts/test-wheel

check: $(VENV)/.tests ## run the linter, the format check and the type checker
	@$(PYTHON) -m ruff check . && $(PYTHON) -m ruff format --check . && $(PYTHON) -m mypy

docs: $(VENV)/.tests ## build the documentation site; any warning is an error
	@$(PYTHON) -m sphinx --fail-on-warning --keep-going --quiet --builder html docs build/docs
	@echo "build/docs/index.html"

# Apart from the check, because it takes longer than the rest of it together.
types: $(VENV)/.tests ## run pyright, check the types of the examples, and measure how much of the types is known
	@$(PYTHON) scripts/check-types

format: $(VENV)/.tests ## format the code and fix lint errors where possible
	@$(PYTHON) -m ruff check --fix --quiet . && $(PYTHON) -m ruff format .

fuzz: $(VENV)/.tests ## look for faults with random data and schedules, for so many minutes (ARGS=60)
	@scripts/fuzz $(PYTHON) $(or $(strip $(ARGS)),10)

schedules: $(VENV)/.tests ## run every schedule of two or three processes that refresh at once (ARGS="three --crashes 1")
	@$(PYTHON) -m tests.interleavings $(or $(strip $(ARGS)),two)

soak: $(VENV)/.tests ## let four processes live through faults and kills, for so many minutes (ARGS=10)
	@$(PYTHON) -m tests.soak $(or $(strip $(ARGS)),10)

# Its environment has peers in it that the tests do not need.
benchmark: .benchmark/.made ## compare the library's speed with its peers' (ARGS="pages --quick"; ARGS=--help)
	@BENCHMARK_WRK="$$(scripts/find-program wrk wrk WRK wrk)" .benchmark/bin/python -m benchmarks $(ARGS)

coverage: ## run all tests, and show the lines that they do not cover
	@$(MAKE) test ARGS="--cov --cov-report=term $(ARGS)"

# mutmut is no dependency of the tests, so it is installed only here.
mutation: $(VENV)/.tests ## change the code in small ways and see whether a test fails (ARGS="web/flow --sample 0")
	@$(INSTALL) mutmut
	@$(PYTHON) scripts/mutation $(ARGS)

# Pillow makes the pictures small; nothing else needs it.
screenshots: $(VENV)/.tests ## make the pictures of README and docs from the demo (docs/images)
	@$(INSTALL) pillow
	@$(PYTHON) scripts/screenshots

clean: ## remove generated files
	@rm -rf $(VENV) .matrix .benchmark test-artifacts build dist .coverage .coverage.* .mypy_cache .pytest_cache .ruff_cache .hypothesis .schemathesis

$(VENV)/.demo: $(DEPENDENCIES)
	@scripts/make-environment $(VENV)
	@echo "Installing the demo's dependencies …"
	@$(INSTALL) --editable '.[demo]'
	@touch $@

$(VENV)/.tests: $(DEPENDENCIES)
	@scripts/make-environment $(VENV)
	@echo "Installing the tests' dependencies …"
	@$(INSTALL) --editable '.[postgresql,cli,testing,demo]' --group dev
	@touch $@ $(VENV)/.demo

.benchmark/.made: $(DEPENDENCIES) $(wildcard benchmarks/requirements*.txt)
	@scripts/make-environment .benchmark
	@echo "Installing the benchmark's dependencies …"
	@.benchmark/bin/python -m pip --quiet --disable-pip-version-check install --constraint constraints.txt \
		--editable '.[postgresql,cli,testing]' --requirement benchmarks/requirements.txt
	@.benchmark/bin/python -m pip --quiet --disable-pip-version-check install --no-deps \
		--requirement benchmarks/requirements-without-dependencies.txt
	@touch $@
